"""Functions that change given latents: lines, arcs and truncation."""

import math

import jax
import jax.numpy as jnp

from jaxgan._internal import checks
from jaxgan._internal.precision import full_precision
from jaxgan.latents._samplers import MAX_LIMIT


def traversal(
    latent: jax.Array,
    coordinate: int = 0,
    *,
    num: int = 100,
    start: float = -1.0,
    step: float = 0.02,
) -> jax.Array:
    """Returns latents that differ in one coordinate, which changes in equal steps.

    Row $i$ is `latent` with its coordinate $c$ set to $\\mathrm{start} + i\\,\\mathrm{step}$.

    Args:
      latent: float `[latent_dim]`.
      coordinate: $c$, the index of the coordinate that changes, in [0, `latent_dim`).
      num: the number of latents, at least 1.
      start: the value of the coordinate in the first row.
      step: the difference in the coordinate between consecutive rows.

    Returns:
      Float `[num, latent_dim]`, of the dtype of `latent`.

    Raises:
      TypeError: If `latent` is not an array of floats, or another argument is not a number.
      ValueError: If `latent` is not `[latent_dim]`, `coordinate` or `num` is out of range, or a
        value is non-finite.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> print(jaxgan.latents.traversal(jnp.array([5.0, 7.0]), num=3, start=-1.0, step=0.5))
      [[-1.   7. ]
       [-0.5  7. ]
       [ 0.   7. ]]
    """
    checks.integer("num", num)
    checks.real("start", start)
    checks.real("step", step)
    latent = checks.array("latent", latent, jnp.floating, "[latent_dim]")
    checks.finite("latent", latent)
    checks.integer("coordinate", coordinate, 0, latent.shape[0] - 1)
    values = start + step * jnp.arange(num, dtype=latent.dtype)
    return jnp.tile(latent, (num, 1)).at[:, coordinate].set(values)


def lerp(a: jax.Array, b: jax.Array, weight: jax.Array | float) -> jax.Array:
    """Interpolates linearly between latents, $(1 - w) a + w b$.

    Args:
      a: latents with weight 0, float `[..., latent_dim]`.
      b: latents with weight 1, of the shape and dtype of `a`.
      weight: $w$, a number, or floats that broadcast with the axes of `a` before the last. Values
        outside of [0, 1] extrapolate.

    Returns:
      Floats of the dtype of `a`; the last axis is that of `a`.

    Raises:
      TypeError: If an argument is not an array of floats.
      ValueError: If `b` does not match `a`, `weight` does not broadcast, or a value is non-finite.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> a, b = jnp.array([0.0, 4.0]), jnp.array([2.0, 0.0])
      >>> print(jaxgan.latents.lerp(a, b, jnp.array([0.0, 0.5, 1.0])))
      [[0. 4.]
       [1. 2.]
       [2. 0.]]
    """
    dtype, a, b, weight = _ends(a, b, weight)
    return ((1 - weight) * a + weight * b).astype(dtype)


def slerp(a: jax.Array, b: jax.Array, weight: jax.Array | float) -> jax.Array:
    r"""Interpolates spherically between latents, along an arc.

    With the angle $\Omega$ between $a$ and $b$,
    $$\frac{\sin((1 - w) \Omega)}{\sin \Omega} a + \frac{\sin(w \Omega)}{\sin \Omega} b.$$
    For vectors of equal length, all results have this length. Normal latents have lengths close to
    $\sqrt{n}$, and the results of `lerp` are shorter. For parallel, opposite or zero vectors the
    arc is undefined, and the result is that of `lerp`.

    Args:
      a: latents with weight 0, float `[..., latent_dim]`.
      b: latents with weight 1, of the shape and dtype of `a`.
      weight: $w$, a number, or floats that broadcast with the axes of `a` before the last.

    Returns:
      Floats of the dtype of `a`; the last axis is that of `a`.

    Raises:
      TypeError: If an argument is not an array of floats.
      ValueError: If `b` does not match `a`, `weight` does not broadcast, or a value is non-finite.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> a, b = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
      >>> print(jaxgan.latents.slerp(a, b, 0.5).round(4))
      [0.7071 0.7071]

    References:
      White, Sampling Generative Networks, 2016, https://arxiv.org/abs/1609.04468

      Shoemake, Animating Rotation with Quaternion Curves, 1985,
      https://doi.org/10.1145/325334.325242
    """
    dtype, a, b, weight = _ends(a, b, weight)
    length = lambda x: jnp.linalg.norm(x, axis=-1, keepdims=True)
    # The arccosine of the inner product would lose half of the digits of small angles.
    scaled_a, scaled_b = a * length(b), b * length(a)
    angle = 2 * jnp.arctan2(length(scaled_a - scaled_b), length(scaled_a + scaled_b))
    sine = jnp.sin(angle)
    has_arc = sine > 16 * jnp.finfo(sine.dtype).eps  # less is rounding
    safe = jnp.where(has_arc, sine, 1)
    arc = (jnp.sin((1 - weight) * angle) * a + jnp.sin(weight * angle) * b) / safe
    return jnp.where(has_arc, arc, (1 - weight) * a + weight * b).astype(dtype)


