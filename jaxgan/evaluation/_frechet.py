"""The Frechet distance between two sets of features, and the moments for it."""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan._internal.shapes import Float64
from jaxgan.evaluation._arrays import as_features, check_dims

_ROUNDING = 1e-6  # of the largest value: the possible error of a scatter summed in float32
_ADVICE = "Compute it by evaluation.moments."


class Moments(NamedTuple):
    """Holds the number, the mean and the scatter of features, as input of `frechet`.

    Attributes:
      count: the number of rows.
      mean: float64 `[dims]`.
      scatter: the sum of outer products of rows minus their mean, float64 `[dims, dims]`. The
        covariance is `scatter / (count - 1)`.
    """

    count: int  # type: ignore[assignment]  # tuple.count is a method
    mean: np.ndarray
    scatter: np.ndarray


def moments(features: ArrayLike) -> Moments:
    """Computes the moments of features, or of one batch of them.

    Args:
      features: floats `[num, dims]`, at least one row.

    Returns:
      `Moments`.

    Raises:
      TypeError: If `features` are not floats.
      ValueError: If they are not `[num, dims]`, empty or not finite.

    Example:
      >>> from jaxgan import evaluation
      >>> count, mean, scatter = evaluation.moments([[0.0, 1.0], [2.0, 1.0]])
      >>> count, mean.tolist(), scatter.tolist()
      (2, [1.0, 1.0], [[2.0, 0.0], [0.0, 0.0]])
    """
    return compute_moments(as_features("features", features))


def compute_moments(x: Float64[np.ndarray, " num dims"]) -> Moments:
    """Computes the `moments` of checked features."""
    mean = x.mean(axis=0)
    return Moments(len(x), mean, (x - mean).T @ (x - mean))


def merge(parts: Iterable[Moments]) -> Moments:
    r"""Merges the moments of disjoint batches into the moments of all rows.

    For two of $n$ and $m$ rows whose means differ by $\delta$,
    $S = S_a + S_b + \frac{n m}{n + m} \delta \delta^\top$.

    Args:
      parts: an iterable of `Moments` of the same dimensions, at least one. Of a
        generator's parts, only two are in memory at a time.

    Returns:
      `Moments` of all rows.

    Raises:
      TypeError: If `parts` is not an iterable of `Moments`.
      ValueError: If `parts` is empty, a part is not valid, or the dimensions differ.

    Example:
      >>> import numpy as np
      >>> from jaxgan import evaluation
      >>> x = np.random.default_rng(0).normal(size=(50, 3))
      >>> merged = evaluation.merge(evaluation.moments(x[i : i + 10]) for i in range(0, 50, 10))
      >>> merged.count, np.allclose(merged.scatter, evaluation.moments(x).scatter)
      (50, True)

    References:
      Chan et al., Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979
    """
    several = isinstance(parts, Iterable) and not isinstance(parts, Moments)
    got = checks.shown(parts)
    checks.require(several, "parts", "an iterable of Moments", got, error=TypeError)
    parts = (_check_moments("A part", part) for part in parts)
    first = next(parts, None)
    if first is None:
        raise ValueError("parts must be at least one Moments; got none.")
    return functools.reduce(_merge, parts, first)


