"""Flips, rotates, scales and shifts one image without aliasing, for ADA.

A transformation is the inverse of its matrix, `[3, 3]`. The inverse maps homogeneous coordinates
(x, y, 1) of the result to those of the image. x points to the right and y down, in pixels from the
image's center.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

# The low-pass filter of the orthonormal wavelet sym6.
_SYM6 = np.array(
    [
        *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
        *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
        *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
    ]
)


def blit_inverse(flip: Array, quarter_turns: Array, shift: Array) -> Array:
    """Returns the inverse of a flip, then quarter turns, then a shift.

    Args:
      flip: 1 mirrors the image horizontally, 0 does not.
      quarter_turns: the number of counterclockwise turns by 90 degrees.
      shift: whole pixels to the right and down, `[2]`.
    """
    turned = _rotation(quarter_turns * (jnp.pi / 2))
    return product(_scaling(1.0 - 2.0 * flip, 1.0), turned, _translation(-shift))


def geometry_inverse(
    scale: Array, before: Array, stretch: Array, after: Array, shift: Array
) -> Array:
    """Returns the inverse of a scaling, a rotation, a stretching, a rotation, and a shift.

    Args:
      scale: the factor of both sides.
      before, after: the counterclockwise angles of the rotations, in radians.
      stretch: the factor of the width, and the divisor of the height.
      shift: pixels to the right and down, `[2]`.
    """
    return product(
        _scaling(1 / scale, 1 / scale),
        _rotation(before),
        _scaling(1 / stretch, stretch),
        _rotation(after),
        _translation(-shift),
    )


def product(*matrices: Array) -> Array:
    """Returns the product of matrices; a product of inverses undoes the last matrix first."""
    product = matrices[0]
    for matrix in matrices[1:]:
        product = jnp.matmul(product, matrix, precision=jax.lax.Precision.HIGHEST)
    return product


def warp(image: Array, inverse: Array) -> Array:
    """Transforms an image, which reflections at its borders continue on all sides.

    The image is upsampled by 2, sampled bilinearly, and downsampled by 2. Both filters are sym6.

    Args:
      image: `[height, width, channels]`.
      inverse: the inverse of the transformation.
    """
    inverse = inverse.astype(image.dtype)
    upsampled = along_axes(image, *(_upsampling(size) for size in image.shape[:2]))
    sampled = _sample(upsampled, _positions(inverse, image.shape[:2]))
    warped = along_axes(sampled, *(_downsampling(size) for size in image.shape[:2]))
    # Without a transformation, the filters would return the image only up to rounding.
    return jnp.where(jnp.all(inverse == jnp.eye(3, dtype=inverse.dtype)), image, warped)


def along_axes(image: Array, rows: np.ndarray | Array, columns: np.ndarray | Array) -> Array:
    """Multiplies the columns of an image by one matrix, and its rows by another.

    Args:
      image: `[height, width, channels]`.
      rows, columns: matrices `[new_height, height]` and `[new_width, width]`.
    """
    rows, columns = (jnp.asarray(matrix, image.dtype) for matrix in (rows, columns))
    # The default precision of a GPU would round the images to TF32.
    return jnp.einsum("ih,jw,hwc->ijc", rows, columns, image, precision=jax.lax.Precision.HIGHEST)


def reflect(index: np.ndarray, size: int) -> np.ndarray:
    """Maps any index to [0, size) by reflections that do not repeat the border."""
    period = max(2 * size - 2, 1)
    return np.minimum(index % period, period - index % period)


def _upsampling(size: int) -> np.ndarray:
    # The matrix that upsamples one period of an endlessly reflected image, and repeats the first
    # sample. Its size is static. The authors' code instead pads the image by as much as the draws
    # need, at most by one reflection, and then with zeros.
    sample = np.arange(2 * max(2 * size - 2, 1) + 1)[:, None]
    position = sample + 5 - np.arange(12)  # in an image with a 0 after each pixel
    matrix = np.zeros((len(sample), size))
    taps = np.where(position % 2 == 0, np.sqrt(2) * _SYM6, 0.0)
    np.add.at(matrix, (sample, reflect(position // 2, size)), taps)
    return matrix


def _downsampling(size: int) -> np.ndarray:
    matrix = np.zeros((size, 2 * size + 10))
    for i in range(size):
        matrix[i, 2 * i : 2 * i + 12] = _SYM6 / np.sqrt(2)
    return matrix


def _positions(inverse: Array, shape: Sequence[int]) -> list[Array]:
    # The vertical and horizontal positions of all samples in the upsampled image. The filter of the
    # downsampling needs five more samples at each border.
    y, x = (jnp.arange(-4 - size, size + 6, dtype=inverse.dtype) / 2 for size in shape)
    x, y = x[None, :], y[:, None]
    sources = [inverse[i, 0] * x + inverse[i, 1] * y + inverse[i, 2] for i in (1, 0)]
    return [2 * source + (size - 1) for source, size in zip(sources, shape, strict=True)]


def _sample(image: Array, positions: list[Array]) -> Array:
    # Interpolates bilinearly in a periodic image, whose last row and column repeat the first.
    corners = [jnp.floor(position) for position in positions]
    top, left = (
        corner.astype(jnp.int32) % (size - 1)
        for corner, size in zip(corners, image.shape[:2], strict=True)
    )
    size = (2, 2, image.shape[2])
    window = lambda i, j: jax.lax.dynamic_slice(image, (i, j, jnp.zeros_like(i)), size)
    windows = jax.vmap(jax.vmap(window))(top, left)
    down, right = (p - corner for p, corner in zip(positions, corners, strict=True))
    down, right = down[:, :, None, None], right[:, :, None]
    rows = (1 - down) * windows[:, :, 0] + down * windows[:, :, 1]
    return (1 - right) * rows[:, :, 0] + right * rows[:, :, 1]


def _scaling(x: ArrayLike, y: ArrayLike) -> Array:
    return jnp.diag(jnp.stack([jnp.asarray(s, jnp.float32) for s in (x, y, 1.0)]))


def _rotation(angle: Array) -> Array:
    c, s = jnp.cos(angle), jnp.sin(angle)
    return jnp.eye(3, dtype=jnp.float32).at[:2, :2].set(jnp.stack([c, -s, s, c]).reshape(2, 2))


def _translation(by: Array) -> Array:
    return jnp.eye(3, dtype=jnp.float32).at[:2, 2].set(by)
