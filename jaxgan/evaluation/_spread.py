"""Several runs in one cell of a table."""

import math

import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks


def mean_and_error(values: ArrayLike) -> tuple[float, float]:
    r"""Averages runs, and says how far the average can be trusted.

    The standard error is $s / \sqrt{n}$ with $s^2 = \sum_i (x_i - \bar x)^2 / (n - 1)$.

    Args:
      values: one of each run, finite numbers `[runs]`, at least one.

    Returns:
      The mean, and its standard error: NaN for a single run.

    Raises:
      TypeError: values are no numbers.
      ValueError: there is no run, or the value of one is not finite.

    Example:
      >>> from jaxgan import evaluation
      >>> evaluation.mean_and_error([1.0, 2.0, 3.0, 6.0])
      (3.0, 1.0801234497346435)
    """
    try:
        x = np.asarray(values)
    except ValueError as error:  # lists of several lengths
        raise TypeError(f"values must be numbers; got {checks.show(values)}.") from error
    if x.dtype.kind not in "iuf" and x.size:
        raise TypeError(f"values must be numbers [runs]; got {checks.show(values)}.")
    if x.ndim != 1 or len(x) == 0:
        raise ValueError(f"values must be [runs], at least one; got {x.shape}.")
    x = x.astype(np.float64)
    checks.finite("values", x)
    if len(x) == 1:
        return float(x[0]), math.nan
    return float(x.mean()), float(x.std(ddof=1) / math.sqrt(len(x)))


def plus_minus(values: ArrayLike, digits: int = 2) -> str:
    """Writes runs as mean +- standard error; of a single one, the value alone.

    Args:
      values: one of each run, `[runs]`, at least one.
      digits: after the point, up to 17.

    Returns:
      As in the example.

    Raises:
      TypeError: values are no numbers, or `digits` is no whole number.
      ValueError: there is no run, the value of one is not finite, or `digits` is out of range.

    Example:
      >>> from jaxgan import evaluation
      >>> evaluation.plus_minus([1.0, 2.0, 3.0, 6.0]), evaluation.plus_minus([2.5], digits=1)
      ('3.00 +- 1.08', '2.5')
    """
    checks.integer("digits", digits, 0, 17)
    mean, error = mean_and_error(values)
    return f"{mean:.{digits}f}" + ("" if math.isnan(error) else f" +- {error:.{digits}f}")
