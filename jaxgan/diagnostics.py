"""What shows how the game goes: whether the discriminator overpowers, whether samples collapse."""

import jax
import jax.numpy as jnp

from jaxgan._internal import checks
from jaxgan.types import Metrics

__all__ = ["of_images", "of_logits", "pixel_diversity"]


def of_logits(real_logits: jax.Array, fake_logits: jax.Array) -> Metrics:
    """Says how well the discriminator tells real from fake.

    Args:
      real_logits: float `[batch]`.
      fake_logits: float `[batch]`.

    Returns:
      Scalars: `real_probability` and `fake_probability`, the mean sigmoids; `real_accuracy` and
      `fake_accuracy`, the shares on the right side of 0; `logit_gap`, the difference of the means.
      All of them high for real and low for fake images: the discriminator overpowers.

    Raises:
      TypeError: they are no floats.
      ValueError: they are not `[batch]`, or there are none.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan import diagnostics
      >>> metrics = diagnostics.of_logits(jnp.array([2.0, 0.5]), jnp.array([-1.0, 1.0]))
      >>> {name: float(metrics[name]) for name in ("real_accuracy", "fake_accuracy", "logit_gap")}
      {'real_accuracy': 1.0, 'fake_accuracy': 0.5, 'logit_gap': 1.25}
    """
    real_logits = checks.array("real_logits", real_logits, jnp.floating, "[batch]")
    fake_logits = checks.array("fake_logits", fake_logits, jnp.floating, "[batch]")
    dtype = real_logits.dtype
    return {
        "real_probability": jnp.mean(jax.nn.sigmoid(real_logits)),
        "fake_probability": jnp.mean(jax.nn.sigmoid(fake_logits)),
        "real_accuracy": jnp.mean((real_logits > 0).astype(dtype)),
        "fake_accuracy": jnp.mean((fake_logits < 0).astype(dtype)),
        "logit_gap": jnp.mean(real_logits) - jnp.mean(fake_logits),
    }


def of_images(real: jax.Array, fake: jax.Array) -> Metrics:
    """Says how far the images of a batch are from each other, fake ones beside real ones.

    Args:
      real: float `[batch, ...]`, a batch of two or more.
      fake: float `[batch, ...]`, images of the same shape.

    Returns:
      Scalars: `real_distance` and `fake_distance`, the mean Euclidean distance between two images
      of the batch, over all pixels. A collapsing generator's falls far below that of real images.

    Raises:
      TypeError: they are no floats.
      ValueError: a batch has fewer than two images, or the images differ in shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan import diagnostics
      >>> real, fake = jnp.array([[0.0, 0.0], [3.0, 4.0]]), jnp.ones((2, 2))
      >>> {name: float(value) for name, value in diagnostics.of_images(real, fake).items()}
      {'real_distance': 5.0, 'fake_distance': 0.0}
    """
    real = checks.array("real", real, jnp.floating)
    fake = checks.array("fake", fake, jnp.floating)
    if real.shape[1:] != fake.shape[1:]:
        raise ValueError(
            f"real and fake must hold images of one shape; got {real.shape} and {fake.shape}."
        )
    return {"real_distance": _mean_distance(real), "fake_distance": _mean_distance(fake)}


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
      >>> print(jaxgan.diagnostics.pixel_diversity(jnp.array([[-1.0, 0.5], [1.0, 0.5]])))
      0.5
    """
    images = checks.array("images", images, jnp.floating)
    checks.finite("images", images)
    if images.shape[0] < 2:
        raise ValueError(
            f"Diversity needs two images or more, [batch, ...]; got shape {images.shape}."
        )
    return jnp.mean(jnp.std(images, axis=0))


def _mean_distance(images: jax.Array) -> jax.Array:
    num = images.shape[0]
    if num < 2:
        raise ValueError(f"Distances need a batch of two images or more; got {images.shape}.")
    flat = images.reshape(num, -1)
    flat = flat - jnp.mean(flat, axis=0, keepdims=True)  # or close images would cancel out
    squared = jnp.sum(jnp.square(flat), axis=1)
    products = jnp.matmul(flat, flat.T, precision="highest")
    between = squared[:, None] + squared[None, :] - 2.0 * products
    off_diagonal = ~jnp.eye(num, dtype=bool)
    distances = jnp.sqrt(jnp.where(off_diagonal, jnp.maximum(between, 0.0), 0.0))
    return jnp.sum(distances) / (num * (num - 1))
