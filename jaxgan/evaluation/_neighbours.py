"""Nearest-neighbor tests for whether two sets differ and whether training images were copied."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal.shapes import Float64
from jaxgan.evaluation._arrays import as_pair, nearest


class NearestNeighbourTest(NamedTuple):
    """Holds the result of `nearest_neighbour_test`.

    Attributes:
      accuracy: of both sets together; 0.5 if they have one distribution.
      real: the share of real points whose nearest neighbor is real. A share well above 0.5
        means that fakes are missing near some real points.
      fake: the share of fakes whose nearest neighbor is fake. Near 1 with a low `real` indicates
        mode collapse: fakes near real points, close together.
    """

    accuracy: float
    real: float
    fake: float


class Authenticity(NamedTuple):
    """Holds the result of `authenticity`.

    Attributes:
      share: of fakes that are farther from their nearest training image than that image is from its
        own nearest training image, in [0, 1].
      nearest: the index of the training image nearest to each fake, int64 `[num_fake]`.
      distances: from each fake to that image, float64 `[num_fake]`.
    """

    share: float
    nearest: np.ndarray
    distances: np.ndarray


def nearest_neighbour_test(real: ArrayLike, fake: ArrayLike) -> NearestNeighbourTest:
    """Computes the accuracy of a leave-one-out 1-nearest-neighbor classifier of real and fake.

    The accuracy is 0.5 if both sets are of one distribution, and 1 if they are far apart. It is
    below 0.5 if each fake is close to a different real point, as copies are.

    Args:
      real: floats `[num, dims]`, at least 2.
      fake: floats `[num, dims]`, as many, so that 0.5 is the accuracy of chance.

    Returns:
      A `NearestNeighbourTest`. Distances are computed in blocks.

    Raises:
      TypeError: If the features are not floats.
      ValueError: If they are not `[num, dims]`, not finite, of different shapes, or fewer than 2.

    Example:
      >>> from jaxgan import evaluation
      >>> evaluation.nearest_neighbour_test([[0.0], [1.0]], [[0.1], [9.0]])
      NearestNeighbourTest(accuracy=0.0, real=0.0, fake=0.0)

    References:
      Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests, 2017,
      https://arxiv.org/abs/1610.06545

      Xu et al., An empirical study on evaluation metrics of generative adversarial networks, 2018,
      https://arxiv.org/abs/1806.07755
    """
    return compute_nearest_neighbour_test(*as_pair(real, fake, at_least=(2, 2), equal=True))


def compute_nearest_neighbour_test(
    x: Float64[np.ndarray, " num dims"], y: Float64[np.ndarray, " num dims"]
) -> NearestNeighbourTest:
    """Computes the `nearest_neighbour_test` of checked features."""
    across_y, across_x = nearest(y, x)[0], nearest(x, y)[0]
    real_right = nearest(x, x)[0] < across_x  # a tie counts as a copy
    fake_right = nearest(y, y)[0] < across_y
    shares = float(real_right.mean()), float(fake_right.mean())
    return NearestNeighbourTest(sum(shares) / 2, *shares)


def authenticity(train: ArrayLike, fake: ArrayLike) -> Authenticity:
    r"""Computes the share of fakes that are not copies of training images.

    A fake $y$ with nearest training image $x$ is authentic if
    $$\|y - x\| > \min_{x' \ne x} \|x - x'\|.$$
    Compare the share with that of new real images, which is below 1.

    Args:
      train: floats `[num_train, dims]`, at least 2: all training images.
      fake: floats `[num_fake, dims]`.

    Returns:
      An `Authenticity`. Distances are computed in blocks.

    Raises:
      TypeError: If the features are not floats.
      ValueError: If they are not `[num, dims]`, not finite, of different dimensions, or too few.

    Example:
      >>> from jaxgan import evaluation
      >>> found = evaluation.authenticity([[0.0], [1.0], [5.0]], [[0.1], [3.0]])
      >>> found.share, found.nearest.tolist()
      (0.5, [0, 1])

    References:
      Alaa et al., How Faithful is your Synthetic Data?, 2022, https://arxiv.org/abs/2102.08921
    """
    return compute_authenticity(*as_pair(train, fake, at_least=(2, 1), names=("train", "fake")))


def compute_authenticity(
    x: Float64[np.ndarray, " num_train dims"], y: Float64[np.ndarray, " num_fake dims"]
) -> Authenticity:
    """Computes the `authenticity` of checked features."""
    distances, which = nearest(y, x)
    found, back = np.unique(which, return_inverse=True)
    own = nearest(x[found], x, leave_out=found)[0][back]
    return Authenticity(float((distances > own).mean()), which, np.sqrt(distances))