def frechet(real: ArrayLike | Moments, fake: ArrayLike | Moments) -> float:
    r"""Computes the Frechet distance between the Gaussians that fit two sets of features.

    $$\|\mu_r - \mu_f\|^2 + \mathrm{Tr}\left(\Sigma_r + \Sigma_f
    - 2 (\Sigma_r \Sigma_f)^{1/2}\right).$$

    With $\Sigma = L L^\top$ from an eigendecomposition, the trace of the square root is the sum of
    the singular values of $L_r^\top L_f$. This takes square roots of symmetric matrices only, and
    is accurate for singular covariances, which dead units cause.

    With features of the Inception network the distance is the FID. Otherwise name the distance
    after its features. The distance is biased upwards by about dims / num. So compare distances of
    equal counts only, and also report the distance between two sets of real images. For a standard
    error draw new latents, because the bootstrap adds to the bias.

    Args:
      real: floats `[num_real, dims]`, or their `Moments`; more rows than dimensions.
      fake: floats `[num_fake, dims]`, or their `Moments`; more rows than dimensions.

    Returns:
      At least 0, in squared units of the features.

    Raises:
      TypeError: If the features are not floats.
      ValueError: If they are not `[num, dims]`, not finite, of different dimensions, or have no
        more rows than dimensions; or if the scatter of `Moments` is not symmetric, or has a
        negative eigenvalue.

    Example:
      Means 3 apart, and standard deviations 1 and 2:

      >>> import numpy as np
      >>> from jaxgan import evaluation
      >>> x = np.random.default_rng(0).normal(size=(1000, 1))
      >>> x = (x - x.mean()) / x.std()
      >>> round(evaluation.frechet(x, 2 * x + 3), 2)
      10.0

    References:
      Heusel et al., GANs Trained by a Two Time-Scale Update Rule, 2017,
      https://arxiv.org/abs/1706.08500

      Chong and Forsyth, Effectively Unbiased FID and Inception Score, 2020,
      https://arxiv.org/abs/1911.07023 (the bias)
    """
    a, b = (
        _check_moments(name, x) if isinstance(x, Moments) else compute_moments(as_features(name, x))
        for name, x in (("real", real), ("fake", fake))
    )
    check_dims("real and fake", a.mean, b.mean)
    check_rows("real", a.count, len(a.mean))
    check_rows("fake", b.count, len(b.mean))
    return compute_frechet(a, b)


def compute_frechet(real: Moments, fake: Moments) -> float:
    """Computes the `frechet` distance of checked moments."""
    mean = float(np.sum((real.mean - fake.mean) ** 2))
    covariances = real.scatter / (real.count - 1), fake.scatter / (fake.count - 1)
    traces = np.trace(real.scatter) / (real.count - 1) + np.trace(fake.scatter) / (fake.count - 1)
    factors = _factor("real", covariances[0]), _factor("fake", covariances[1])
    cross = np.linalg.svd(factors[0].T @ factors[1], compute_uv=False).sum()
    return max(0.0, mean + float(traces - 2.0 * cross))


def check_rows(name: str, num: int, dims: int) -> None:
    """Checks that features have more rows than dimensions, as a Frechet distance needs."""
    got, advice = f"{num} rows of {dims} dimensions", "Use ten times as many rows as dimensions."
    checks.require(num > dims, name, "more rows than dimensions", got, advice)


def _check_moments(name: str, x: Moments) -> Moments:
    checks.instance(name, x, Moments, "Moments, as evaluation.moments returns")
    checks.integer(f"count of {name}", x.count)
    mean = as_features(f"mean of {name}", np.asarray(x.mean)[None])[0]
    scatter = as_features(f"scatter of {name}", x.scatter)
    square, least = 2 * mean.shape, scatter.diagonal().min()
    expected = f"[dims, dims], here {square}, with no negative diagonal"
    fits, got = scatter.shape == square and least >= 0, f"{scatter.shape} with {least:g}"
    checks.require(fits, f"scatter of {name}", expected, got)
    uneven, largest = np.abs(scatter - scatter.T).max(), np.abs(scatter).max()
    fits, got = uneven <= _ROUNDING * largest, f"differences of {uneven:g} in up to {largest:g}"
    checks.require(fits, f"scatter of {name}", "symmetric", got, _ADVICE)
    return Moments(int(x.count), mean, scatter)


def _factor(
    name: str, covariance: Float64[np.ndarray, " dims dims"]
) -> Float64[np.ndarray, " dims dims"]:
    """Computes L, where L L' is the covariance."""
    values, vectors = np.linalg.eigh(covariance)
    fits = values[0] >= -_ROUNDING * values[-1]
    got = f"eigenvalues of the covariance of {values[0]:g} to {values[-1]:g}"
    checks.require(fits, f"scatter of {name}", "positive semidefinite", got, _ADVICE)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _merge(a: Moments, b: Moments) -> Moments:
    check_dims("parts", a.mean, b.mean)
    count, delta = a.count + b.count, b.mean - a.mean
    mean = a.mean + delta * (b.count / count)
    scatter = a.scatter + b.scatter + np.outer(delta, delta) * (a.count * b.count / count)
    return Moments(count, mean, scatter)
