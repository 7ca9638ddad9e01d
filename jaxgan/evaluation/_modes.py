"""Mode coverage: which of the known modes a generator makes, and how evenly."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan.evaluation._arrays import as_pair, nearest

_MOST = 10_000_000  # samples and modes: more would take gigabytes
_MOST_TERMS = 1_000_000_000  # of the floor's sum: more would take minutes


class ModeCoverage(NamedTuple):
    """What `mode_coverage` found.

    Attributes:
      modes: how many modes have at least one sample.
      kl: KL(generated, uniform), in nats; 0 if even, `log(num_modes)` if all samples are in one.
      kl_floor: what `kl` is on average for as many samples that are perfectly even.
      num_samples: how many samples were counted. Both numbers mean little without it.
    """

    modes: int
    kl: float
    kl_floor: float
    num_samples: int


def mode_coverage(labels: ArrayLike, num_modes: int) -> ModeCoverage:
    r"""Counts the modes that samples fall into, and how far from even they are.

    With $\hat p_k$ the share of samples in mode $k$ of $K$,
    $$\mathrm{KL} = \sum_k \hat p_k \log(K \hat p_k),$$
    the "reverse KL" of VEEGAN and PacGAN, natural logarithm, no smoothing.

    The count saturates: a method may reach all modes with a tenth of its samples. The KL of a
    perfect generator is not 0, but about $(K - 1) / 2N$ for $N$ samples: `kl_floor`.

    Args:
      labels: the mode of each sample, integers in [0, num_modes), `[num_samples]`. For Stacked
        MNIST $100 a + 10 b + c$ of the classes of the three channels.
      num_modes: $K$, from 1 to ten million.

    Returns:
      A `ModeCoverage`.

    Raises:
      TypeError: the labels are not integers.
      ValueError: they are not `[num_samples]`, none, or out of range.

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
    try:
        labels = np.asarray(labels)
    except ValueError as error:  # lists of several lengths
        raise TypeError(f"labels must be integers; got {checks.show(labels)}.") from error
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, as argmax gives; got {labels.dtype}.")
    if labels.ndim != 1 or len(labels) == 0:
        raise ValueError(f"labels must be [num_samples], at least one; got {labels.shape}.")
    if labels.min() < 0 or labels.max() >= num_modes:
        raise ValueError(
            f"labels must be in [0, num_modes), here [0, {num_modes}); got {labels.min()} to "
            f"{labels.max()}."
        )
    counts = np.bincount(labels.astype(np.int64), minlength=num_modes)
    hit = counts[counts > 0] / len(labels)
    kl = float(np.sum(hit * np.log(hit * num_modes)))
    return ModeCoverage(len(hit), kl, kl_floor(len(labels), num_modes), len(labels))


def kl_floor(num_samples: int, num_modes: int, probabilities: ArrayLike | None = None) -> float:
    r"""Expects the KL to uniform of a finite number of draws: what a perfect generator gets.

    With counts $n_k$ of $N$ draws from $q$, since $E[n_k g(n_k)] = N q_k E[g(1 + B_k)]$ for $B_k$
    binomial of $N - 1$ and $q_k$,
    $$E\left[\sum_k \tfrac{n_k}{N} \log \tfrac{K n_k}{N}\right]
    = \sum_k q_k E \log \tfrac{K (1 + B_k)}{N}.$$

    This is exact, also where $N$ is too small for $(K - 1) / 2N$.

    Args:
      num_samples: $N$, from 1 to ten million.
      num_modes: $K$, from 1 to ten million.
      probabilities: $q$, `[num_modes]`, summing to 1; by default uniform. With the shares of the
        real data, the floor of a generator that is as uneven as they are.

    Returns:
      In nats, at least 0.

    Raises:
      TypeError: a number is not whole, or the probabilities are no numbers.
      ValueError: a number is out of range, the probabilities are not `[num_modes]`, negative or do
        not sum to 1, or so many of them differ that the sum would take minutes.

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
    if q.shape != (num_modes,) or not (q >= 0).all() or abs(q.sum() - 1) > 1e-6:
        raise ValueError(
            f"probabilities must be [num_modes], here ({num_modes},), at least 0 and sum to 1; got "
            f"{q.shape} with sum {q.sum()}."
        )
    different, times = np.unique(q[q > 0], return_counts=True)
    if len(different) * num_samples > _MOST_TERMS:
        raise ValueError(
            f"{len(different)} different probabilities times num_samples={num_samples} must be at "
            f"most {_MOST_TERMS}; take fewer samples."
        )
    terms = [p * _expected_log(num_samples, p, num_modes) for p in different]
    return max(0.0, float(np.dot(times, terms)))


def _expected_log(num: int, p: float, num_modes: int) -> float:
    """E log(K (1 + B) / N), B binomial of N - 1 and p, from its ratios of neighbouring terms."""
    b = np.arange(num)
    if p < 1:
        ratios = (num - b[1:]) / b[1:] * (p / (1 - p))
        logs = np.concatenate([[0.0], np.cumsum(np.log(ratios))])
        weights = np.exp(logs - logs.max())
    else:
        weights = (b == num - 1).astype(np.float64)
    return float(np.dot(weights / weights.sum(), np.log(num_modes * (1 + b) / num)))


class MixtureCoverage(NamedTuple):
    """What `mixture_coverage` found.

    Attributes:
      modes: how many modes have at least one high-quality sample.
      high_quality: the share of samples within `radius` standard deviations of the nearest mean;
        0.989 for a perfect sampler in the plane and a radius of 3.
      kl: KL(generated, uniform) of the high-quality samples, in nats; infinite if there are none.
      kl_floor: what `kl` is on average for as many perfect samples; infinite if there are none.
      num_samples: how many samples there were, of either quality.
    """

    modes: int
    high_quality: float
    kl: float
    kl_floor: float
    num_samples: int


def mixture_coverage(
    points: ArrayLike, means: ArrayLike, sigma: float, *, radius: float = 3.0
) -> MixtureCoverage:
    r"""Counts the modes of a mixture of equal, round Gaussians that samples reach, and how many do.

    A sample is of high quality within $r \sigma$ of the nearest mean; a mode is captured by one
    such sample. The KL is `mode_coverage`'s, of the high-quality samples alone: so it is counted in
    the code of PacGAN.

    Modes without the share of high quality say little: a few samples in each mode, and all others
    in between, capture all.

    Args:
      points: the samples, floats `[num_samples, dims]`.
      means: of the mixture, floats `[num_modes, dims]`.
      sigma: the standard deviation of each, positive.
      radius: $r$, in standard deviations, positive.

    Returns:
      A `MixtureCoverage`.

    Raises:
      TypeError: points or means are not floats.
      ValueError: they are empty, not finite or differ in dimensions, or `sigma` or `radius` is not
        positive.

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
    modes, kl, floor, _ = mode_coverage(good, len(means))
    return MixtureCoverage(modes, len(good) / len(points), kl, floor, len(points))
