"""Augments with the transforms of ADA, each with its own coin."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan.augment._ada_geometry import blit_inverse, geometry_inverse, product, warp
from jaxgan.augment._ada_pixels import add_noise, amplify_bands, cut_out, recolor
from jaxgan.augment._types import PIXELS, Pipeline, check


def ada(
    probability: float | Array | None = None,
    *,
    blit: bool = True,
    geometry: bool = True,
    color: bool = True,
    filtering: bool = False,
    corruption: bool = False,
) -> Pipeline:
    r"""Returns the augmentation pipeline of ADA, for small data sets.

    Each transform has its own coin for each image, and transforms the image with probability $p$.
    Below, $n \sim N(0, 1)$ and $u \sim U(-1, 1)$ are drawn for each transform and image. In this
    order, the transforms of a $W \times H$ image $x$ are

    - `blit`: a horizontal flip or none; 0 to 3 quarter turns; a shift by
      $\mathrm{round}(u_1 W / 8)$ and $\mathrm{round}(u_2 H / 8)$ pixels.
    - `geometry`: a scaling by $2^{0.2n}$; a rotation by $\pi u$; a scaling of the width by
      $s = 2^{0.2n}$ and of the height by $1/s$; a second rotation; a shift by $n_1 W / 8$ and
      $n_2 H / 8$. Each rotation has the probability $1 - \sqrt{1 - p}$.
    - `color`: $x + 0.2n$; $2^{0.5n} x$; a change of the sign of the channels' mean or none; a
      rotation by $\pi u$ about the gray axis; a scaling by $2^n$ of the difference from the
      channels' mean.
    - `filtering`: in each of four octave bands, an amplification by $2^n$. The expected power of
      natural images stays the same.
    - `corruption`: Gaussian noise with standard deviation $0.1|n|$; a box of half the sides, set
      to 0.

    One resampling applies all `blit` and `geometry` transforms to the image, which reflections at
    its borders continue. Its filters remove frequencies that would alias. They are not symmetric,
    so flips and turns blur the finest details slightly, as in the authors' code. Shifts by whole
    pixels are exact up to rounding. The resampling uses dense matrices, so its time grows with the
    third power of the sides. It takes the same time for every $p$.

    By default, `blit`, `geometry` and `color` are active, as in the paper's training runs.

    Args:
      probability: $p$, a number or a scalar array, in [0, 1]; None if `adaptive` or
        `with_probability` sets it. Above about 0.8, generated images often look augmented. The
        range of a value traced by `jax.jit` is not checked.
      blit, geometry, color, filtering, corruption: whether the transforms are active.

    Returns:
      A `Pipeline`, a function `(key, images) -> images`, with images
      `[batch, height, width, channels]`. If `color` is active, they have 1 or 3 channels.

    Raises:
      TypeError: If `probability` is not a number, or another argument is not a bool.
      ValueError: If `probability` is out of range or not a scalar. From the returned function: if
        there is no probability, or images have the wrong rank or number of channels.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import augment
      >>> augmented = jax.jit(augment.ada(0.3))(jax.random.key(0), jnp.ones((4, 16, 16, 3)))
      >>> augmented.shape
      (4, 16, 16, 3)
      >>> adaptive = augment.adaptive(augment.ada())  # for `jaxgan.gan(..., augmentation=)`

    References:
      Karras et al., Training Generative Adversarial Networks with Limited Data, 2020,
      https://arxiv.org/abs/2006.06676
    """
    values = (blit, geometry, color, filtering, corruption)
    active = dict(zip(_ROWS, values, strict=True))
    for name, value in active.items():
        checks.boolean(name, value)

    def apply(key: Array, images: Array, probability: ArrayLike) -> Array:
        images = check(key, images, PIXELS)
        if color:
            fits, got = images.shape[3] in (1, 3), f"{images.shape[3]}"
            checks.require(fits, "The number of channels", "1 or 3", got, "Pass color=False.")
        wide = images.astype(jnp.float32) if jnp.finfo(images.dtype).bits < 32 else images
        p = jnp.asarray(probability, jnp.float32)
        augment = lambda key, image: _augment(key, image, p, active)
        return jax.vmap(augment)(jax.random.split(key, len(images)), wide).astype(images.dtype)

    return Pipeline(apply, probability)


# The rows of each category in the array of draws, in the order of the docstring.
_ROWS = {
    "blit": slice(0, 3),
    "geometry": slice(3, 8),
    "color": slice(8, 13),
    "filtering": slice(13, 17),
    "corruption": slice(17, 19),
}
_ROTATIONS = (4, 6)


def _augment(key: Array, image: Array, p: Array, active: dict[str, bool]) -> Array:
    draw_key, noise_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, image.shape, jnp.float32)
    return transform(image, _draw(draw_key, p), noise, active)


def _draw(key: Array, p: Array) -> Array:
    """Returns two uniform numbers in (-1, 1) for each transform, or zeros if it is not chosen."""
    rotation = 1 - jnp.sqrt(1 - p)  # at least one of two rotations has the probability p
    probabilities = jnp.full((19, 1), p).at[jnp.array(_ROTATIONS)].set(rotation)
    lowest = np.nextafter(np.float32(-1), np.float32(0))  # -1 is an infinite normal number
    # One draw for all transforms compiles faster than one draw for each transform.
    draws = jax.random.uniform(key, (19, 3), jnp.float32, lowest, 1.0)
    chosen = (1 + draws[:, 2:]) / 2 < probabilities
    return jnp.where(chosen, draws[:, :2], 0.0)


def transform(image: Array, draws: Array, noise: Array, active: dict[str, bool]) -> Array:
    """Transforms one image with given draws.

    Args:
      image: `[height, width, channels]`.
      draws: `[19, 2]`, in (-1, 1). 0 means no change.
      noise: standard normal, of the shape of the image.
      active: whether the transforms of each category are active.
    """
    rows = {name: draws[rows] for name, rows in _ROWS.items() if active[name]}
    size = jnp.array([image.shape[1], image.shape[0]], jnp.float32)
    inverses = [_INVERSES[name](rows[name], size) for name in _INVERSES if active[name]]
    if inverses:
        image = warp(image, product(*inverses))
    if active["color"]:
        image = _recolor(image, rows["color"])
    if active["filtering"]:
        image = amplify_bands(image, jnp.exp2(_normal(rows["filtering"][:, 0])))
    if active["corruption"]:
        image = _corrupt(image, noise, *rows["corruption"])
    return image


def _blit(draws: Array, size: Array) -> Array:
    flip, turns, shift = draws
    moved = jnp.round(shift / 8 * size)
    return blit_inverse(_integer(flip[0], 2), _integer(turns[0], 4), moved)


def _geometry(draws: Array, size: Array) -> Array:
    scale, before, stretch, after, shift = draws
    return geometry_inverse(
        scale=jnp.exp2(0.2 * _normal(scale[0])),
        before=jnp.pi * before[0],
        stretch=jnp.exp2(0.2 * _normal(stretch[0])),
        after=jnp.pi * after[0],
        shift=_normal(shift) / 8 * size,
    )


_INVERSES = {"blit": _blit, "geometry": _geometry}


def _recolor(image: Array, draws: Array) -> Array:
    brightness, contrast, flip, hue, saturation = draws[:, 0]
    return recolor(
        image,
        brightness=0.2 * _normal(brightness),
        contrast=jnp.exp2(0.5 * _normal(contrast)),
        flip=_integer(flip, 2),
        hue=jnp.pi * hue,
        saturation=jnp.exp2(_normal(saturation)),
    )


def _corrupt(image: Array, noise: Array, std: Array, box: Array) -> Array:
    image = add_noise(image, noise, 0.1 * jnp.abs(_normal(std[0])))
    return cut_out(image, (box + 1) / 2, jnp.where(jnp.any(box != 0), 0.5, 0.0))


def _normal(draw: Array) -> Array:
    return math.sqrt(2) * jax.scipy.special.erfinv(draw)


def _integer(draw: Array, count: int) -> Array:
    return jnp.floor(jnp.abs(draw) * count)
