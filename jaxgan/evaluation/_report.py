"""All metrics that compare two sets of features."""

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan.evaluation._arrays import as_features, as_pair, check_dims
from jaxgan.evaluation._frechet import check_rows, compute_frechet, compute_moments
from jaxgan.evaluation._kernel import compute_kernel_distance
from jaxgan.evaluation._manifold import compute_density_coverage, compute_precision_recall
from jaxgan.evaluation._neighbours import compute_authenticity, compute_nearest_neighbour_test

_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], dict[str, float]]] = {
    "Frechet distance": lambda real, fake: {
        "frechet": compute_frechet(compute_moments(real), compute_moments(fake))
    },
    "kernel distance": lambda real, fake: {
        "kernel_distance": compute_kernel_distance(real, fake, min(1000, len(real))).value
    },
    "precision and recall": lambda real, fake: compute_precision_recall(real, fake)._asdict(),
    "density and coverage": lambda real, fake: compute_density_coverage(real, fake)._asdict(),
    "nearest neighbors": lambda real, fake: {
        "nearest_neighbour_accuracy": compute_nearest_neighbour_test(real, fake).accuracy
    },
}


def _authenticity(train: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    return {"authenticity": compute_authenticity(train, fake).share}


def compare(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    train: ArrayLike | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, float]:
    """Computes every metric of two sets of features, with the usual settings of each.

    Also call `compare` with other real features as `fake`, and report those scores: a perfect
    generator reaches them on average.

    Args:
      real: floats `[num, dims]`, of real images outside the training set; more rows than
        dimensions, and at least 6.
      fake: floats `[num, dims]`, as many.
      train: floats `[num_train, dims]`, of the training set; adds `authenticity`.
      progress: called before each metric with its name and number, such as
        "kernel distance (2 of 5)".

    Returns:
      `frechet`, `kernel_distance`, `precision`, `recall` (k = 3), `density`, `coverage` (k = 5),
      `nearest_neighbour_accuracy`, and with `train` also `authenticity`. The kernel distance is of
      disjoint blocks of 1,000, or of all rows if there are fewer.

    Raises:
      TypeError: If the features are not floats, or `progress` is not a function.
      ValueError: If the features are not `[num, dims]`, not finite, of different shapes, or too
        few. All features are checked before the first metric is computed.

    Example:
      >>> import numpy as np
      >>> from jaxgan import evaluation
      >>> x, y = np.random.default_rng(0).normal(size=(2, 100, 4))
      >>> scores = evaluation.compare(x, y)
      >>> scores["frechet"] < 0.5, 0.3 < scores["nearest_neighbour_accuracy"] < 0.7
      (True, True)
    """
    checks.function("progress", progress, "of a name")
    x, y = as_pair(real, fake, at_least=(6, 6), equal=True)  # a ball has a center and 5 neighbors
    check_rows("real and fake", *x.shape)
    steps = {name: functools.partial(metric, x, y) for name, metric in _METRICS.items()}
    if train is not None:
        z = as_features("train", train, at_least=2)
        check_dims("train and fake", z, y)
        steps["authenticity"] = functools.partial(_authenticity, z, y)
    scores: dict[str, float] = {}
    for i, (name, compute) in enumerate(steps.items(), start=1):
        progress(f"{name} ({i} of {len(steps)})")
        scores |= compute()
    return scores
