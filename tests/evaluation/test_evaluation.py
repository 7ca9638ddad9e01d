"""Every metric against SciPy, scikit-learn, prdc or brute force, and the input it refuses."""

import hashlib
import itertools
import math
import subprocess
from pathlib import Path

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import prdc
import pytest
import scipy.linalg
from conftest import PYTHON
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

import jaxgan
from jaxgan import evaluation
from jaxgan.evaluation import _arrays as arrays


def features(num=200, dims=8, *, seed=0, shift=0.0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(num, dims)) @ draw.normal(size=(dims, dims)) + shift


def rank_deficient(num=200, *, seed=0, shift=0.0):
    """Half of the units are dead, and two are the same."""
    x = features(num, 4, seed=seed, shift=shift)
    return np.concatenate([x, x[:, :1], np.zeros((num, 5))], axis=1)


SETS = {
    "full rank": (features(seed=1), features(150, seed=2, shift=0.3)),
    "rank deficient": (rank_deficient(seed=1), rank_deficient(150, seed=2, shift=0.3)),
    "tiny": (features(4, 2, seed=1), features(3, 2, seed=2, shift=0.3)),
    "large offset": (features(seed=1, shift=1e4), features(150, seed=2, shift=1e4)),
}
each_set = pytest.mark.parametrize("sets", SETS.values(), ids=SETS.keys())


def scipy_frechet(x, y):
    s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(s)  # of a symmetric matrix, which it does well, if not too singular
    trace = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ t @ root), 0)).sum()
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s) + np.trace(t) - 2 * trace


@pytest.mark.parametrize("name", ["full rank", "tiny", "large offset"])
def test_frechet_is_scipys(name):
    x, y = SETS[name]
    assert evaluation.frechet(x, y) == pytest.approx(scipy_frechet(x, y), rel=1e-9, abs=1e-9)


def test_frechet_of_dead_units_is_that_without_them():
    x, y = SETS["rank deficient"]
    scale = np.array([math.sqrt(2), 1, 1, 1])  # the double unit is one of twice the variance
    expected = scipy_frechet(x[:, :4] * scale, y[:, :4] * scale)
    assert evaluation.frechet(x, y) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_diagonal_gaussians_is_the_formula_by_hand():
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))  # mean 0, covariance 8/7 I
    x, y = signs * [1.0, 2.0, 3.0], signs * [2.0, 2.0, 1.0] + [0.0, 5.0, 0.0]
    assert evaluation.frechet(x, y) == pytest.approx(25 + 8 / 7 * (1 + 0 + 4))


@each_set
def test_a_frechet_distance_is_zero_to_itself_and_symmetric(sets):
    x, y = sets
    scale = np.trace(np.cov(x, rowvar=False))
    assert 0 <= evaluation.frechet(x, x) < 1e-7 * scale
    assert evaluation.frechet(x, y) == pytest.approx(evaluation.frechet(y, x), abs=1e-9 * scale)


def test_merged_moments_are_numpys():
    x = features(97, shift=100.0)
    merged = evaluation.merge(evaluation.moments(x[i : i + 10]) for i in range(0, 97, 10))
    assert merged.count == 97
    np.testing.assert_allclose(merged.mean, x.mean(0), rtol=1e-13)
    np.testing.assert_allclose(merged.scatter / 96, np.cov(x, rowvar=False), rtol=1e-9)
    assert evaluation.frechet(merged, x) < 1e-9


@pytest.mark.parametrize(
    ("scatter", "message"),
    [
        ([[1.0, 500.0], [500.0, 1.0]], r"of real must have no negative eigenvalue.*has -4\.99 to"),
        ([[2.0, 1.0], [0.0, 2.0]], "of real must be symmetric.* differ by 1"),
        ([[-1.0, 0.0], [0.0, 1.0]], "no negative diagonal"),
    ],
)
def test_a_scatter_that_no_features_have(scatter, message):
    real = evaluation.Moments(101, np.zeros(2), np.array(scatter))
    with pytest.raises(ValueError, match=message):
        evaluation.frechet(real, features(dims=2))