def truncate(latents: jax.Array, limit: float) -> jax.Array:
    r"""Maps standard normal latents to normal latents truncated to [-limit, limit].

    The map of each coordinate is increasing, and keeps its quantile: with the distribution
    functions $F$ of the truncated and $\Phi$ of the standard normal distribution,
    $$F^{-1}(\Phi(z)) = \sqrt{2}\,\mathrm{erf}^{-1}(\mathrm{erf}(z / \sqrt{2})\,
    \mathrm{erf}(\mathrm{limit} / \sqrt{2})).$$
    The same latents are therefore comparable between limits, unlike new draws of
    `truncated_normal`.

    Args:
      latents: standard normal floats, of any shape.
      limit: the largest absolute value of the result, in (0, 5].

    Returns:
      Floats of the shape and dtype of `latents`.

    Raises:
      TypeError: If `latents` is not an array of floats, or `limit` is not a number.
      ValueError: If `limit` is out of range, or a latent is non-finite.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> print(jaxgan.latents.truncate(jnp.array([-9.0, 0.0, 9.0]), 0.5))
      [-0.5  0.   0.5]

    References:
      Brock et al., Large Scale GAN Training for High Fidelity Natural Image Synthesis, 2019,
      https://arxiv.org/abs/1809.11096
    """
    latents = checks.array("latents", latents, jnp.floating, "[...]")
    checks.finite("latents", latents)
    checks.real("limit", limit, 0.0, MAX_LIMIT, positive=True)
    x = full_precision(latents)
    bound = jnp.asarray(limit, x.dtype)
    erf = lambda x: jax.scipy.special.erf(x / math.sqrt(2))
    y = math.sqrt(2) * jax.scipy.special.erfinv(erf(x) * erf(bound))
    return jnp.clip(y, -bound, bound).astype(latents.dtype)


def _ends(
    a: object, b: object, weight: object
) -> tuple[jnp.dtype, jax.Array, jax.Array, jax.Array]:
    """Checks the arguments of an interpolation.

    Returns the dtype of `a`, and all arrays with equal ranks and at least float32.
    """
    a = checks.array("a", a, jnp.floating, "[...]")
    b = checks.array("b", b, jnp.floating, "[...]")
    fits = (a.shape, a.dtype) == (b.shape, b.dtype)
    checks.require(fits, "b", f"{a.dtype} of shape {a.shape}, as a", checks.shown(b))
    weight = float(weight) if isinstance(weight, int) else weight
    w = checks.array("weight", weight, jnp.floating, form=None)
    for name, x in (("a", a), ("b", b), ("weight", w)):
        checks.finite(name, x)
    fits = all(m in (1, n) or n == 1 for m, n in zip(w.shape[::-1], a.shape[-2::-1], strict=False))
    expected = f"a number, or of a shape that broadcasts with {a.shape[:-1]}"
    checks.require(fits, "weight", expected, f"{w.shape}")
    rank = max(a.ndim, w.ndim + 1)
    wide_dtype = full_precision(a).dtype
    wide = lambda x: x.reshape((1,) * (rank - x.ndim) + x.shape).astype(wide_dtype)
    return a.dtype, wide(a), wide(b), wide(w[..., None])
