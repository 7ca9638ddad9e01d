"""Compares the nearest-neighbor metrics with scikit-learn and brute force."""

import numpy as np
import pytest
from feature_sets import SETS, brute_force_authenticity, brute_force_neighbors, features
from sklearn.neighbors import NearestNeighbors

from jaxgan import evaluation


@pytest.mark.parametrize("name", ["full rank", "rank deficient", "tiny"])
def test_neighbor_metrics_match_brute_force(name):
    x, y = (z[:60] for z in SETS[name])
    num = min(len(x), len(y))
    found = evaluation.nearest_neighbour_test(x[:num], y[:num])
    real, fake = brute_force_neighbors(x[:num], y[:num])
    assert found == pytest.approx(((real + fake) / 2, real, fake))
    assert evaluation.authenticity(x, y).share == brute_force_authenticity(x, y)


def test_ties_count_as_copies():
    # The distance from 1 to 2 ties with those from 0 to 1 and from 2 to 3.
    real, fake = np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]])
    assert evaluation.nearest_neighbour_test(real, fake) == (0.5, 0.5, 0.5)
    assert evaluation.authenticity(real, np.array([[2.0], [-1.0], [2.5]])).share == 1 / 3
    x = features(500, 16)
    twice = np.repeat(x[:250], 2, axis=0)
    assert evaluation.nearest_neighbour_test(x, twice).fake == 0.0
    found = evaluation.authenticity(x, twice)
    assert found.share == 0.0
    np.testing.assert_array_equal(found.distances, 0.0)


def test_two_sample_test_matches_scikit_learn():
    x, y = features(60, seed=1), features(60, seed=2, shift=0.5)
    both, labels = np.concatenate([x, y]), np.repeat([0, 1], 60)
    neighbor = NearestNeighbors(n_neighbors=2).fit(both).kneighbors(both)[1][:, 1]
    right = labels[neighbor] == labels
    found = evaluation.nearest_neighbour_test(x, y)
    assert found == pytest.approx((right.mean(), right[:60].mean(), right[60:].mean()))


def test_two_sample_test_of_copies_and_distant_sets():
    x = features(50)
    assert evaluation.nearest_neighbour_test(x, x).accuracy == 0.0
    assert evaluation.nearest_neighbour_test(x, x + 1e3).accuracy == 1.0


def test_authenticity_matches_brute_force_and_is_zero_for_copies():
    train, fake = features(80, seed=1), features(40, seed=2)
    to_train = np.linalg.norm(fake[:, None] - train, axis=-1)
    own = np.linalg.norm(train[:, None] - train, axis=-1) + np.diag(np.full(80, np.inf))
    expected = to_train.min(1) > own.min(1)[to_train.argmin(1)]
    found = evaluation.authenticity(train, fake)
    assert found.share == expected.mean()
    np.testing.assert_array_equal(found.nearest, to_train.argmin(1))
    np.testing.assert_allclose(found.distances, to_train.min(1))
    assert evaluation.authenticity(train, train[:30]).share == 0.0


@pytest.mark.parametrize("far", [1e4, 1e12])
def test_outlier_does_not_change_the_neighbors_of_other_points(far):
    x, y = np.random.default_rng(0).normal(size=(2, 200, 16))
    y[17] = far
    assert evaluation.nearest_neighbour_test(x, y).real == brute_force_neighbors(x, y)[0]
    assert evaluation.authenticity(y, x).share == brute_force_authenticity(y, x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: evaluation.nearest_neighbour_test(features(9), features(8)),
            "real and fake must be of equal numbers of rows; got 9 and 8",
        ),
        (
            lambda: evaluation.authenticity(features(1), features(8)),
            "train must be at least 2 rows; got 1 row",
        ),
    ],
)
def test_invalid_arguments_of_neighbor_metrics_are_rejected(call, message):
    with pytest.raises(ValueError, match=message):
        call()