def with_a_negative_eigenvalue(scatter):
    """Returns a scatter with, where two units are the same, what float32 may leave of a zero."""
    difference = np.zeros(len(scatter))
    difference[[0, 4]] = math.sqrt(0.5), -math.sqrt(0.5)
    negative = np.finfo(np.float32).eps * np.linalg.norm(scatter, 2)
    return scatter - negative * np.outer(difference, difference)


def summed_in_float32(scatter):
    """Returns a scatter whose two halves differ by the rounding of float32."""
    rounded = scatter.astype(np.float32)
    upper = np.nextafter(rounded, np.float32(np.inf))
    return np.where(np.tri(len(scatter)), rounded, upper).astype(np.float64)


@pytest.mark.parametrize("damage", [with_a_negative_eigenvalue, summed_in_float32])
def test_the_rounding_of_a_float32_scatter_is_accepted(damage):
    """The distance changes by at most 2 |A - B|, for the exact covariance B and the rounded one A.

    |.| is the sum of singular values, and A+ is A without its negative eigenvalues. Powers and
    Stormer bound the distance of A+ and B by |A+ - B|, which is at most 2 |A - B|. The code takes
    the trace of A instead of A+, which lowers the distance by |A+ - A|, at most |A - B|.
    """
    x = rank_deficient(shift=3.0)
    count, mean, exact = evaluation.moments(x)
    scatter = damage(exact)
    lower = np.tril(scatter) + np.tril(scatter, -1).T  # the half that eigh reads
    bound = 2 * np.linalg.norm(lower - exact, "nuc") / (count - 1)
    rounding = 1e-12 * np.trace(exact)  # of float64
    assert 0 < bound < 1e-5 * np.trace(exact) / (count - 1)
    found = evaluation.frechet(evaluation.Moments(count, mean, scatter), x + 2.0)
    assert found == pytest.approx(4.0 * len(mean), abs=bound + rounding)


def squared_mmd(x, y):
    """By scikit-learn's kernel."""
    n = len(x)
    xx, yy, xy = (polynomial_kernel(a, b, 3, coef0=1) for a, b in ((x, x), (y, y), (x, y)))
    off = xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)
    return off / (n * (n - 1)) - 2 * xy.mean()


@pytest.mark.parametrize("subsets", [None, 3])
def test_kernel_distance_is_scikit_learns_polynomial_kernel(subsets):
    x, y = features(60, seed=1), features(60, seed=2, shift=0.3)
    found = evaluation.kernel_distance(x, y, block_size=60, subsets=subsets)
    assert found.value == pytest.approx(squared_mmd(x, y), rel=1e-10)  # all, in any order
    assert found.num_blocks == (subsets or 1)


@each_set
def test_kernel_distance_of_every_kind_of_set_is_scikit_learns(sets):
    num = min(map(len, sets))
    x, y = (z[:num] for z in sets)
    terms = polynomial_kernel(x, x, 3, coef0=1).max()  # which nearly cancel, at a large offset
    found = evaluation.kernel_distance(x, y, block_size=num).value
    assert found == pytest.approx(squared_mmd(x, y), rel=1e-10, abs=1e-14 * terms)


def test_kernel_distance_shuffles_before_it_cuts():
    """Of sorted sets every block must be mixed; and another seed cuts otherwise."""
    x = np.sort(np.random.default_rng(0).normal(size=(400, 1)), axis=0)
    found = evaluation.kernel_distance(x, x, block_size=40)
    in_order = [squared_mmd(x[i : i + 40], x[i : i + 40]) for i in range(0, 400, 40)]
    assert found.value != pytest.approx(np.mean(in_order), rel=1e-3)
    both = np.concatenate([np.zeros((40, 1)), np.full((40, 1), 5.0)])
    halves = [evaluation.kernel_distance(both, both, block_size=40, seed=s).value for s in range(9)]
    assert len(set(halves)) > 1


