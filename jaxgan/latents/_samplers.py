"""Samplers, which draw latents."""

import functools
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxgan._internal import checks
from jaxgan.types import PyTree

MAX_LIMIT = 5.0
"""The largest limit of truncation. Float32 does not resolve a normal distribution beyond it."""


class Sampler(Protocol):
    """Draws latents: `(key, num, dtype) -> latents`.

    `key` is a typed PRNG key, `num` is the number of latents, and `dtype` is a float dtype. The
    result is a float array `[num, ...]`, or a pytree of such arrays. A sampler is a pure function:
    the same arguments give the same latents.
    """

    def __call__(self, key: jax.Array, num: int, dtype: DTypeLike, /) -> PyTree: ...


def normal(n: int) -> Sampler:
    """Makes a sampler of $n$ independent standard normal numbers.

    Args:
      n: the number of coordinates, at least 1.

    Returns:
      A `Sampler` of floats `[num, n]`, equal to `jax.random.normal(key, (num, n), dtype)`.

    Raises:
      TypeError: If `n` is not an integer.
      ValueError: If `n` is below 1.

    Example:
      >>> import jax, jax.numpy as jnp, jaxgan
      >>> jaxgan.latents.normal(3)(jax.random.key(0), 2, jnp.float32).shape
      (2, 3)
    """
    checks.integer("n", n)
    return _checked(lambda key, num, dtype: jax.random.normal(key, (num, n), dtype))


def uniform(n: int, low: float = -1.0, high: float = 1.0) -> Sampler:
    """Makes a sampler of $n$ independent uniform numbers.

    Args:
      n: the number of coordinates, at least 1.
      low: the smallest value.
      high: the limit above all values, larger than `low`.

    Returns:
      A `Sampler` of floats `[num, n]` in [`low`, `high`).

    Raises:
      TypeError: If `n` is not an integer, or a limit is not a number.
      ValueError: If `n` is below 1, a limit is not finite, or `low` is not below `high`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxgan
      >>> z = jaxgan.latents.uniform(100, 0.0, 2.0)(jax.random.key(0), 2, jnp.float32)
      >>> z.shape, bool((z >= 0.0).all()), bool((z < 2.0).all())
      ((2, 100), True, True)

    References:
      Radford et al., Unsupervised Representation Learning with Deep Convolutional GANs, 2016,
      https://arxiv.org/abs/1511.06434
    """
    checks.integer("n", n)
    checks.real("low", low)
    checks.real("high", high)
    if checks.is_concrete(low) and checks.is_concrete(high):
        checks.require(low < high, "high", f"above low={low}", checks.shown(high))
    return _checked(lambda key, num, dtype: jax.random.uniform(key, (num, n), dtype, low, high))


def truncated_normal(n: int, limit: float = 2.0) -> Sampler:
    r"""Makes a sampler of $n$ independent normal numbers, drawn again while $|z| > \mathrm{limit}$.

    A generator that was trained with normal latents then makes better but more similar images: a
    smaller limit trades variety for quality. `truncate` changes given latents in the same way.

    Args:
      n: the number of coordinates, at least 1.
      limit: the largest absolute value, in (0, 5].

    Returns:
      A `Sampler` of floats `[num, n]` in [-`limit`, `limit`], from `jax.random.truncated_normal`.

    Raises:
      TypeError: If `n` is not an integer, or `limit` is not a number.
      ValueError: If `n` is below 1, or `limit` is out of range.

    Example:
      >>> import jax, jax.numpy as jnp, jaxgan
      >>> z = jaxgan.latents.truncated_normal(100, 0.5)(jax.random.key(0), 2, jnp.float32)
      >>> z.shape, bool((abs(z) <= 0.5).all())
      ((2, 100), True)

    References:
      Brock et al., Large Scale GAN Training for High Fidelity Natural Image Synthesis, 2019,
      https://arxiv.org/abs/1809.11096
    """
    checks.integer("n", n)
    checks.real("limit", limit, 0.0, MAX_LIMIT, positive=True)

    def draw(key: jax.Array, num: int, dtype: DTypeLike) -> jax.Array:
        # In narrower floats, the limits' probabilities round to 0 and 1.
        wide = jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype
        return jax.random.truncated_normal(key, -limit, limit, (num, n), wide).astype(dtype)

    return _checked(draw)


