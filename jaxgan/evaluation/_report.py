"""All metrics that compare two sets of features, at once."""

from collections.abc import Callable

from numpy.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan.evaluation._arrays import as_pair
from jaxgan.evaluation._frechet import frechet
from jaxgan.evaluation._kernel import kernel_distance
from jaxgan.evaluation._manifold import density_coverage, precision_recall
from jaxgan.evaluation._neighbours import authenticity, nearest_neighbour_test


def compare(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    train: ArrayLike | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, float]:
    """Computes every metric of two sets of features, with the usual settings of each.

    Call it also with real features in the place of the fakes: those are the floors to print beside.

    Args:
      real: floats `[num, dims]`, that the generator was not trained with; more than dimensions.
      fake: floats `[num, dims]`, as many.
      train: floats `[num_train, dims]`, that it was trained with; adds `authenticity`.
      progress: called before each metric is computed, with its name and how far this is, such as
        "kernel distance (2 of 5)", for progress.

    Returns:
      `frechet`, `kernel_distance`, `precision`, `recall` (k = 3), `density`, `coverage` (k = 5),
      `nearest_neighbour_accuracy`, and with `train` `authenticity`. The kernel distance is of
      disjoint blocks of 1,000, or of all if there are fewer.

    Raises:
      TypeError, ValueError: as the metrics, before the first of them is computed.

    Example:
      >>> import numpy as np
      >>> from jaxgan import evaluation
      >>> x, y = np.random.default_rng(0).normal(size=(2, 100, 4))
      >>> scores = evaluation.compare(x, y)
      >>> scores["frechet"] < 0.5, 0.3 < scores["nearest_neighbour_accuracy"] < 0.7
      (True, True)
    """
    checks.function("progress", progress, "of a name")
    real, fake = as_pair(real, fake, at_least=6)  # a ball of density and coverage holds five
    if len(real) != len(fake):
        raise ValueError(f"real and fake must be as many; got {len(real)} and {len(fake)}.")
    if train is not None:
        train = as_pair(train, fake, at_least=2, names=("train", "fake"))[0]
    block_size = min(1000, len(real))
    steps: dict[str, Callable[[], dict[str, float]]] = {
        "Frechet distance": lambda: {"frechet": frechet(real, fake)},
        "kernel distance": lambda: {
            "kernel_distance": kernel_distance(real, fake, block_size=block_size).value
        },
        "precision and recall": lambda: precision_recall(real, fake)._asdict(),
        "density and coverage": lambda: density_coverage(real, fake)._asdict(),
        "nearest neighbours": lambda: {
            "nearest_neighbour_accuracy": nearest_neighbour_test(real, fake).accuracy
        },
    }
    if train is not None:
        steps["authenticity"] = lambda: {"authenticity": authenticity(train, fake).share}
    scores: dict[str, float] = {}
    for i, (name, step) in enumerate(steps.items(), start=1):
        progress(f"{name} ({i} of {len(steps)})")
        scores |= step()
    return scores