def test_a_block_of_the_kernel_distance_is_computed_in_parts(monkeypatch):
    x, y = features(60, seed=1), features(60, seed=2, shift=0.3)
    whole = evaluation.kernel_distance(x, y, block_size=60).value
    monkeypatch.setattr(arrays, "_BLOCK_BYTES", 8 * 60 * 7)  # seven rows at a time
    assert evaluation.kernel_distance(x, y, block_size=60).value == pytest.approx(whole, rel=1e-12)


def test_kernel_distance_uses_each_point_once_and_its_error_is_right():
    """Far-off points, two of each set, must enter one block each; and errors cover the truth."""
    found = [
        evaluation.kernel_distance(
            features(400, 3, seed=s) / 3, features(400, 3, seed=s) / 3 + 0, block_size=40
        )
        for s in range(3)
    ]
    assert all(x.num_blocks == 10 for x in found)
    draw = np.random.default_rng(0)
    same = [
        evaluation.kernel_distance(*draw.normal(size=(2, 400, 3)), block_size=40) for _ in range(60)
    ]
    values = np.array([x.value for x in same])
    errors = np.array([x.standard_error for x in same])
    spread = values.std(ddof=1)
    assert abs(values.mean()) < 5 * spread / math.sqrt(60)
    # A variance of 60 values is off by sqrt(2 / 59) = 18 %, the errors by sqrt(2 / 9 / 60) = 6 %.
    assert 0.4 < (errors**2).mean() / spread**2 < 2.5


def exp_kl(rows):
    """The Inception score of one split, in plain Python."""
    marginal = rows.mean(0)
    kls = [sum(a * math.log(a / m) for a, m in zip(r, marginal, strict=True) if a) for r in rows]
    return math.exp(np.mean(kls))


def test_inception_score_by_hand():
    p = np.array([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75], [1.0, 0.0]])
    halves = [exp_kl(p[:2]), exp_kl(p[2:])]
    found = evaluation.inception_score(p, splits=2)
    assert found.value == pytest.approx(np.mean(halves))
    assert found.deviation == pytest.approx(np.std(halves))
    assert evaluation.inception_score(np.full((20, 10), 0.1)).value == pytest.approx(1.0)


@pytest.mark.parametrize(
    "p",
    [
        np.array([[0.25, 0.75]]),
        np.ones((3, 1)),
        np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]),
        np.random.default_rng(0).dirichlet([0.1] * 10, 40) @ np.eye(10, 12),
    ],
    ids=["one row", "one class", "an empty class", "two classes that never occur"],
)
def test_inception_score_of_little_or_degenerate_input_is_brute_forces(p):
    assert evaluation.inception_score(p, splits=1).value == pytest.approx(exp_kl(p), rel=1e-12)
    splits = min(3, len(p))
    expected = np.mean([exp_kl(part) for part in np.array_split(p, splits)])
    assert evaluation.inception_score(p, splits=splits).value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_probabilities_sum_to_1_as_exactly_as_their_type_can(dtype):
    p = np.random.default_rng(0).dirichlet([0.3] * 10, 500)
    exact = evaluation.inception_score(p).value
    assert evaluation.inception_score(p.astype(dtype)).value == pytest.approx(exact, rel=2e-3)
    nearly = evaluation.inception_score(p * np.linspace(0.9995, 1.0005, 500)[:, None])
    assert nearly.value == pytest.approx(exact, rel=1e-12)
    with pytest.raises(ValueError, match="sum to 1"):
        evaluation.inception_score(0.97 * p.astype(dtype))


@each_set
@pytest.mark.parametrize("k", [1, 2])
def test_precision_recall_density_and_coverage_are_prdcs(sets, k):
    x, y = sets
    if len(y) == k + 1:
        pytest.skip("prdc needs one point more")
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
def test_one_exploded_sample_leaves_the_others_as_they_are(far):
    x, y = np.random.default_rng(0).normal(size=(2, 200, 16))
    y[17] = far
    for a, b in ((x, y), (y, x)):
        expected = brute_force_precision_recall(a, b, 3)
        assert evaluation.precision_recall(a, b) == pytest.approx(expected)
    assert evaluation.nearest_neighbour_test(x, y).real == brute_force_neighbours(x, y)[0]
    assert evaluation.authenticity(y, x).share == brute_force_authenticity(y, x)


