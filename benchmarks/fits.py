"""Fits straight lines and power laws to costs that grow with the size of the work."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Line(NamedTuple):
    """Holds a fitted line, `y = intercept + slope * x`.

    Args:
      intercept, slope: the line.
      standard_error: of the slope, or None for two points, which have no residuals.
      residuals: `y` minus the line, for each point.
    """

    intercept: float
    slope: float
    standard_error: float | None
    residuals: np.ndarray


def line(x: ArrayLike, y: ArrayLike, *, relative: bool = False) -> Line:
    """Fits a line to two or more points by least squares, in float64.

    Args:
      x: the sizes, at least two different ones.
      y: the costs.
      relative: whether to minimize the squares of the residuals divided by `y`.
    """
    ys = np.asarray(y, np.float64)
    weights = 1 / ys if relative else np.ones_like(ys)
    columns = np.stack([np.ones_like(ys), np.asarray(x, np.float64)], axis=1)
    weighted = columns * weights[:, None]
    found = np.linalg.lstsq(weighted, ys * weights)[0]
    residuals, error = ys - columns @ found, None
    if len(ys) > 2:
        variance = np.square(residuals * weights).sum() / (len(ys) - 2)
        error = float(np.sqrt(variance * np.linalg.inv(weighted.T @ weighted)[1, 1]))
    return Line(float(found[0]), float(found[1]), error, residuals)


def power_law(sizes: Sequence[float], costs: Sequence[float]) -> dict[str, Any]:
    """Fits `cost = factor * size^exponent`, as a line through the logarithms.

    Returns:
      The range of sizes, the exponent and its standard error, the largest deviation of a cost from
      the fit in %, and the exponent between the two largest sizes.
    """
    x, y = (np.log(np.asarray(values, np.float64)) for values in (sizes, costs))
    found = line(x, y)
    return {
        "from": sizes[0],
        "to": sizes[-1],
        "exponent": found.slope,
        "standard_error": found.standard_error,
        "deviation_percent": 100 * float(np.expm1(np.abs(found.residuals).max())),
        "last_exponent": float((y[-1] - y[-2]) / (x[-1] - x[-2])),
    }
