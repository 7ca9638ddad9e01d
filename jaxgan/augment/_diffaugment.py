"""Shifts images, cuts out parts and changes the color, as in DiffAugment."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxgan._internal import checks
from jaxgan.augment._combine import compose
from jaxgan.augment._types import PIXELS, PlainAugmentation, check


def translation(ratio: float = 0.125) -> PlainAugmentation:
    r"""Shifts each image at random by whole pixels, and fills the uncovered pixels with 0.

    $y_{ij} = x_{i - s,\,j - t}$, with $s$ uniform in $\pm\lfloor rH + 1/2 \rfloor$ and $t$ in
    $\pm\lfloor rW + 1/2 \rfloor$. As in the authors' code, the fill value 0 is mid-gray for
    images in [-1, 1].

    Args:
      ratio: $r$, the largest shift as a fraction of height and of width, in [0, 1].

    Returns:
      A function `(key, images) -> images`, with images `[batch, height, width, channels]`.

    Raises:
      TypeError: If `ratio` is not a number.
      ValueError: If `ratio` is outside [0, 1], or the returned function receives images that do not
        have rank 4.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import augment
      >>> shifted = augment.translation(0.125)(jax.random.key(0), jnp.ones((64, 32, 32, 3)))
      >>> print(shifted.min(), shifted.max())
      0.0 1.0

    References:
      Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, 2020,
      https://arxiv.org/abs/2006.10738
    """
    checks.real("ratio", ratio, 0.0, 1.0)

    def apply(key: Array, images: Array) -> Array:
        images = check(key, images, PIXELS)
        reach = [_pixels(ratio, size) for size in images.shape[1:3]]
        padded = jnp.pad(images, [(0, 0), *((pixels, pixels) for pixels in reach), (0, 0)])
        top, left = (
            jax.random.randint(k, images.shape[:1], 0, 2 * pixels + 1)
            for k, pixels in zip(jax.random.split(key), reach, strict=True)
        )
        # One slice per image was faster than gathers, one-hot products and selects.
        window = lambda image, i, j: jax.lax.dynamic_slice(image, (i, j, 0), images.shape[1:])
        return jax.vmap(window)(padded, top, left)

    return apply


def cutout(ratio: float = 0.5) -> PlainAugmentation:
    r"""Sets a box at a random place in each image to 0.

    The box has $\lfloor rH + 1/2 \rfloor \times \lfloor rW + 1/2 \rfloor$ pixels. The center of the
    box is uniform over the image, and the image borders clip the box.

    Args:
      ratio: $r$, the sides of the box as a fraction of height and of width, in [0, 1].

    Returns:
      A function `(key, images) -> images`, with images `[batch, height, width, channels]`.

    Raises:
      TypeError: If `ratio` is not a number.
      ValueError: If `ratio` is outside [0, 1], or the returned function receives images that do not
        have rank 4.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import augment
      >>> holed = augment.cutout(0.5)(jax.random.key(0), jnp.ones((64, 32, 32, 3)))
      >>> print(holed.min(), holed.max())
      0.0 1.0

    References:
      Zhao et al., 2020, https://arxiv.org/abs/2006.10738
    """
    checks.real("ratio", ratio, 0.0, 1.0)

    def covered(key: Array, batch: int, size: int) -> Array:
        box = _pixels(ratio, size)
        # The center of an even box lies between two pixels, so it has one more position.
        center = jax.random.randint(key, (batch, 1), 0, size + 1 - box % 2)
        offset = jnp.arange(size)[None, :] - (center - box // 2)
        return (offset >= 0) & (offset < box)

    def apply(key: Array, images: Array) -> Array:
        images = check(key, images, PIXELS)
        row_key, column_key = jax.random.split(key)
        rows = covered(row_key, images.shape[0], images.shape[1])
        columns = covered(column_key, images.shape[0], images.shape[2])
        box = rows[:, :, None, None] & columns[:, None, :, None]
        return jnp.where(box, jnp.zeros_like(images), images)

    return apply


def color() -> PlainAugmentation:
    r"""Changes the brightness, saturation and contrast of each image at random.

    Each image has its own draws $b \sim U(-0.5, 0.5)$, $s \sim U(0, 2)$ and $c \sim U(0.5, 1.5)$.
    With $m$ the mean of a pixel's channels and $M$ the mean of the image, the steps are

    $$x \leftarrow x + b, \quad x \leftarrow m + s(x - m), \quad x \leftarrow M + c(x - M).$$

    The result is not clipped to [-1, 1], because clipping would stop the gradient. The saturation
    step skips images with one channel.

    Returns:
      A function `(key, images) -> images`, with images `[batch, height, width, channels]`.

    Raises:
      ValueError: If the returned function receives images that do not have rank 4.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import augment
      >>> augment.color()(jax.random.key(0), jnp.ones((64, 32, 32, 3))).shape
      (64, 32, 32, 3)

    References:
      Zhao et al., 2020, https://arxiv.org/abs/2006.10738
    """

    def apply(key: Array, images: Array) -> Array:
        images = check(key, images, PIXELS)
        brightness, saturation, contrast = (
            _uniform(k, images, low, high)
            for k, low, high in zip(
                jax.random.split(key, 3), (-0.5, 0.0, 0.5), (0.5, 2.0, 1.5), strict=True
            )
        )
        images = images + brightness
        if images.shape[-1] > 1:
            images = _stretch(images, saturation, axes=(3,))
        return _stretch(images, contrast, axes=(1, 2, 3))

    return apply


def diffaugment() -> PlainAugmentation:
    """Returns the augmentation of DiffAugment, for small data sets.

    The result is `compose(color(), translation(0.125), cutout(0.5))`.

    Returns:
      A function `(key, images) -> images`, with images `[batch, height, width, channels]`.

    Raises:
      ValueError: If the returned function receives images that do not have rank 4.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import augment
      >>> augment.diffaugment()(jax.random.key(0), jnp.ones((64, 32, 32, 3))).shape
      (64, 32, 32, 3)

    References:
      Zhao et al., 2020, https://arxiv.org/abs/2006.10738
    """
    return compose(color(), translation(0.125), cutout(0.5))


def _pixels(ratio: float, size: int) -> int:
    # Rounds halves up, as in the authors' code; Python's round() rounds halves to even numbers.
    return int(ratio * size + 0.5)


def _uniform(key: Array, images: Array, low: float, high: float) -> Array:
    # Draws in float32, so that a key gives the same draws in every dtype.
    draws = jax.random.uniform(key, (images.shape[0], 1, 1, 1), jnp.float32, low, high)
    return draws.astype(images.dtype)


def _stretch(images: Array, factor: Array, axes: tuple[int, ...]) -> Array:
    mean = jnp.mean(images, axes, keepdims=True)
    return mean + factor * (images - mean)
