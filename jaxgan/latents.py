"""Makes latents, the points that a generator maps to images."""

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
    """Moves one coordinate of a latent along a line and keeps the others fixed.

    Row $i$ is `latent` with $z_c = \\mathrm{start} + i\\,\\mathrm{step}$.

    Args:
      latent: float `[latent_dim]`.
      coordinate: index of the coordinate that moves, in [0, latent_dim).
      num: number of latents, at least 1.
      start: first value of the coordinate.
      step: difference between consecutive rows.

    Returns:
      Float `[num, latent_dim]`, of the dtype of `latent`.

    Raises:
      TypeError: If `latent` is not floats, or another argument is not a number.
      ValueError: If `latent` is not one latent, `coordinate` or `num` is out of range, or a value
        is not finite.

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
