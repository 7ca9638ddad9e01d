"""The mean and the standard error of several runs."""

import math

import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks


def mean_and_error(values: ArrayLike) -> tuple[float, float]:
    r"""Computes the mean over runs and its standard error.

    The standard error is $s / \sqrt{n}$ with $s^2 = \sum_i (x_i - \bar x)^2 / (n - 1)$.

    Args:
      values: one number for each run, finite, `[runs]`, at least one.

    Returns:
      The mean, and its standard error: NaN for a single run.

    Raises:
      TypeError: If `values` are not real numbers.
      ValueError: If `values` are not `[runs]`, empty or not finite.

    Example:
      >>> from jaxgan import evaluation
      >>> evaluation.mean_and_error([1.0, 2.0, 3.0, 6.0])
      (3.0, 1.0801234497346435)
    """
    x = checks.numpy_array("values", values)
    is_real = x.dtype.kind in "iuf"
    checks.require(is_real, "values", "real numbers", f"{x.dtype}", error=TypeError)
    x = checks.numpy_array("values", x.astype(np.float64), form="[runs]")
    checks.finite("values", x)
    if len(x) == 1:
        return float(x[0]), math.nan
    return float(x.mean()), float(x.std(ddof=1) / math.sqrt(len(x)))


def plus_minus(values: ArrayLike, digits: int = 2) -> str:
    """Formats runs as mean +- standard error, and a single run as its value alone.

    Args:
      values: one number for each run, finite, `[runs]`, at least one.
      digits: the number of digits after the point, in [0, 17].

    Returns:
      Text, as in the example.

    Raises:
      TypeError: If `values` are not real numbers, or `digits` is not an integer.
      ValueError: If `values` are not `[runs]`, empty or not finite, or `digits` is out of range.

    Example:
      >>> from jaxgan import evaluation
      >>> evaluation.plus_minus([1.0, 2.0, 3.0, 6.0]), evaluation.plus_minus([2.5], digits=1)
      ('3.00 +- 1.08', '2.5')
    """
    checks.integer("digits", digits, 0, 17)
    mean, error = mean_and_error(values)
    return f"{mean:.{digits}f}" + ("" if math.isnan(error) else f" +- {error:.{digits}f}")
