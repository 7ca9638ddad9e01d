"""Changes the colors of one image, filters it, adds noise and cuts out a part, for ADA."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgan.augment._ada_geometry import along_axes, reflect

# The low-pass filter of the orthonormal wavelet sym2.
_SYM2 = np.array(
    [-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025]
)
_POWER = np.array([10, 1, 1, 1]) / 13  # the expected power of natural images in the four bands
_LUMA = np.full((3, 3), 1 / 3)  # projects a color to the gray axis
_TURN = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)  # turns about the gray axis


def recolor(
    image: Array, brightness: Array, contrast: Array, flip: Array, hue: Array, saturation: Array
) -> Array:
    """Changes the colors by one affine function of the channels.

    Args:
      image: `[height, width, channels]`, with 1 or 3 channels.
      brightness: the number that is added to all channels first.
      contrast: the factor of all channels.
      flip: 1 changes the sign of the mean of the channels, 0 does not.
      hue: the angle of the rotation about the gray axis, in radians.
      saturation: the factor of the difference from the mean of the channels.
    """
    sign = 1.0 - 2.0 * flip
    across, turned = saturation * jnp.cos(hue), saturation * jnp.sin(hue)
    # Without a change, the factors of `turn` and `luma` are 0, so the identity is exact.
    identity, turn, luma = (jnp.asarray(x, jnp.float32) for x in (np.eye(3), _TURN, _LUMA))
    linear = across * identity + turned * turn + (sign - across) * luma
    if image.shape[2] == 1:  # hue and saturation do not change gray
        linear = sign.reshape(1, 1)
    brightness, linear = (x.astype(image.dtype) for x in (brightness, contrast * linear))
    precision = jax.lax.Precision.HIGHEST
    return jnp.einsum("ij,hwj->hwi", linear, image + brightness, precision=precision)


def amplify_bands(image: Array, factors: Array) -> Array:
    """Multiplies four frequency bands by factors, and normalizes the expected power.

    Args:
      image: `[height, width, channels]`.
      factors: `[4]`, positive, that of the lowest band first.
    """
    powers = 1 + jnp.asarray(_POWER, jnp.float32) * (factors**2 - 1)  # after the change of one band
    gains = (factors / jnp.sqrt(jnp.prod(powers))).astype(image.dtype)
    filters = (
        jnp.tensordot(gains, jnp.asarray(_band_matrices(size), image.dtype), axes=1)
        for size in image.shape[:2]
    )
    # Without a change, the bands would add up to the image only up to rounding.
    return jnp.where(jnp.all(factors == 1), image, along_axes(image, *filters))


def add_noise(image: Array, noise: Array, std: Array) -> Array:
    """Adds standard noise, of the shape of the image, times a standard deviation."""
    return image + (std * noise).astype(image.dtype)


def cut_out(image: Array, center: Array, side: Array) -> Array:
    """Sets a box to 0.

    Args:
      image: `[height, width, channels]`.
      center: the horizontal and vertical place of the center, `[2]`, in [0, 1].
      side: the sides of the box as a fraction of the image's sides; 0 for no box.
    """
    columns, rows = (
        jnp.abs(jnp.arange(0.5, size, dtype=jnp.float32) / size - place) < side / 2
        for size, place in zip((image.shape[1], image.shape[0]), center, strict=True)
    )
    return jnp.where(rows[:, None, None] & columns[None, :, None], jnp.zeros_like(image), image)


def _filter_bank() -> np.ndarray:
    # The impulse responses of four octave bands, `[4, 43]`, lowest first. Their sum is 1 at
    # the center and 0 elsewhere. Each half is a filter times its mirror image, so its phase is 0.
    low_half = np.convolve(_SYM2, _SYM2[::-1]) / 2
    high_half = low_half * (-1.0) ** np.arange(-3, 4)
    bands, low = [], np.ones(1)
    for octave in range(3):
        spread = np.zeros((2, 6 * 2**octave + 1))
        spread[:, :: 2**octave] = [low_half, high_half]
        bands.append(np.convolve(low, spread[1]))
        low = np.convolve(low, spread[0])
    centered = [np.pad(band, (len(low) - len(band)) // 2) for band in [*bands, low]]
    return np.stack(centered[::-1])


def _band_matrices(size: int) -> np.ndarray:
    # The matrices of the four bands, `[4, size, size]`, for images reflected at their borders.
    bank = _filter_bank()
    reach = bank.shape[1] // 2
    pixels = np.arange(size)[:, None]
    matrices = np.zeros((len(bank), size, size))
    sources = reflect(pixels + np.arange(-reach, reach + 1), size)
    for matrix, taps in zip(matrices, bank, strict=True):
        np.add.at(matrix, (pixels, sources), taps)
    return matrices
