"""Creates latents, the vectors that a generator maps to images."""

import jax
import jax.numpy as jnp

from jaxgan._internal import checks

__all__ = ["traversal"]


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
