"""Checks the range of images."""

from typing import Any

import numpy as np

from jaxgan._internal.checks.arrays import finite, is_readable
from jaxgan._internal.checks.values import require

Range = tuple[float, float]

SIGNED: Range = (-1.0, 1.0)
"""The range of float images in jaxgan, unless a GAN declares another one."""

_TOLERANCE = 0.001  # for rounding, as a fraction of half the range
_DARK = 0.01  # exceeds a normalized mask, as a fraction of half the range
_MASKS = "Multiply masks of 0 and 1 by 255."


def plausible(low: Any, high: Any, data_range: Range, *, real: bool, few: bool = False) -> Any:
    """Returns whether float images with these extreme values can have the promised range.

    Images without negative values are probably in [0, 1], because images in [-1, 1] have their dark
    half below 0. Real images that are almost black are probably uint8 masks of 0 and 1, normalized.
    The range of blank images, whose values are all equal, is unknown. Other ranges than [-1, 1]
    allow no such guess.

    Args:
      low, high: the smallest and largest value of the images, numbers or traced scalars.
      data_range: the promised range.
      real: whether the images are real. Generated images can be almost black.
      few: whether the images are too few for a guess. A few pictures can be bright or dark.
    """
    least, most = data_range
    half = (most - least) / 2
    usual = (low >= least - _TOLERANCE * half) & (high <= most + _TOLERANCE * half)
    blank = low == high
    if few or data_range != SIGNED:
        return usual
    if real:
        usual &= blank | (high > least + _DARK * half)
    return usual & (blank | (low < 0))


def images_in_range(
    name: str,
    x: object,
    data_range: Range = SIGNED,
    *,
    real: bool = False,
    few: bool = False,
    declare: str = "",
) -> None:
    """Checks that concrete images are plausible for the promised range.

    Args:
      name: the argument's name in an error.
      x: uint8, or floats; not empty. Traced arrays, and arrays with parts in other
        processes, are not checked.
      data_range: the promised range of floats.
      real: whether to refuse images that are probably masks.
      few: whether the images are too few to guess that they are masks or in [0, 1].
      declare: how to promise another range, for the advice.

    Raises:
      ValueError: If float images are non-finite, out of range, or probably in [0, 1]; or if real
        images are probably masks.

    Example:
      >>> import numpy as np
      >>> from jaxgan._internal import checks
      >>> checks.images_in_range("Images", np.array([0.0, 0.5, 1.0]))
      Traceback (most recent call last):
      ...
      ValueError: Images must be in [-1, 1], some below 0; got 0 to 1. Scale images in [0, 1] by
      2 * x - 1.
    """
    if not is_readable(x):
        return
    values: np.ndarray = np.asarray(x)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        finite(name, values)
    if values.dtype == np.uint8:
        fits, expected, advice = (
            not real or low == high or high > 1,
            "in [0, 255], not masks",
            _MASKS,
        )
    else:
        fits = plausible(low, high, data_range, real=real, few=few)
        expected, advice = _explain(low, high, data_range, declare)
    require(fits, name, expected, f"{low:g} to {high:g}", advice)


def _explain(low: float, high: float, data_range: Range, declare: str) -> tuple[str, str]:
    """Returns what implausible float images must be, and what to do."""
    least, most = data_range
    expected, margin = f"in [{least:g}, {most:g}]", _TOLERANCE * (most - least) / 2
    if low < least - margin or high > most + margin:
        return expected, f"Scale them{declare}."
    if low >= 0:
        return f"{expected}, some below 0", f"Scale images in [0, 1] by 2 * x - 1{declare}."
    return f"{expected}, not almost black", _MASKS
