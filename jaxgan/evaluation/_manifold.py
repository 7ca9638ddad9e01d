"""Separate measures of fidelity and variety: precision, recall, density and coverage."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan._internal.shapes import Float64
from jaxgan.evaluation._arrays import as_pair, middle, nearest, squared_distances


class PrecisionRecall(NamedTuple):
    """Holds the result of `precision_recall`.

    Attributes:
      precision: the share of fakes within the real images' balls, in [0, 1].
      recall: the share of real images within the fakes' balls, in [0, 1].
    """

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Holds the result of `density_coverage`.

    Attributes:
      density: the mean number of real balls that hold a fake, divided by k; may exceed 1.
      coverage: the share of real images whose ball holds a fake, in [0, 1].
    """

    density: float
    coverage: float


def precision_recall(real: ArrayLike, fake: ArrayLike, *, k: int = 3) -> PrecisionRecall:
    r"""Computes the share of fakes that look real, and of real images that could be fake.

    Around each point of a set is a ball that reaches its $k$-th nearest neighbor in that set.
    Precision is the share of fakes in at least one real ball, recall the share of real points in at
    least one fake ball. Two sets of one distribution score below 1, so also report the scores of
    two sets of real images. Outliers have large balls, which affect `density_coverage` less. A ball
    contains its edge, and all points that rounding in float64 may have moved off the edge.

    Args:
      real: floats `[num_real, dims]`, more than `k`; usually 10,000 of each set.
      fake: floats `[num_fake, dims]`, more than `k`.
      k: the rank of the neighbor, at least 1.

    Returns:
      A `PrecisionRecall`. Distances are computed in blocks.

    Raises:
      TypeError: If the features are not floats.
      ValueError: If they are not `[num, dims]`, not finite, of different dimensions, or have too
        few rows.

    Example:
      >>> from jaxgan import evaluation
      >>> real, fake = [[0.0], [1.0], [2.0]], [[0.5], [9.0], [9.5]]
      >>> evaluation.precision_recall(real, fake, k=1)
      PrecisionRecall(precision=0.3333333333333333, recall=1.0)

    References:
      Kynkaanniemi et al., Improved Precision and Recall Metric for Assessing Generative Models,
      2019, https://arxiv.org/abs/1904.06991
    """
    checks.integer("k", k)
    x, y = as_pair(real, fake, at_least=(k + 1, k + 1), setting=f"with k={k}")
    return compute_precision_recall(x, y, k)


def compute_precision_recall(
    x: Float64[np.ndarray, " num_real dims"], y: Float64[np.ndarray, " num_fake dims"], k: int = 3
) -> PrecisionRecall:
    """Computes `precision_recall` of checked features."""
    real_balls, fake_balls = (_balls(points, k, middle(x)) for points in (x, y))
    in_real, in_fake = np.zeros(len(y), bool), np.zeros(len(x), bool)
    for rows, block in squared_distances(y, x):
        in_real[rows] = (block <= real_balls).any(axis=1)
        in_fake |= (block <= fake_balls[rows, None]).any(axis=0)
    return PrecisionRecall(float(in_real.mean()), float(in_fake.mean()))


def density_coverage(real: ArrayLike, fake: ArrayLike, *, k: int = 5) -> DensityCoverage:
    r"""Computes fidelity and variety from balls around real points only.

    With the balls $B_i$ of `precision_recall` around the $N$ real points, and $M$ fakes $y_j$,
    $$\mathrm{density} = \frac{1}{k M} \sum_{i, j} [y_j \in B_i], \qquad
    \mathrm{coverage} = \frac{1}{N} \sum_i [\exists j: y_j \in B_i].$$
    For two sets of one distribution they are near 1 and $1 - 2^{-k}$ (if equally large).

    Args:
      real: floats `[num_real, dims]`, more than `k`; usually 10,000 of each set.
      fake: floats `[num_fake, dims]`, at least one.
      k: the rank of the neighbor, at least 1.

    Returns:
      A `DensityCoverage`. Distances are computed in blocks.

    Raises:
      TypeError: If the features are not floats.
      ValueError: If they are not `[num, dims]`, not finite, of different dimensions, or have too
        few rows.

    Example:
      >>> from jaxgan import evaluation
      >>> real, fake = [[0.0], [1.0], [3.0]], [[0.5], [0.75]]
      >>> evaluation.density_coverage(real, fake, k=1)
      DensityCoverage(density=2.0, coverage=0.6666666666666666)

    References:
      Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, 2020,
      https://arxiv.org/abs/2002.09797
    """
    checks.integer("k", k)
    x, y = as_pair(real, fake, at_least=(k + 1, 1), setting=f"with k={k}")
    return compute_density_coverage(x, y, k)


def compute_density_coverage(
    x: Float64[np.ndarray, " num_real dims"], y: Float64[np.ndarray, " num_fake dims"], k: int = 5
) -> DensityCoverage:
    """Computes `density_coverage` of checked features."""
    balls = _balls(x, k, middle(x))
    total, hit = 0, np.zeros(len(x), bool)
    for _, block in squared_distances(y, x):
        inside = block <= balls
        total += int(inside.sum())
        hit |= inside.any(axis=0)
    return DensityCoverage(total / (k * len(y)), float(hit.mean()))


def _balls(
    points: Float64[np.ndarray, " num dims"], k: int, center: Float64[np.ndarray, " dims"]
) -> Float64[np.ndarray, " num"]:
    """Computes squared radii, with a margin for rounding, so that a point on the edge is inside.

    The rounding of `squared_distances` is proportional to the squared norms from `center`.
    A point on the edge of a ball has at most the norm of the ball's own point plus the radius. The
    factor covers the worst case in up to three dimensions; in more, roundings average out.
    """
    squared = nearest(points, points, k)[0]
    reach = np.sqrt(((points - center) ** 2).sum(axis=1)) + np.sqrt(squared)
    rounding = (4 * np.sqrt(points.shape[1]) + 8) * np.finfo(np.float64).eps
    return squared + rounding * reach**2
