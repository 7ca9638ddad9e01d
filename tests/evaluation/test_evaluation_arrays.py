"""Compares distances and neighbors with brute force, and tests invalid features."""

from fractions import Fraction

import jax.numpy as jnp
import jaxtyping
import ml_dtypes
import numpy as np
import pytest
import shape_checks
from feature_sets import SETS, each_set, features
from sklearn.neighbors import NearestNeighbors

from jaxgan import evaluation
from jaxgan.evaluation import _arrays as arrays


def test_block_size_does_not_change_metrics(monkeypatch):
    x, y = SETS["full rank"]
    metrics = (
        evaluation.precision_recall,
        evaluation.density_coverage,
        lambda x, y: evaluation.nearest_neighbour_test(x[:150], y),
        lambda x, y: evaluation.authenticity(x, y).share,
    )
    whole = [metric(x, y) for metric in metrics]
    monkeypatch.setattr(arrays, "_BLOCK_BYTES", 8 * 200 * 7)  # seven rows at a time
    assert [metric(x, y) for metric in metrics] == whole


@each_set
def test_distances_and_neighbors_match_brute_force(sets):
    x, y = sets
    brute = ((x[:, None] - y) ** 2).sum(-1)
    tolerance = 1e-9 * brute.max()
    for rows, block in arrays.squared_distances(x, y):
        np.testing.assert_allclose(block, brute[rows], atol=tolerance)
    index = NearestNeighbors(algorithm="brute").fit(y)
    for k in (1, 2):
        distances, which = arrays.nearest(x, y, k)
        expected = index.kneighbors(x, k)
        np.testing.assert_allclose(np.sqrt(distances), expected[0][:, -1], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(which, expected[1][:, -1])


@pytest.mark.parametrize("offset", [1e6, 1e8])
def test_distances_far_from_the_origin_are_accurate(offset):
    draw = np.random.default_rng(0)
    x, y = offset + draw.normal(size=(50, 3)), offset + draw.normal(size=(40, 3))
    brute = ((x[:, None] - y) ** 2).sum(-1)
    for rows, block in arrays.squared_distances(x, y):
        np.testing.assert_allclose(block, brute[rows], rtol=1e-9, atol=1e-12)
    distances, which = arrays.nearest(x, y)
    np.testing.assert_array_equal(which, brute.argmin(axis=1))
    np.testing.assert_allclose(distances, brute.min(axis=1), rtol=8 * np.finfo(float).eps)


def test_copies_have_distance_zero():
    x = features(500, 16, shift=3.0)
    distances, which = arrays.nearest(x.copy(), x)
    np.testing.assert_array_equal(which, np.arange(500))
    np.testing.assert_array_equal(distances, 0.0)


PAIRS = {
    "frechet": evaluation.frechet,
    "kernel_distance": lambda x, y: evaluation.kernel_distance(x, y, block_size=2),
    "precision_recall": evaluation.precision_recall,
    "density_coverage": evaluation.density_coverage,
    "nearest_neighbour_test": evaluation.nearest_neighbour_test,
    "authenticity": evaluation.authenticity,
    "mixture_coverage": lambda x, y: evaluation.mixture_coverage(y, x, 1.0),
}


each_pair = pytest.mark.parametrize("metric", PAIRS.values(), ids=PAIRS.keys())


def broken(value):
    x = features(20, 3)
    x[7, 1] = value
    return x


@each_pair
@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (broken(np.nan), ValueError, r"1 of 60 values are not\. The first is nan at \[7, 1\]"),
        (broken(np.inf), ValueError, "must be finite"),
        (np.zeros((0, 3)), ValueError, r"without empty axes; got shape \(0, 3\)"),
        (
            np.zeros((20, 3), np.uint8),
            TypeError,
            r"must be float \[num, dims\]; got uint8 of shape \(20, 3\)\. Convert",
        ),
        (
            np.zeros((2, 3, 3, 1), np.uint8),
            TypeError,
            "Compute features of images by evaluation.embed",
        ),
        (np.zeros((20, 3), bool), TypeError, r"must be float \[num, dims\]; got bool"),
        (np.array([["a"] * 3] * 20), TypeError, "must be numbers; got <U1"),
        (np.zeros((20, 3, 1)), ValueError, r"must be float \[num, dims\]; got shape \(20, 3, 1\)"),
        (np.zeros((20, 0)), ValueError, r"without empty axes; got shape \(20, 0\)"),
        (features(20, 2), ValueError, "must be of equal dimensions; got [23] and [23]"),
    ],
)
def test_invalid_features_are_rejected_by_every_metric(metric, bad, error, message):
    with pytest.raises(error, match=message):
        metric(features(20, 3), bad)


def test_error_for_none_does_not_suggest_embed():
    with pytest.raises(TypeError, match="real must be numbers; got None") as caught:
        evaluation.frechet(None, features())
    assert "embed" not in str(caught.value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ml_dtypes.bfloat16])
def test_features_of_any_float_dtype_are_accepted(dtype):
    x, y = (z.astype(dtype) for z in SETS["full rank"])
    wide = [z.astype(np.float64) for z in (x, y)]
    assert evaluation.frechet(jnp.asarray(x), y) == pytest.approx(
        evaluation.frechet(*wide), rel=1e-12
    )


