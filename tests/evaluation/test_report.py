"""Tests the report of all metrics."""

import numpy as np
import pytest
from feature_sets import features

from jaxgan import evaluation


def test_scores_equal_those_of_each_metric():
    x, y, train = features(60, 3, seed=1), features(60, 3, seed=2, shift=0.3), features(90, 3)
    assert evaluation.compare(x, y, train=train) == {
        "frechet": evaluation.frechet(x, y),
        "kernel_distance": evaluation.kernel_distance(x, y, block_size=60).value,
        **evaluation.precision_recall(x, y)._asdict(),
        **evaluation.density_coverage(x, y)._asdict(),
        "nearest_neighbour_accuracy": evaluation.nearest_neighbour_test(x, y).accuracy,
        "authenticity": evaluation.authenticity(train, y).share,
    }
    assert "authenticity" not in evaluation.compare(x, y)


def test_progress_is_called_before_each_metric():
    x, calls = features(20, 2), []
    evaluation.compare(x, x, train=x, progress=calls.append)
    assert calls[0] == "Frechet distance (1 of 6)"
    assert [name[-8:] for name in calls] == [f"({i} of 6)" for i in range(1, 7)]


@pytest.mark.parametrize(
    ("real", "fake", "train", "message"),
    [
        (features(5, 2), features(5, 2), None, "real must be at least 6 rows; got 5 rows"),
        (features(9, 2), features(8, 2), None, "equal numbers of rows; got 9 and 8"),
        (features(9, 9), features(9, 9), None, "more rows than dimensions; got 9 rows of 9"),
        (features(9, 2), features(9, 2), features(1, 2), "train must be at least 2 rows"),
        (features(9, 2), features(9, 2), features(9, 3), "train and fake must be of equal dim"),
        (features(9, 2), features(9, 2), np.full((9, 2), np.nan), "train must be finite"),
    ],
)
def test_arguments_are_checked_before_the_first_metric(real, fake, train, message):
    calls = []
    with pytest.raises(ValueError, match=message):
        evaluation.compare(real, fake, train=train, progress=calls.append)
    assert not calls
