"""The Inception-style score, of a classifier's probabilities."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan.evaluation._arrays import as_features


class InceptionScore(NamedTuple):
    """What `inception_score` found.

    Attributes:
      value: the mean over splits, in [1, num_classes].
      deviation: the standard deviation over splits, as it is usually reported.
      num_samples: how many samples there were.
    """

    value: float
    deviation: float
    num_samples: int


def inception_score(probabilities: ArrayLike, *, splits: int = 10) -> InceptionScore:
    r"""Scores how sure a classifier is of each sample, and how evenly classes occur.

    $$\exp E_x\, \mathrm{KL}(p(y | x) \,\|\, E_x p(y | x)),$$
    of each split; the mean over splits. It looks at no real image, so it sees neither missing
    variety within a class nor memorised images. On ten digits it is at most 10, and MNIST's own
    test set scores about 9.8. Of Inception's probabilities it is the Inception score.

    Args:
      probabilities: of the classes, floats in [0, 1] that sum to 1 as exactly as their type can,
        `[num, num_classes]`; 50,000 rows are usual.
      splits: how many, each of at least one row; consecutive rows.

    Returns:
      An `InceptionScore`.

    Raises:
      TypeError: the probabilities are not floats.
      ValueError: rows are no distributions, or fewer than `splits`.

    Example:
      >>> import numpy as np
      >>> from jaxgan import evaluation
      >>> sure_and_even = np.tile(np.eye(10), (100, 1))
      >>> round(evaluation.inception_score(sure_and_even).value, 6)
      10.0

    References:
      Salimans et al., Improved Techniques for Training GANs, 2016,
      https://arxiv.org/abs/1606.03498

      Barratt and Sharma, A Note on the Inception Score, 2018, https://arxiv.org/abs/1801.01973
    """
    checks.integer("splits", splits)
    p = as_features("probabilities", probabilities, at_least=splits)
    sums = p.sum(axis=1)
    precision = float(jnp.finfo(np.asarray(probabilities).dtype).eps)
    if p.min() < 0 or np.abs(sums - 1).max() > max(1e-3, 2 * precision):
        raise ValueError(
            "probabilities must be at least 0 and sum to 1 in each row; the least is "
            f"{p.min():g}, sums are {sums.min():g} to {sums.max():g}. Are they logits? "
            "Apply a softmax."
        )
    scores = [_score(part) for part in np.array_split(p / sums[:, None], splits)]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)), len(p))


def _score(p: np.ndarray) -> float:
    marginal = np.broadcast_to(p.mean(axis=0), p.shape)
    ratio = np.divide(p, marginal, out=np.ones_like(p), where=p > 0)  # 0 log 0 is 0
    return float(np.exp((p * np.log(ratio)).sum(axis=1).mean()))