def test_features_of_another_library_are_accepted():
    class Tensor:
        """Converts to numpy, as PyTorch tensors do."""

        def __init__(self, values):
            self.values = values

        def __array__(self, dtype=None, copy=None):
            return self.values

    x, y = SETS["full rank"]
    assert evaluation.frechet(Tensor(x), Tensor(y)) == evaluation.frechet(x, y)


def test_features_are_limited_in_magnitude():
    assert arrays.as_features("x", [[1e45]]).tolist() == [[1e45]]
    with pytest.raises(ValueError, match=r"x must be at most 1e\+45 in magnitude; got 2e\+45"):
        arrays.as_features("x", [[1.0], [-2e45]])


@pytest.mark.parametrize(("num", "width"), [(1, 1), (7, 3), (100, 10), (5, 1000)])
def test_blocks_are_in_order_and_bound_memory(monkeypatch, num, width):
    monkeypatch.setattr(arrays, "_BLOCK_BYTES", 8 * 32)
    cut = list(arrays.blocks(num, width))
    assert [row for rows in cut for row in range(rows.start, rows.stop)] == list(range(num))
    sizes = [rows.stop - rows.start for rows in cut]
    assert all(size * width <= 32 or size == 1 for size in sizes)
    assert all((size + 1) * width > 32 for size in sizes[:-1])  # no block is smaller than needed


def test_middle_is_the_median_of_few_rows():
    points = np.array([[3.0, -1.0], [0.0, 7.0], [1.0, 1e30], [2.0, 5.0]])
    assert arrays.middle(points).tolist() == [1.5, 6.0]


def test_middle_of_many_rows_is_near_their_median():
    points = features(30_000, 3, shift=5.0)
    points[np.random.default_rng(1).random(30_000) < 0.1] = 1e30  # one tenth are outliers
    spread = np.quantile(points, 0.6, axis=0) - np.quantile(points, 0.4, axis=0)
    assert (np.abs(arrays.middle(points) - np.median(points, axis=0)) < spread).all()


def exact_squared_distances(a, b):
    """Computes distances in rational arithmetic, so that ties are exact."""
    a, b = ([[Fraction(value) for value in row] for row in z.tolist()] for z in (a, b))
    return [[sum((s - t) ** 2 for s, t in zip(x, y, strict=True)) for y in b] for x in a]


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("rows_at_once", [1, 4, 1000])
def test_kth_neighbor_with_ties_and_rows_left_out(monkeypatch, k, rows_at_once):
    """Any tied row is accepted, except the one left out. Points on a grid have many ties."""
    monkeypatch.setattr(arrays, "_BLOCK_BYTES", 8 * 20 * rows_at_once)
    draw = np.random.default_rng(k)
    a, b = draw.integers(-2, 3, (15, 2)).astype(float), draw.integers(-2, 3, (20, 2)).astype(float)
    left_out = draw.integers(0, 20, 15)
    for first, leave_out in ((a, None), (a, left_out), (b, None)):
        exact = exact_squared_distances(first, b)
        distances, which = arrays.nearest(first, b, k, leave_out=leave_out)
        if first is b:
            leave_out = np.arange(20)  # a point is no neighbor of itself
        for i, row in enumerate(exact):
            allowed = [j for j in range(20) if leave_out is None or j != leave_out[i]]
            assert which[i] in allowed
            assert distances[i] == row[which[i]] == sorted(row[j] for j in allowed)[k - 1]


def test_first_of_tied_nearest_rows_is_returned():
    points = np.array([[0.0], [2.0], [2.0], [0.0]])
    assert arrays.nearest(np.array([[1.0], [2.0]]), points)[1].tolist() == [0, 1]
    assert arrays.nearest(points, points)[1].tolist() == [3, 2, 1, 0]


def test_neighbor_distances_are_accurate_to_rounding():
    x, y = features(20, 5, seed=1, shift=1e6), features(30, 5, seed=2, shift=1e6)
    exact = exact_squared_distances(x, y)
    distances, which = arrays.nearest(x, y)
    for i, row in enumerate(exact):
        assert which[i] == row.index(min(row))
        assert distances[i] == pytest.approx(float(min(row)), rel=8 * np.finfo(float).eps)


@pytest.mark.parametrize(
    "call",
    [
        lambda: arrays.nearest(np.zeros((4, 2)), np.zeros((3, 5))),
        lambda: arrays.nearest(np.zeros((4, 2)), np.ones((4, 2)), leave_out=np.arange(3)),
        lambda: arrays.squared_distances(np.zeros((4, 2)), np.zeros((4, 3))),
        lambda: arrays.middle(np.zeros(4)),
        lambda: arrays.middle(np.zeros((4, 2), np.float32)),
    ],
)
def test_shapes_of_private_functions_are_checked_in_tests(call):
    with pytest.raises(jaxtyping.TypeCheckError, match="checking the parameters of jaxgan"):
        call()


@pytest.mark.parametrize("module", ["arrays", "frechet", "inception", "kernel", "manifold"])
def test_private_functions_of_each_module_have_shapes(module):
    prefix = f"jaxgan.evaluation._{module}."
    assert any(name.startswith(prefix) for name in shape_checks.CHECKED)
