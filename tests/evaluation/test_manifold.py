"""Compares precision, recall, density and coverage with prdc and brute force."""

import numpy as np
import prdc
import pytest
from feature_sets import each_set, features

from jaxgan import evaluation


@each_set
@pytest.mark.parametrize("k", [1, 2])
def test_precision_recall_density_and_coverage_match_prdc(sets, k):
    x, y = sets
    if len(y) == k + 1:
        pytest.skip("prdc needs one more point")
    expected = prdc.compute_prdc(x, y, nearest_k=k)
    found = {
        **evaluation.precision_recall(x, y, k=k)._asdict(),
        **evaluation.density_coverage(x, y, k=k)._asdict(),
    }
    assert found == pytest.approx({name: float(value) for name, value in expected.items()})


def brute_force_precision_recall(x, y, k):
    within, across = (((a[:, None] - b) ** 2).sum(-1) for a, b in ((x, x), (x, y)))
    real_balls = np.sort(within, axis=1)[:, k]
    fake_balls = np.sort(((y[:, None] - y) ** 2).sum(-1), axis=1)[:, k]
    precision = (across <= real_balls[:, None]).any(axis=0).mean()
    return precision, (across <= fake_balls).any(axis=1).mean()


@pytest.mark.parametrize("far", [1e4, 1e12])
def test_outlier_does_not_change_the_balls_of_other_points(far):
    x, y = np.random.default_rng(0).normal(size=(2, 200, 16))
    y[17] = far
    for a, b in ((x, y), (y, x)):
        expected = brute_force_precision_recall(a, b, 3)
        assert evaluation.precision_recall(a, b) == pytest.approx(expected)


@pytest.mark.parametrize("dims", [1, 2, 3, 16, 128])
def test_balls_include_their_edge(dims):
    """Every ball contains its center and k neighbors. The k-th neighbor is on the edge."""
    kinds = [(1.0, 0.0), (1e-3, 1e4), (1e6, 1e6)] * (20 if dims < 4 else 1)
    for seed, (scale, offset) in enumerate(kinds):
        x = scale * np.random.default_rng(seed).normal(size=(300, dims)) + offset
        found = evaluation.density_coverage(x, x.copy(), k=3)
        assert found == pytest.approx((4 / 3, 1.0), abs=1e-12)
        assert evaluation.precision_recall(x, x.copy(), k=3) == (1.0, 1.0)


def test_balls_of_radius_zero_include_their_center():
    same = np.ones((6, 2))  # balls of radius 0
    assert evaluation.density_coverage(same, same[:3], k=5) == (6 / 5, 1.0)
    assert evaluation.precision_recall(same, same, k=5) == (1.0, 1.0)


def test_memory_is_bounded_for_large_sets():
    tracemalloc = pytest.importorskip("tracemalloc")
    x = np.random.default_rng(0).normal(size=(9_000, 2))  # all distances would be 650 MB
    tracemalloc.start()
    evaluation.density_coverage(x, x[:2_000] + 0.1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500e6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: evaluation.precision_recall(features(3), features()),
            "real must be at least 4 rows with k=3; got 3 rows",
        ),
        (
            lambda: evaluation.precision_recall(features(), features(3)),
            "fake must be at least 4 rows with k=3; got 3 rows",
        ),
        (
            lambda: evaluation.density_coverage(features(5), features(1)),
            "real must be at least 6 rows with k=5; got 5 rows",
        ),
        (lambda: evaluation.density_coverage(features(), features(), k=0), "k must be at least 1"),
    ],
)
def test_invalid_arguments_of_manifold_metrics_are_rejected(call, message):
    with pytest.raises(ValueError, match=message):
        call()