@pytest.mark.parametrize("dims", [1, 2, 3, 16, 128])
def test_what_lies_on_the_edge_of_a_ball_is_in_it(dims):
    """Of a copy every ball holds its centre, and k neighbours, of which the last is on the edge."""
    kinds = [(1.0, 0.0), (1e-3, 1e4), (1e6, 1e6)] * (20 if dims < 4 else 1)
    for seed, (scale, offset) in enumerate(kinds):
        x = scale * np.random.default_rng(seed).normal(size=(300, dims)) + offset
        found = evaluation.density_coverage(x, x.copy(), k=3)
        assert found == pytest.approx((4 / 3, 1.0), abs=1e-12)
        assert evaluation.precision_recall(x, x.copy(), k=3) == (1.0, 1.0)


def test_the_edge_of_a_ball_of_radius_0_is_in_it():
    same = np.ones((6, 2))  # balls of radius 0
    assert evaluation.density_coverage(same, same[:3], k=5) == (6 / 5, 1.0)
    assert evaluation.precision_recall(same, same, k=5) == (1.0, 1.0)


def test_blocks_do_not_change_a_thing(monkeypatch):
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


def test_a_large_set_never_is_in_memory_at_once():
    tracemalloc = pytest.importorskip("tracemalloc")
    x = np.random.default_rng(0).normal(size=(12_000, 2))  # all distances would be 1.15 GB
    tracemalloc.start()
    evaluation.density_coverage(x, x[:2_000] + 0.1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 700e6


@each_set
def test_distances_and_neighbours_are_brute_forces(sets):
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
def test_distances_far_from_the_origin_are_direct_differences(offset):
    draw = np.random.default_rng(0)
    x, y = offset + draw.normal(size=(50, 3)), offset + draw.normal(size=(40, 3))
    brute = ((x[:, None] - y) ** 2).sum(-1)
    for rows, block in arrays.squared_distances(x, y):
        np.testing.assert_allclose(block, brute[rows], rtol=1e-9, atol=1e-12)
    distances, which = arrays.nearest(x, y)
    np.testing.assert_array_equal(which, brute.argmin(axis=1))
    np.testing.assert_allclose(distances, brute.min(axis=1), rtol=8 * np.finfo(float).eps)


def test_copies_are_at_distance_0():
    x = features(500, 16, shift=3.0)
    distances, which = arrays.nearest(x.copy(), x)
    np.testing.assert_array_equal(which, np.arange(500))
    np.testing.assert_array_equal(distances, 0.0)


def brute_force_neighbours(x, y):
    """The shares of real and of fake whose nearest other is nearer in their own set."""

    def share(own, other):
        within = np.array([[((a - b) ** 2).sum() for b in own] for a in own])
        np.fill_diagonal(within, math.inf)
        across = np.array([[((a - b) ** 2).sum() for b in other] for a in own])
        return (within.min(axis=1) < across.min(axis=1)).mean()

    return share(x, y), share(y, x)


def brute_force_authenticity(train, fake):
    to_train = np.array([[((a - b) ** 2).sum() for b in train] for a in fake])
    own = np.array([[((a - b) ** 2).sum() for b in train] for a in train])
    np.fill_diagonal(own, math.inf)
    return (to_train.min(axis=1) > own.min(axis=1)[to_train.argmin(axis=1)]).mean()


@pytest.mark.parametrize("name", ["full rank", "rank deficient", "tiny"])
def test_neighbours_of_every_kind_of_set_are_brute_forces(name):
    x, y = (z[:60] for z in SETS[name])
    num = min(len(x), len(y))
    found = evaluation.nearest_neighbour_test(x[:num], y[:num])
    real, fake = brute_force_neighbours(x[:num], y[:num])
    assert found == pytest.approx(((real + fake) / 2, real, fake))
    assert evaluation.authenticity(x, y).share == brute_force_authenticity(x, y)


def test_ties_are_told_as_copies():
    # Real: 0 and 2; fakes: 1 and 3. Every distance to the nearest is 1, in the other set; and then
    # with each set's own neighbour as near.
    ours, theirs = np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]])
    assert evaluation.nearest_neighbour_test(ours, theirs) == (0.5, 0.5, 0.5)
    assert evaluation.authenticity(ours, np.array([[2.0], [-1.0], [2.5]])).share == 1 / 3
    x = features(500, 16)
    twice = np.repeat(x[:250], 2, axis=0)
    assert evaluation.nearest_neighbour_test(x, twice).fake == 0.0
    found = evaluation.authenticity(x, twice)
    assert found.share == 0.0
    np.testing.assert_array_equal(found.distances, 0.0)


