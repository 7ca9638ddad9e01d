"""Nearest neighbours: can the sets be told apart, and were training images copied?"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxgan.evaluation._arrays import as_features, as_pair, nearest


class NearestNeighbourTest(NamedTuple):
    """What `nearest_neighbour_test` found.

    Attributes:
      accuracy: of both sets together; 0.5 if they cannot be told apart.
      real: the share of real points whose nearest neighbour is real. Near 0.5 is right; well above,
        fakes miss what real points are.
      fake: the share of fakes whose nearest neighbour is fake. Near 1 with a low `real` is mode
        collapse: fakes near real points, close together.
    """

    accuracy: float
    real: float
    fake: float


class Authenticity(NamedTuple):
    """What `authenticity` found.

    Attributes:
      share: of fakes that are farther from their nearest training image than that image is from its
        own nearest one, in [0, 1].
      nearest: the training image next to each fake, `[num_fake]`, to look at.
      distances: from each fake to that image, `[num_fake]`.
    """

    share: float
    nearest: np.ndarray
    distances: np.ndarray


def nearest_neighbour_test(real: ArrayLike, fake: ArrayLike) -> NearestNeighbourTest:
    """Asks a leave-one-out 1-nearest-neighbour classifier to tell real from fake.

    Accuracy is 0.5 if both sets are of one distribution, 1 if they are far apart, and below 0.5 if
    each fake lies beside a real point of its own, which says that points were copied.

    Args:
      real: floats `[num, dims]`, at least 2.
      fake: floats `[num, dims]`, as many: else one half is not what to expect.

    Returns:
      A `NearestNeighbourTest`. All distances are computed, a block at a time.

    Raises:
      TypeError: features are not floats.
      ValueError: they are not `[num, dims]`, not finite, of different shapes, or fewer than 2.

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
    x, y = as_pair(real, fake, at_least=2)
    if len(x) != len(y):
        raise ValueError(
            f"real and fake must be as many, so that one half is chance; got {len(x)} and {len(y)}."
        )
    across_y, across_x = nearest(y, x)[0], nearest(x, y)[0]
    real_right = nearest(x, x)[0] < across_x  # a tie is a copy, and told as the other set
    fake_right = nearest(y, y)[0] < across_y
    shares = float(real_right.mean()), float(fake_right.mean())
    return NearestNeighbourTest(sum(shares) / 2, *shares)


def authenticity(train: ArrayLike, fake: ArrayLike) -> Authenticity:
    r"""Measures the share of fakes that are no copies of training images.

    A fake $y$ with nearest training image $x$ is authentic if
    $$\|y - x\| > \min_{x' \ne x} \|x - x'\|.$$
    What fresh real images score is the value to compare with: it is not 1.

    Args:
      train: floats `[num_train, dims]`, at least 2: all images that were trained with.
      fake: floats `[num_fake, dims]`.

    Returns:
      An `Authenticity`. All distances are computed, a block at a time.

    Raises:
      TypeError: features are not floats.
      ValueError: they are not `[num, dims]`, not finite, of different dimensions, or too few.

    Example:
      >>> from jaxgan import evaluation
      >>> found = evaluation.authenticity([[0.0], [1.0], [5.0]], [[0.1], [3.0]])
      >>> found.share, found.nearest.tolist()
      (0.5, [0, 1])

    References:
      Alaa et al., How Faithful is your Synthetic Data?, 2022, https://arxiv.org/abs/2102.08921
    """
    x = as_features("train", train, at_least=2)
    x, y = as_pair(x, fake, names=("train", "fake"))
    distances, which = nearest(y, x)
    asked, back = np.unique(which, return_inverse=True)
    own = nearest(x[asked], x, leave_out=asked)[0][back]
    return Authenticity(float((distances > own).mean()), which, np.sqrt(distances))
