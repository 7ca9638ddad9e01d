"""The Frechet distance between two sets of features, and the moments that it is made of."""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan.evaluation._arrays import as_features

_ROUNDING = 1e-6  # of the largest value: what a scatter that was summed in float32 may be off by


class Moments(NamedTuple):
    """Mean and scatter of features: all that the Frechet distance asks, and small. In float64.

    Attributes:
      count: how many rows.
      mean: `[dims]`.
      scatter: the sum of outer products of rows less their mean, `[dims, dims]`; the covariance is
        this over `count - 1`.
    """

    count: int  # type: ignore[assignment]  # of rows; tuples have a method of that name
    mean: np.ndarray
    scatter: np.ndarray


def moments(features: ArrayLike) -> Moments:
    """Computes the moments of features, or of one batch of them.

    Args:
      features: floats `[num, dims]`, at least one row.

    Returns:
      `Moments`.

    Raises:
      TypeError: they are not floats.
      ValueError: they are not `[num, dims]`, empty or not finite.

    Example:
      >>> from jaxgan import evaluation
      >>> count, mean, scatter = evaluation.moments([[0.0, 1.0], [2.0, 1.0]])
      >>> count, mean.tolist(), scatter.tolist()
      (2, [1.0, 1.0], [[2.0, 0.0], [0.0, 0.0]])
    """
    x = as_features("features", features)
    mean = x.mean(axis=0)
    return Moments(len(x), mean, (x - mean).T @ (x - mean))


def merge(parts: Iterable[Moments]) -> Moments:
    r"""Joins the moments of disjoint batches, as if they had been computed of all rows at once.

    For two of $n$ and $m$ rows whose means differ by $\delta$,
    $S = S_a + S_b + \frac{n m}{n + m} \delta \delta^\top$.

    Args:
      parts: `Moments` of the same dimensions, at least one; any iterable, so also one that is
        computed batch by batch.

    Returns:
      `Moments` of all rows.

    Raises:
      TypeError: something is no `Moments`.
      ValueError: there is none, one holds nonsense, or their dimensions differ.

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
    if not isinstance(parts, Iterable) or isinstance(parts, Moments):
        raise TypeError(f"parts must be several Moments; got {checks.show(parts)}.")
    parts = (_check_moments("A part", part) for part in parts)
    first = next(parts, None)
    if first is None:
        raise ValueError("merge needs the moments of one batch at least; got none.")
    return functools.reduce(_merge, parts, first)


def frechet(real: ArrayLike | Moments, fake: ArrayLike | Moments) -> float:
    r"""Computes the Frechet distance between the Gaussians that fit two sets of features.

    $$\|\mu_r - \mu_f\|^2 + \mathrm{Tr}\left(\Sigma_r + \Sigma_f
    - 2 (\Sigma_r \Sigma_f)^{1/2}\right).$$

    With $\Sigma = L L^\top$ from an eigendecomposition, the trace of the square root is the sum of
    the singular values of $L_r^\top L_f$. This needs no square root of an unsymmetric matrix, and
    stays exact where covariances are singular, as dead units make them.

    It is what an FID is, if the features are Inception's; else name it after its features. It is
    biased upwards, by an amount of the order of dims / num: compare at equal counts only, and print
    the distance of real images to other real ones beside it. Do not bootstrap it, which adds to the
    bias; draw fresh latents.

    Args:
      real: floats `[num_real, dims]`, or their `Moments`; more rows than dimensions.
      fake: floats `[num_fake, dims]`, or their `Moments`; more rows than dimensions.

    Returns:
      At least 0, in squared units of the features.

    Raises:
      TypeError: features are not floats.
      ValueError: they are not `[num, dims]`, not finite, of different dimensions, or not more than
        dimensions; or the scatter of `Moments` is not symmetric, or has a negative eigenvalue.

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
        _check_moments(name, x) if isinstance(x, Moments) else moments(x)
        for name, x in (("real", real), ("fake", fake))
    )
    for name, x in (("real", a), ("fake", b)):
        if x.count <= len(x.mean):
            raise ValueError(
                f"{name} has {x.count} rows of {len(x.mean)} dimensions; a Frechet distance needs "
                "more rows than dimensions, and means little with less than ten times as many."
            )
    _check_dims(a, b)
    mean = float(np.sum((a.mean - b.mean) ** 2))
    traces = np.trace(a.scatter) / (a.count - 1) + np.trace(b.scatter) / (b.count - 1)
    cross = np.linalg.svd(_factor("real", a).T @ _factor("fake", b), compute_uv=False).sum()
    return max(0.0, mean + float(traces - 2.0 * cross))


def _check_moments(name: str, x: Moments) -> Moments:
    if not isinstance(x, Moments):
        raise TypeError(f"{name} must be Moments, as evaluation.moments makes; got {x!r:.200}.")
    checks.integer(f"count of {name}", x.count)
    mean = as_features(f"mean of {name}", np.asarray(x.mean)[None])[0]
    scatter = as_features(f"scatter of {name}", x.scatter)
    if scatter.shape != 2 * mean.shape or scatter.diagonal().min() < 0:
        raise ValueError(
            f"scatter of {name} must be [dims, dims], here {2 * mean.shape}, with no negative "
            f"diagonal; got {scatter.shape} with {scatter.diagonal().min():g}."
        )
    uneven, largest = np.abs(scatter - scatter.T).max(), np.abs(scatter).max()
    if uneven > _ROUNDING * largest:
        raise ValueError(
            f"scatter of {name} must be symmetric, as a sum of outer products is; two halves of "
            f"{largest:g} at most differ by {uneven:g}. Make it by evaluation.moments."
        )
    return Moments(int(x.count), mean, scatter)


def _factor(name: str, x: Moments) -> np.ndarray:
    """L with L L' the covariance."""
    values, vectors = np.linalg.eigh(x.scatter / (x.count - 1))
    if values[0] < -_ROUNDING * values[-1]:
        raise ValueError(
            f"scatter of {name} must have no negative eigenvalue, as a sum of outer products has "
            f"none; the covariance has {values[0]:g} to {values[-1]:g}. Make it by "
            "evaluation.moments."
        )
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _merge(a: Moments, b: Moments) -> Moments:
    _check_dims(a, b)
    count, delta = a.count + b.count, b.mean - a.mean
    mean = a.mean + delta * (b.count / count)
    scatter = a.scatter + b.scatter + np.outer(delta, delta) * (a.count * b.count / count)
    return Moments(count, mean, scatter)


def _check_dims(a: Moments, b: Moments) -> None:
    if a.mean.shape != b.mean.shape:
        raise ValueError(
            f"Moments must have as many dimensions; got {len(a.mean)} and {len(b.mean)}. Are both "
            "from one feature space?"
        )