def test_the_two_sample_test_is_scikit_learns_leave_one_out():
    x, y = features(60, seed=1), features(60, seed=2, shift=0.5)
    both, labels = np.concatenate([x, y]), np.repeat([0, 1], 60)
    neighbour = NearestNeighbors(n_neighbors=2).fit(both).kneighbors(both)[1][:, 1]
    right = labels[neighbour] == labels
    found = evaluation.nearest_neighbour_test(x, y)
    assert found == pytest.approx((right.mean(), right[:60].mean(), right[60:].mean()))


def test_the_two_sample_test_tells_copies_and_strangers():
    x = features(50)
    assert evaluation.nearest_neighbour_test(x, x).accuracy == 0.0
    assert evaluation.nearest_neighbour_test(x, x + 1e3).accuracy == 1.0


def test_authenticity_is_brute_forces_and_zero_for_copies():
    train, fake = features(80, seed=1), features(40, seed=2)
    to_train = np.linalg.norm(fake[:, None] - train, axis=-1)
    own = np.linalg.norm(train[:, None] - train, axis=-1) + np.diag(np.full(80, np.inf))
    expected = to_train.min(1) > own.min(1)[to_train.argmin(1)]
    found = evaluation.authenticity(train, fake)
    assert found.share == expected.mean()
    np.testing.assert_array_equal(found.nearest, to_train.argmin(1))
    np.testing.assert_allclose(found.distances, to_train.min(1))
    assert evaluation.authenticity(train, train[:30]).share == 0.0


def test_mode_coverage_by_hand_and_its_extremes():
    labels = np.array([0] * 6 + [2] * 3 + [3])
    expected = sum(p * math.log(p * 5) for p in (0.6, 0.3, 0.1))
    found = evaluation.mode_coverage(labels, 5)
    assert (found.modes, found.num_samples) == (3, 10)
    assert found.kl == pytest.approx(expected)
    assert evaluation.mode_coverage(np.arange(7), 7).kl == pytest.approx(0, abs=1e-15)
    assert evaluation.mode_coverage(jnp.zeros(9, jnp.int32), 7).kl == pytest.approx(math.log(7))


