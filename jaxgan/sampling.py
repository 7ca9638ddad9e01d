"""Latents to look at, and what can be read off a batch of samples."""

import jax
import jax.numpy as jnp

from jaxgan import checks


def traversal(
    latent: jax.Array,
    coordinate: int = 0,
    *,
    num: int = 100,
    start: float = -1.0,
    step: float = 0.02,
) -> jax.Array:
    """Latents that walk along one coordinate and hold every other fixed.

    Row $i$ is `latent` with $z_c = \\mathrm{start} + i\\,\\mathrm{step}$.

    Args:
      latent: the point that is held fixed, float `[latent_dim]`.
      coordinate: which coordinate moves, in [0, latent_dim).
      num: how many latents, at least 1.
      start: the coordinate's first value.
      step: what each row adds.

    Returns:
      Float `[num, latent_dim]`, of the dtype of `latent`.

    Raises:
      TypeError: `latent` is not of floats, or a number is none.
      ValueError: `latent` is not one latent, it has no such coordinate, `num` is below 1, or
        another number is not finite.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> print(jaxgan.sampling.traversal(jnp.array([5.0, 7.0]), num=3, start=-1.0, step=0.5))
      [[-1.   7. ]
       [-0.5  7. ]
       [ 0.   7. ]]
    """
    checks.whole("num", num)
    checks.number("start", start)
    checks.number("step", step)
    latent = checks.array("latent", latent, jnp.floating, "[latent_dim]")
    checks.finite("latent", latent)
    checks.whole("coordinate", coordinate, 0, latent.shape[0] - 1)
    values = start + step * jnp.arange(num, dtype=latent.dtype)
    return jnp.tile(latent, (num, 1)).at[:, coordinate].set(values)


def pixel_diversity(images: jax.Array) -> jax.Array:
    r"""How much the images of a batch differ, pixel by pixel.

    The standard deviation over the batch, averaged over pixels,

    $$\frac{1}{P} \sum_p \sqrt{\tfrac{1}{N} \sum_n (x_{np} - \bar x_p)^2}.$$

    It is 0 when all images are the same: a generator that collapses onto few images shows it as a
    fall far below the value of real images. (It is a warning lamp, not a score.)

    Args:
      images: float `[batch, ...]`.

    Returns:
      A float scalar, at least 0, in the units of the pixels.

    Raises:
      TypeError: they are no floats.
      ValueError: there are fewer than two images, or, outside of jit, some values are not finite.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> print(jaxgan.sampling.pixel_diversity(jnp.array([[-1.0, 0.5], [1.0, 0.5]])))
      0.5
    """
    images = checks.array("images", images, jnp.floating)
    checks.finite("images", images)
    if images.shape[0] < 2:
        raise ValueError(
            f"Diversity needs two images or more, [batch, ...]; got shape {images.shape}."
        )
    return jnp.mean(jnp.std(images, axis=0))
