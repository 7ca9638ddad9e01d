"""Computes metrics that show an overpowering discriminator, mode collapse or rotation."""

import jax
import jax.numpy as jnp

from jaxgan._internal import checks
from jaxgan._spectrum import spectrum
from jaxgan.types import Metrics

__all__ = ["of_images", "of_logits", "pixel_diversity", "spectrum"]


def of_logits(
    real_logits: jax.Array, fake_logits: jax.Array, *, boundary: float | None = 0.0
) -> Metrics:
    r"""Computes how well the discriminator separates real from fake images.

    Args:
      real_logits: discriminator outputs of real images, float `[batch]` or `[batch, ...]`.
      fake_logits: discriminator outputs of fake images, float `[batch]` or `[batch, ...]`.
      boundary: the logit of an undecided discriminator, as in `jaxgan.Loss`; or None if only
        differences of logits have a meaning.

    Returns:
      A dict of scalars. `logit_gap` is the mean real logit minus the mean fake logit. With a
      boundary, `real_accuracy` and `fake_accuracy` are the fractions of logits on the correct side
      of the boundary, and `real_probability` and `fake_probability` are the means of $\sigma(d)$
      over logits $d$. Accuracies near 1 and a large gap show that the discriminator overpowers the
      generator.

      $\sigma(d)$ estimates the probability $P$ that an image is real only for
      `losses.minimax()` and `losses.non_saturating(1.0)`. With real and fake labels $t$ and $s$,
      `non_saturating` estimates $s + (t - s) P$. For other losses, $\sigma(d)$ is only a score in
      (0, 1).

    Raises:
      TypeError: If the logits are not floats, or the boundary is not a number.
      ValueError: If logits are scalars, a batch is empty, or the boundary is non-finite.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan import diagnostics
      >>> metrics = diagnostics.of_logits(jnp.array([2.0, 0.5]), jnp.array([-1.0, 1.0]))
      >>> {name: float(metrics[name]) for name in ("real_accuracy", "fake_accuracy", "logit_gap")}
      {'real_accuracy': 1.0, 'fake_accuracy': 0.5, 'logit_gap': 1.25}
    """
    real_logits = checks.array("real_logits", real_logits, jnp.floating, "[batch] or [batch, ...]")
    fake_logits = checks.array("fake_logits", fake_logits, jnp.floating, "[batch] or [batch, ...]")
    gap = {"logit_gap": jnp.mean(real_logits) - jnp.mean(fake_logits)}
    if boundary is None:
        return gap
    checks.real("boundary", boundary)
    dtype = real_logits.dtype
    edge = jnp.asarray(boundary, dtype)
    return {
        "real_probability": jnp.mean(jax.nn.sigmoid(real_logits)),
        "fake_probability": jnp.mean(jax.nn.sigmoid(fake_logits)),
        "real_accuracy": jnp.mean((real_logits > edge).astype(dtype)),
        "fake_accuracy": jnp.mean((fake_logits < edge).astype(dtype)),
        **gap,
    }


def of_images(real: jax.Array, fake: jax.Array) -> Metrics:
    """Computes the mean distance between two images of a batch, for real and for fake images.

    Args:
      real: float `[batch, ...]`, at least two images.
      fake: float `[batch, ...]`, at least two images, of the same image shape as `real`.

    Returns:
      A dict of scalars: `real_distance` and `fake_distance`, the Euclidean distance between the
      pixels of two images, averaged over all pairs in the batch. If the generator collapses,
      `fake_distance` falls far below `real_distance`.

    Raises:
      TypeError: If the images are not floats.
      ValueError: If a batch has fewer than two images, or real and fake images differ in shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan import diagnostics
      >>> real, fake = jnp.array([[0.0, 0.0], [3.0, 4.0]]), jnp.ones((2, 2))
      >>> {name: float(value) for name, value in diagnostics.of_images(real, fake).items()}
      {'real_distance': 5.0, 'fake_distance': 0.0}
    """
    real, fake = _batch("real", real), _batch("fake", fake)
    fits, got = real.shape[1:] == fake.shape[1:], f"{real.shape} and {fake.shape}"
    checks.require(fits, "real and fake", "images of the same shape", got)
    return {"real_distance": _mean_distance(real), "fake_distance": _mean_distance(fake)}


def pixel_diversity(images: jax.Array) -> jax.Array:
    r"""Computes the standard deviation of a pixel over the batch, averaged over pixels.

    $$\frac{1}{P} \sum_p \sqrt{\tfrac{1}{N} \sum_n (x_{np} - \bar x_p)^2}$$

    The value is 0 if all images are equal. If the generator collapses to a few images, the value
    falls far below that of real images. Use the value to detect collapse, not to rank generators.

    Args:
      images: float `[batch, ...]`, at least two images.

    Returns:
      A float scalar, at least 0, in the units of the pixels.

    Raises:
      TypeError: If the images are not floats.
      ValueError: If there are fewer than two images, or, outside of jit, a value is non-finite.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> print(jaxgan.diagnostics.pixel_diversity(jnp.array([[-1.0, 0.5], [1.0, 0.5]])))
      0.5
    """
    images = _batch("images", images)
    checks.finite("images", images)
    return jnp.mean(jnp.std(images, axis=0))


def _batch(name: str, images: jax.Array) -> jax.Array:
    """Checks that a batch has at least two images."""
    images = checks.array(name, images, jnp.floating)
    checks.require(len(images) > 1, name, "at least two images", f"shape {images.shape}")
    return images


def _mean_distance(images: jax.Array) -> jax.Array:
    num = images.shape[0]
    flat = images.reshape(num, -1)
    # Centering reduces rounding errors for similar images.
    flat = flat - jnp.mean(flat, axis=0, keepdims=True)
    squared = jnp.sum(jnp.square(flat), axis=1)
    products = jnp.matmul(flat, flat.T, precision="highest")
    between = squared[:, None] + squared[None, :] - 2.0 * products
    off_diagonal = ~jnp.eye(num, dtype=bool)
    distances = jnp.sqrt(jnp.where(off_diagonal, jnp.maximum(between, 0.0), 0.0))
    return jnp.sum(distances) / (num * (num - 1))