@pytest.mark.parametrize("q", [None, [0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
def test_the_kl_floor_is_the_mean_over_all_draws(q):
    p = np.full(3, 1 / 3) if q is None else np.array(q)
    expected = 0.0
    for draw in itertools.product(range(3), repeat=6):
        expected += p[list(draw)].prod() * evaluation.mode_coverage(draw, 3).kl
    assert evaluation.kl_floor(6, 3, q) == pytest.approx(expected)


def test_the_kl_floor_at_the_size_of_stacked_mnist():
    assert evaluation.kl_floor(26_000, 1_000) == pytest.approx(0.0193, abs=1e-4)
    draw = np.random.default_rng(0).integers(0, 1000, (20, 26_000))
    mean, error = evaluation.mean_and_error([evaluation.mode_coverage(x, 1000).kl for x in draw])
    assert abs(mean - evaluation.kl_floor(26_000, 1_000)) < 6 * error


def test_a_perfect_sampler_of_a_mixture():
    draw = np.random.default_rng(0)
    means = np.stack(np.meshgrid(range(3), range(3)), -1).reshape(-1, 2).astype(float)
    points = means[draw.integers(0, 9, 50_000)] + 0.05 * draw.normal(size=(50_000, 2))
    found = evaluation.mixture_coverage(points, means, 0.05)
    assert found.modes == 9
    assert found.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.002)
    assert found.kl < 10 * found.kl_floor


def test_a_point_at_the_radius_is_of_high_quality():
    found = evaluation.mixture_coverage([[1.5, 0.0], [1.75, 0.0]], np.zeros((1, 2)), 0.5)
    assert found.high_quality == 0.5


def test_only_near_points_capture_a_mode():
    means = np.array([[0.0, 0.0], [10.0, 0.0]])
    points = np.array([[0.29, 0.0], [0.31, 0.0], [9.0, 0.0], [5.0, 0.0]])
    found = evaluation.mixture_coverage(points, means, 0.1)
    assert (found.modes, found.high_quality) == (1, 0.25)
    assert found.kl == pytest.approx(math.log(2))
    none = evaluation.mixture_coverage(points + 3.0, means, 0.1)
    assert (none.modes, none.high_quality, none.kl) == (0, 0.0, math.inf)


def test_mean_and_standard_error():
    assert evaluation.mean_and_error([1.0, 3.0]) == (2.0, 1.0)
    mean, error = evaluation.mean_and_error([5.0])
    assert mean == 5.0
    assert math.isnan(error)


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
        (broken(np.nan), ValueError, "1 of 20 rows hold NaN or infinity, the first is row 7"),
        (broken(np.inf), ValueError, "must be finite"),
        (np.zeros((0, 3)), ValueError, "has 0 rows"),
        (np.zeros((20, 3), np.uint8), TypeError, r"must be floats .* got uint8\. Convert them"),
        (np.zeros((2, 3, 3, 1), np.uint8), TypeError, "Images become features by evaluation.embed"),
        (np.zeros((20, 3), bool), TypeError, "must be floats .* got bool"),
        (np.array([["a"] * 3] * 20), TypeError, "must be floats"),
        (np.zeros((20, 3, 1)), ValueError, r"must be \[num, dims\]; got \(20, 3, 1\)"),
        (np.zeros((20, 0)), ValueError, r"must be \[num, dims\]"),
        (features(20, 2), ValueError, "must have as many dimensions"),
    ],
)
def test_what_no_metric_takes(metric, bad, error, message):
    with pytest.raises(error, match=message if len(bad) else "rows|at least one"):
        metric(features(20, 3), bad)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evaluation.frechet(features(8, 8), features()), "real has 8 rows of 8 dimensions"),
        (lambda: evaluation.frechet(features(), features(5, 8)), "fake has 5 rows of 8 dimensions"),
        (lambda: evaluation.kernel_distance(features(), features()), "needs at least 1000"),
        (lambda: evaluation.kernel_distance(features(), features(), block_size=1), "block_size"),
        (
            lambda: evaluation.precision_recall(features(3), features()),
            "with k=3 it needs at least 4",
        ),
        (lambda: evaluation.density_coverage(features(), features(), k=0), "k must be at least 1"),
        (lambda: evaluation.nearest_neighbour_test(features(9), features(8)), "as many, so that"),
        (lambda: evaluation.authenticity(features(1), features(8)), "needs at least 2"),
        (lambda: evaluation.inception_score(features()), "Are they logits"),
        (lambda: evaluation.inception_score(np.ones((5, 1))), "needs at least 10"),
        (
            lambda: evaluation.mode_coverage([0, 3], 3),
            r"in \[0, num_modes\), here \[0, 3\); got 0 to 3",
        ),
        (lambda: evaluation.mode_coverage(np.zeros(0, int), 3), "at least one"),
        (lambda: evaluation.kl_floor(10, 2, [0.5, 0.6]), "sum to 1"),
        (lambda: evaluation.mixture_coverage(features(), features(), 0.0), "must be positive"),
        (lambda: evaluation.merge([]), "got none"),
        (lambda: evaluation.mean_and_error([]), "at least one"),
    ],
)
def test_what_a_metric_says_of_its_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_no_images_is_not_told_to_be_embedded():
    for call in (
        lambda: evaluation.mixture_coverage(features(), np.zeros((3, 8), int), 1.0),
        lambda: evaluation.frechet(None, features()),
    ):
        with pytest.raises(TypeError, match="must be floats") as caught:
            call()
        assert "embed" not in str(caught.value)


