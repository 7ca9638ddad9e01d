"""Coverage of known modes by generated samples."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan._internal.shapes import Integer
from jaxgan.evaluation._arrays import as_pair, nearest

_MOST = 10_000_000  # samples and modes: more would take gigabytes
_MOST_TERMS = 1_000_000_000  # of the sum in kl_floor: more would take minutes


class ModeCoverage(NamedTuple):
    """Holds the result of `mode_coverage`.

    Attributes:
      modes: the number of modes with at least one sample.
      kl: KL(generated, uniform), in nats; 0 if even, `log(num_modes)` if all samples are in one.
      kl_floor: the expected `kl` of as many draws from the uniform distribution.
      num_samples: the number of samples. Report it with the other values.
    """

    modes: int
    kl: float
    kl_floor: float
    num_samples: int


def mode_coverage(labels: ArrayLike, num_modes: int) -> ModeCoverage:
    r"""Counts the modes with samples, and measures how unevenly the samples are spread.

    With $\hat p_k$ the share of samples in mode $k$ of $K$,
    $$\mathrm{KL} = \sum_k \hat p_k \log(K \hat p_k),$$
    the "reverse KL" of VEEGAN and PacGAN, with the natural logarithm and without smoothing.

    The count saturates: a method may reach all modes with a tenth of its samples. The KL of a
    perfect generator is about $(K - 1) / 2N$ for $N$ samples; `kl_floor` computes it exactly.

    Args:
      labels: the mode of each sample, integers in [0, num_modes), `[num_samples]`, at least one.
        For Stacked MNIST, $100 a + 10 b + c$ of the classes of the three channels.
      num_modes: $K$, from 1 to ten million.

    Returns:
      A `ModeCoverage`.

    Raises:
      TypeError: If the labels are not integers.
      ValueError: If they are not `[num_samples]`, empty, more than ten million or out of range.

    Example:
      >>> from jaxgan import evaluation
      >>> found = evaluation.mode_coverage([0, 0, 1, 1], num_modes=4)
      >>> found.modes, round(found.kl, 4), round(found.kl_floor, 4)
      (2, 0.6931, 0.4686)

    References:
      Srivastava et al., VEEGAN, 2017, https://arxiv.org/abs/1705.07761

      Lin et al., PacGAN: The power of two samples in generative adversarial networks, 2018,
      https://arxiv.org/abs/1712.04086
    """
    checks.integer("num_modes", num_modes, 1, _MOST)
    labels = checks.numpy_array("labels", labels, jnp.integer, "[num_samples]")
    low, high = labels.min(), labels.max()
    expected, got = f"in [0, num_modes), here [0, {num_modes})", f"{low} to {high}"
    checks.require(low >= 0 and high < num_modes, "labels", expected, got)
    return _mode_coverage(labels.astype(np.int64), num_modes)


def _mode_coverage(labels: Integer[np.ndarray, " num_samples"], num_modes: int) -> ModeCoverage:
    counts = np.bincount(labels, minlength=num_modes)
    hit = counts[counts > 0] / len(labels)
    kl = float(np.sum(hit * np.log(hit * num_modes)))
    floor = kl_floor(len(labels), num_modes)  # also limits the number of samples
    return ModeCoverage(len(hit), kl, floor, len(labels))


def kl_floor(num_samples: int, num_modes: int, probabilities: ArrayLike | None = None) -> float:
    r"""Computes the expected KL to uniform of a finite number of draws by a perfect generator.

    With counts $n_k$ of $N$ draws from $q$, since $E[n_k g(n_k)] = N q_k E[g(1 + B_k)]$ for $B_k$
    binomial of $N - 1$ and $q_k$,
    $$E\left[\sum_k \tfrac{n_k}{N} \log \tfrac{K n_k}{N}\right]
    = \sum_k q_k E \log \tfrac{K (1 + B_k)}{N}.$$

    The result is exact even if $N$ is too small for the approximation $(K - 1) / 2N$.

    Args:
      num_samples: $N$, from 1 to ten million.
      num_modes: $K$, from 1 to ten million.
      probabilities: $q$, `[num_modes]`, which sum to 1; by default uniform. With the shares of the
        modes in the real data, the result is the floor for a generator of these shares.

    Returns:
      In nats, at least 0.

    Raises:
      TypeError: If a number is not an integer, or the probabilities are not numbers.
      ValueError: If a number is out of range, or the probabilities are not `[num_modes]`, are
        negative, do not sum to 1, or have so many different values that the sum takes minutes.

    Example:
      >>> from jaxgan import evaluation
      >>> round(evaluation.kl_floor(26_000, 1_000), 4), round(999 / 52_000, 4)
      (0.0193, 0.0192)
    """
    checks.integer("num_samples", num_samples, 1, _MOST)
    checks.integer("num_modes", num_modes, 1, _MOST)
    if probabilities is None:
        q = np.full(num_modes, 1 / num_modes)
    else:
        q = np.asarray(checks.array("probabilities", probabilities, form=None), np.float64)
    fits = q.shape == (num_modes,) and (q >= 0).all() and abs(q.sum() - 1) <= 1e-6
    expected = f"[num_modes], here ({num_modes},), at least 0 with sum 1"
    checks.require(fits, "probabilities", expected, f"{q.shape} with sum {q.sum()}")
    different, times = np.unique(q[q > 0], return_counts=True)
    num, most = len(different), f"at most {_MOST_TERMS} / num_samples different values"
    affordable, got = num * num_samples <= _MOST_TERMS, f"{num} with num_samples={num_samples}"
    checks.require(affordable, "probabilities", most, got, "Use fewer samples.")
    terms = [p * _expected_log(num_samples, p, num_modes) for p in different]
    return max(0.0, float(np.dot(times, terms)))


def _expected_log(num: int, p: float, num_modes: int) -> float:
    """Computes E log(K (1 + B) / N), for B binomial of N - 1 and p, by ratios of its terms."""
    b = np.arange(num)
    if p < 1:
        ratios = (num - b[1:]) / b[1:] * (p / (1 - p))
        logs = np.concatenate([[0.0], np.cumsum(np.log(ratios))])
        weights = np.exp(logs - logs.max())
    else:
        weights = (b == num - 1).astype(np.float64)
    return float(np.dot(weights / weights.sum(), np.log(num_modes * (1 + b) / num)))


class MixtureCoverage(NamedTuple):
    """Holds the result of `mixture_coverage`.

    Attributes:
      modes: the number of modes with at least one high-quality sample.
      high_quality: the share of samples within `radius` standard deviations of the nearest mean;
        0.989 for a perfect sampler in the plane and a radius of 3.
      kl: KL(generated, uniform) of the high-quality samples, in nats; infinite without any.
      kl_floor: the expected `kl` of as many draws from the mixture; infinite without high quality.
      num_samples: the number of samples of either quality.
    """

    modes: int
    high_quality: float
    kl: float
    kl_floor: float
    num_samples: int


def mixture_coverage(
    points: ArrayLike, means: ArrayLike, sigma: float, *, radius: float = 3.0
) -> MixtureCoverage:
    r"""Counts the modes of a mixture of equal, isotropic Gaussians that samples capture.

    A sample is of high quality within $r \sigma$ of the nearest mean. One such sample captures a
    mode. The KL is that of `mode_coverage` for the high-quality samples, as in the code of PacGAN.

    Report the share of high quality with the number of modes. A few samples in each mode capture
    all of them, wherever the other samples are.

    Args:
      points: the samples, floats `[num_samples, dims]`.
      means: of the Gaussians, floats `[num_modes, dims]`.
      sigma: the standard deviation of each Gaussian, positive.
      radius: $r$, in standard deviations, positive.

    Returns:
      A `MixtureCoverage`.

    Raises:
      TypeError: If `points` or `means` are not floats.
      ValueError: If they are empty, not finite or differ in dimensions, or if `sigma` or `radius`
        is not positive.

    Example:
      >>> from jaxgan import evaluation
      >>> points = [[0.0, 0.01], [0.5, 0.5], [0.99, 0.0], [1.0, 0.0]]
      >>> found = evaluation.mixture_coverage(points, [[0.0, 0.0], [1.0, 0.0]], sigma=0.01)
      >>> found.modes, found.high_quality, round(found.kl, 4)
      (2, 0.75, 0.0566)

    References:
      Srivastava et al., VEEGAN, 2017, https://arxiv.org/abs/1705.07761

      Lin et al., PacGAN: The power of two samples in generative adversarial networks, 2018,
      https://arxiv.org/abs/1712.04086
    """
    points, means = as_pair(points, means, names=("points", "means"))
    checks.real("sigma", sigma, positive=True)
    checks.real("radius", radius, positive=True)
    squared, which = nearest(points, means)
    good = which[squared <= (radius * sigma) ** 2]
    if len(good) == 0:
        return MixtureCoverage(0, 0.0, math.inf, math.inf, len(points))
    modes, kl, floor, _ = _mode_coverage(good, len(means))
    return MixtureCoverage(modes, len(good) / len(points), kl, floor, len(points))
