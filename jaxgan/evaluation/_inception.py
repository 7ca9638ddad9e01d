"""The Inception score of the probabilities of a classifier."""

import itertools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan._internal.shapes import Float64
from jaxgan.evaluation._arrays import as_features


class InceptionScore(NamedTuple):
    """Holds the result of `inception_score`.

    Attributes:
      value: the mean over splits, in [1, num_classes].
      deviation: the standard deviation over splits, as it is usually reported.
      num_samples: the number of samples.
    """

    value: float
    deviation: float
    num_samples: int


def inception_score(probabilities: ArrayLike, *, splits: int = 10) -> InceptionScore:
    r"""Computes how certain a classifier is of each sample, and how evenly the classes occur.

    The score of one split is
    $$\exp E_x\, \mathrm{KL}(p(y | x) \,\|\, E_x p(y | x)),$$
    and the result is the mean over splits. The score uses no real images, so it detects neither
    missing variety within a class nor memorized images. On ten digits it is at most 10, and the
    test set of MNIST scores about 9.8. The usual Inception score takes the probabilities of the
    Inception network.

    The rows of split $i$ begin at $\lfloor iN/S \rfloor$, of $N$ rows and $S$ splits, as in
    torch-fidelity. That library also shuffles the rows first. Shuffle rows that are sorted, for
    example by class: `p[np.random.RandomState(2020).permutation(len(p))]` has its default order.

    Args:
      probabilities: of the classes, floats in [0, 1], `[num, num_classes]`. Each row sums to 1
        within the precision of its type. 50,000 rows are usual.
      splits: the number of splits into consecutive rows, in [1, num].

    Returns:
      An `InceptionScore`.

    Raises:
      TypeError: If the probabilities are not floats.
      ValueError: If a row is not a distribution, or there are fewer rows than `splits`.

    Example:
      >>> import numpy as np
      >>> from jaxgan import evaluation
      >>> sure_and_even = np.tile(np.eye(10), (100, 1))
      >>> round(evaluation.inception_score(sure_and_even).value, 6)
      10.0

    References:
      Salimans et al., Improved Techniques for Training GANs, 2016,
      https://arxiv.org/abs/1606.03498

      Obukhov et al., torch-fidelity, 2020, https://github.com/toshas/torch-fidelity (the splits)

      Barratt and Sharma, A Note on the Inception Score, 2018, https://arxiv.org/abs/1801.01973
    """
    checks.integer("splits", splits)
    p = as_features(
        "probabilities", probabilities, at_least=splits, setting=f"with splits={splits}"
    )
    sums = p.sum(axis=1)
    precision = float(jnp.finfo(np.asarray(probabilities).dtype).eps)
    fits = p.min() >= 0 and np.abs(sums - 1).max() <= max(1e-3, 2 * precision)
    expected, advice = "at least 0, with rows that sum to 1", "Apply a softmax to logits."
    got = f"{p.min():g} at least, with sums of {sums.min():g} to {sums.max():g}"
    checks.require(fits, "probabilities", expected, got, advice)
    p = p / sums[:, None]
    edges = [i * len(p) // splits for i in range(splits + 1)]
    scores = [_score(p[start:end]) for start, end in itertools.pairwise(edges)]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)), len(p))


def _score(p: Float64[np.ndarray, " num classes"]) -> float:
    marginal = np.broadcast_to(p.mean(axis=0), p.shape)
    ratio = np.divide(p, marginal, out=np.ones_like(p), where=p > 0)  # 0 log 0 is 0
    return float(np.exp((p * np.log(ratio)).sum(axis=1).mean()))