def test_labels_that_are_no_integers():
    with pytest.raises(TypeError, match="must be integers"):
        evaluation.mode_coverage([0.0, 1.0], 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ml_dtypes.bfloat16])
def test_features_of_any_float_type(dtype):
    x, y = (z.astype(dtype) for z in SETS["full rank"])
    wide = [z.astype(np.float64) for z in (x, y)]
    assert evaluation.frechet(jnp.asarray(x), y) == pytest.approx(
        evaluation.frechet(*wide), rel=1e-12
    )


@pytest.fixture(scope="module")
def digits():
    return jaxgan.datasets.load("mnist", "test", data_dir="embedded")


def test_the_classifier_knows_the_test_digits(digits):
    """A thousand of the harder ones; all 10,000 are for the slow test."""
    found = evaluation.embed(evaluation.mnist_v1().probabilities, digits.images[2000:3000])
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert (found.argmax(1) == digits.labels[2000:3000]).mean() >= 0.98


@pytest.mark.slow
def test_the_classifier_is_as_accurate_as_it_says(digits):
    found = evaluation.embed(evaluation.mnist_v1().probabilities, digits.images)
    assert (found.argmax(1) == digits.labels).mean() == pytest.approx(0.9939, abs=2e-4)


def test_features_do_not_depend_on_batches_or_on_how_images_are_given(digits):
    features = evaluation.mnist_v1().features
    whole = evaluation.embed(features, digits.images[:11])
    assert whole.shape == (11, 128)
    assert (whole >= 0).all()  # after their ReLU
    parts = evaluation.embed(features, digits.images[:11], batch_size=4)
    np.testing.assert_allclose(parts, whole, atol=1e-4)
    scaled = np.asarray(jaxgan.images.normalize(digits.images[:11]))
    np.testing.assert_array_equal(evaluation.embed(features, scaled), whole)


def test_random_features_are_the_same_everywhere_and_tell_sets_apart(digits):
    features = evaluation.embed(evaluation.random_v1(), digits.images[:600])
    # Another implementation of the first unit's sum, in float64, of the frozen stream.
    x = digits.images[0].astype(np.float64) / 127.5 - 1
    draw, channels = np.random.RandomState(0), 1
    for width in (32, 64, 128):
        kernel = draw.standard_normal((4, 4, channels, width)) * math.sqrt(2 / (16 * channels))
        size = -(-len(x) // 2)
        before = ((size - 1) * 2 + 4 - len(x)) // 2
        padded = np.zeros((2 * size + 4, 2 * size + 4, channels))
        padded[before : before + len(x), before : before + len(x)] = x
        cut = lambda i, j: padded[2 * i : 2 * i + 4, 2 * j : 2 * j + 4]  # noqa: B023
        x = np.array(
            [[np.tensordot(cut(i, j), kernel, 3) for j in range(size)] for i in range(size)]
        )
        x, channels = np.maximum(x, 0), width
    np.testing.assert_allclose(features[0], x.mean((0, 1)), rtol=1e-4, atol=1e-5)
    noisy = np.clip(digits.images[300:600].astype(int) + 40, 0, 255).astype(np.uint8)
    noisy = evaluation.embed(evaluation.random_v1(), noisy)
    near = evaluation.frechet(features[:300], features[300:])
    assert evaluation.frechet(features[:300], noisy) > 5 * near


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((2, 28, 28, 1), np.int32), TypeError, "must be uint8, or floats .* got int32"),
        (np.full((2, 28, 28, 1), 200.0), ValueError, r"must be in \[-1, 1\]; got 200 to 200"),
        (np.full((2, 28, 28, 1), np.nan), ValueError, "must be finite"),
        (np.eye(28).reshape(1, 28, 28, 1), ValueError, r"nothing negative.* 2 \* x - 1"),
        (np.zeros((0, 28, 28, 1), np.uint8), ValueError, "at least one"),
        (np.zeros((28, 28, 1), np.uint8), ValueError, r"must be \[num, height, width, channels\]"),
        (np.zeros((2, 32, 32, 1), np.uint8), ValueError, r"sees images of \(28, 28, 1\); got"),
        (np.zeros((2, 28, 28, 3), np.uint8), ValueError, r"sees images of \(28, 28, 1\); got"),
    ],
)
def test_images_that_are_refused(images, error, message):
    with pytest.raises(error, match=message):
        evaluation.embed(evaluation.mnist_v1().features, images)