def infogan(noise: int, categories: tuple[int, ...] = (10,), continuous: int = 2) -> Sampler:
    r"""Makes a sampler of noise with categorical and continuous codes, as in InfoGAN.

    The noise is standard normal. Each categorical code is uniform over its categories, in one-hot
    form. The continuous codes are uniform in [-1, 1). All are independent. An entry without
    numbers is omitted.

    Args:
      noise: the number of noise coordinates.
      categories: the number of categories of each categorical code, each at least 2.
      continuous: the number of continuous codes.

    Returns:
      A `Sampler` of a dict. "noise" is float `[num, noise]`. "categories" is a tuple with one
      one-hot array `[num, k]` for each categorical code. "continuous" is float
      `[num, continuous]`.

    Raises:
      TypeError: If a number is not an integer, or `categories` is not a tuple.
      ValueError: If a number is out of range, or all are zero.

    Example:
      >>> import jax, jax.numpy as jnp, jaxgan
      >>> z = jaxgan.latents.infogan(62)(jax.random.key(0), 5, jnp.float32)
      >>> z["noise"].shape, z["categories"][0].shape, z["continuous"].shape
      ((5, 62), (5, 10), (5, 2))

    References:
      Chen et al., InfoGAN: Interpretable Representation Learning by Information Maximizing
      Generative Adversarial Nets, 2016, https://arxiv.org/abs/1606.03657
    """
    checks.integer("noise", noise, 0)
    checks.integer("continuous", continuous, 0)
    checks.instance("categories", categories, tuple, "a tuple of integers, such as (10,)")
    for size in categories:
        checks.integer("Each of categories", size, 2)
    total, got = noise + continuous + len(categories), f"{noise=}, {categories=}, {continuous=}"
    checks.require(total > 0, "Latents", "at least one coordinate", got)

    def draw(key: jax.Array, num: int, dtype: DTypeLike) -> dict[str, PyTree]:
        noise_key, continuous_key, *keys = jax.random.split(key, 2 + len(categories))
        classes = [
            jax.random.randint(key, (num,), 0, size)
            for key, size in zip(keys, categories, strict=True)
        ]
        one_hot = functools.partial(jax.nn.one_hot, dtype=dtype)
        entries = {
            "noise": jax.random.normal(noise_key, (num, noise), dtype) if noise else None,
            "categories": tuple(map(one_hot, classes, categories)) or None,
            "continuous": jax.random.uniform(continuous_key, (num, continuous), dtype, -1.0, 1.0)
            if continuous
            else None,
        }
        return {name: entry for name, entry in entries.items() if entry is not None}

    return _checked(draw)


def as_sampler(latents: int | Sampler) -> Sampler:
    """Returns a sampler: the given one, or `normal(n)` for an integer $n$.

    Args:
      latents: a `Sampler`, or the number of coordinates of standard normal latents.

    Raises:
      TypeError: If `latents` is neither an integer nor a sampler.
      ValueError: If the integer is below 1.

    Example:
      >>> import jax, jax.numpy as jnp, jaxgan
      >>> jaxgan.latents.as_sampler(3)(jax.random.key(0), 2, jnp.float32).shape
      (2, 3)
      >>> jaxgan.latents.as_sampler(jaxgan.latents.normal)
      Traceback (most recent call last):
      ...
      TypeError: latents must be a function (key, num, dtype) -> latents, or an integer; got the
      function normal. Call it: normal(...).
    """
    if isinstance(latents, int | np.integer) and not isinstance(latents, bool):
        checks.integer("latents", latents)
        return normal(int(latents))
    form = "(key, num, dtype) -> latents, or an integer"
    checks.function("latents", latents, form, or_class=False)
    sampler: Sampler = latents  # type: ignore[assignment]
    return sampler


def _checked(draw: Sampler) -> Sampler:
    """Returns a sampler that checks its arguments."""

    def sample(key: jax.Array, num: int, dtype: DTypeLike) -> PyTree:
        checks.key(key)
        checks.integer("num", num)
        is_float = jnp.issubdtype(dtype, jnp.floating)
        checks.require(is_float, "dtype", "a float dtype", checks.shown(dtype), error=TypeError)
        return draw(key, num, dtype)

    return sample