def test_blank_images_and_images_in_the_right_range_pass(digits):
    flat = lambda images: images.reshape(images.shape[0], -1)
    for blank in (0.0, 0.5, 1.0):
        seen = evaluation.embed(flat, np.full((3, 2, 2, 1), blank))
        np.testing.assert_array_equal(seen, np.full((3, 4), blank))
    halves = digits.images[:9] / np.float32(255)  # in [0, 1]
    with pytest.raises(ValueError, match="got 0 to 1 and nothing negative"):
        evaluation.embed(flat, halves)
    seen = evaluation.embed(flat, 2 * halves - 1)
    np.testing.assert_allclose(seen, evaluation.embed(flat, digits.images[:9]), atol=1e-6)


def test_progress_is_told(digits):
    flat, told = lambda images: images.reshape(images.shape[0], -1), []
    evaluation.embed(flat, digits.images[:11], batch_size=4, progress=told.append)
    assert told == [4, 8, 11]
    told.clear()
    x = features(20, 2)
    evaluation.compare(x, x, train=x, progress=told.append)
    assert told[0] == "Frechet distance (1 of 6)"
    assert [name[-8:] for name in told] == [f"({i} of 6)" for i in range(1, 7)]


def test_a_feature_function_that_gives_no_features():
    with pytest.raises(ValueError, match=r"must give \[num, dims\], here \(2, dims\)"):
        evaluation.embed(lambda x: x, np.zeros((2, 28, 28, 1), np.uint8))


def test_damaged_weights_are_refused(tmp_path):
    shipped = Path(jaxgan.__file__).parent / "data" / "classifiers" / "mnist-v1.npz"
    data = bytearray(shipped.read_bytes())
    assert len(data) < 5e6
    data[len(data) // 2] ^= 1
    (tmp_path / "flipped.npz").write_bytes(data)
    digest = hashlib.sha256(shipped.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match="is damaged: its sha256 is"):
        evaluation.load_classifier(tmp_path / "flipped.npz", name="x", sha256=digest)
    with np.load(shipped, allow_pickle=False) as weights:
        convolutions, dense = 9 * 32 + 32 + 9 * 32 * 64 + 64, 12 * 12 * 64 * 128 + 128
        sizes = [weights[name].size for name in weights.files]
    assert sum(sizes) == convolutions + dense + 128 * 10 + 10 == 1_199_882
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npz is corrupted or not the expected"):
        evaluation.load_classifier(tmp_path / "other.npz", name="x")
    assert evaluation.load_classifier(shipped, name="x", sha256=digest).name == "x"


def test_the_script_that_trains_the_classifier_in_two_steps(tmp_path):
    script = Path(__file__).parents[2] / "examples" / "train_classifier.py"
    options = ["--data-dir", "embedded", "--steps", "2", "--batch-size", "20"]
    done = subprocess.run(
        [*PYTHON, str(script), *options, "--output", str(tmp_path / "c.npz")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy on" in done.stdout
    assert evaluation.load_classifier(tmp_path / "c.npz", name="c").name == "c"
