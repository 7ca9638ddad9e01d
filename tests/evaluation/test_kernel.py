"""Compares the kernel distance with the polynomial kernel of scikit-learn."""

import fractions
import math

import numpy as np
import pytest
from feature_sets import each_set, features
from sklearn.metrics.pairwise import polynomial_kernel

from jaxgan import evaluation
from jaxgan.evaluation import _arrays as arrays


def squared_mmd(x, y):
    """Computes the squared MMD with scikit-learn's kernel."""
    n = len(x)
    xx, yy, xy = (polynomial_kernel(a, b, 3, coef0=1) for a, b in ((x, x), (y, y), (x, y)))
    off = xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)
    return off / (n * (n - 1)) - 2 * xy.mean()


@pytest.mark.parametrize("subsets", [None, 3])
def test_kernel_distance_matches_scikit_learn(subsets):
    x, y = features(60, seed=1), features(60, seed=2, shift=0.3)
    found = evaluation.kernel_distance(x, y, block_size=60, subsets=subsets)
    # Each block contains all rows.
    assert found.value == pytest.approx(squared_mmd(x, y), rel=1e-10)
    assert found.num_blocks == (subsets or 1)


@each_set
def test_kernel_distance_of_each_set_matches_scikit_learn(sets):
    num = min(map(len, sets))
    x, y = (z[:num] for z in sets)
    terms = polynomial_kernel(x, x, 3, coef0=1).max()  # these terms nearly cancel at a large offset
    found = evaluation.kernel_distance(x, y, block_size=num).value
    assert found == pytest.approx(squared_mmd(x, y), rel=1e-10, abs=1e-14 * terms)


def test_kernel_distance_shuffles_before_it_forms_blocks():
    """Blocks of sorted sets are mixed, and the seed changes the blocks."""
    x = np.sort(np.random.default_rng(0).normal(size=(400, 1)), axis=0)
    found = evaluation.kernel_distance(x, x, block_size=40)
    in_order = [squared_mmd(x[i : i + 40], x[i : i + 40]) for i in range(0, 400, 40)]
    assert found.value != pytest.approx(np.mean(in_order), rel=1e-3)
    both = np.concatenate([np.zeros((40, 1)), np.full((40, 1), 5.0)])
    halves = [evaluation.kernel_distance(both, both, block_size=40, seed=s).value for s in range(9)]
    assert len(set(halves)) > 1


def test_kernel_distance_does_not_depend_on_memory_blocks(monkeypatch):
    x, y = features(60, seed=1), features(60, seed=2, shift=0.3)
    whole = evaluation.kernel_distance(x, y, block_size=60).value
    monkeypatch.setattr(arrays, "_BLOCK_BYTES", 8 * 60 * 7)  # seven rows at a time
    assert evaluation.kernel_distance(x, y, block_size=60).value == pytest.approx(whole, rel=1e-12)


def test_kernel_distance_standard_error_is_correct():
    """The standard errors match the spread of 60 distances of equal distributions."""
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


def test_disjoint_blocks_omit_less_than_one_block():
    """3 blocks of 5 rows use 15 of 17 rows, so the values of two rows do not matter."""
    x, y = features(17, 2, seed=1), features(19, 2, seed=2)
    found = evaluation.kernel_distance(x, y, block_size=5)
    assert found.num_blocks == 3
    changed = 0
    for row in range(17):
        moved = x.copy()
        moved[row] += 1.0
        changed += evaluation.kernel_distance(moved, y, block_size=5).value != found.value
    assert changed == 15


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: evaluation.kernel_distance(features(), features()),
            "real must be at least 1000 rows with block_size=1000; got 200 rows",
        ),
        (lambda: evaluation.kernel_distance(features(), features(), block_size=1), "block_size"),
    ],
)
def test_invalid_arguments_of_kernel_distance_are_rejected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_kernel_distance_of_shifted_features_is_exact(offset):
    """The reference uses integers of any size."""
    draw = np.random.default_rng(0)
    x, y = draw.integers(-9, 9, (2, 20, 3)) + int(offset)
    found = evaluation.kernel_distance(x.astype(float), y.astype(float), block_size=20).value
    dot = lambda a, b: [[(int(i @ j) + 3) ** 3 for j in b] for i in a]
    within = sum(sum(map(sum, dot(z, z))) - sum(int(i @ i + 3) ** 3 for i in z) for z in (x, y))
    exact = fractions.Fraction(within, 27 * 20 * 19)
    exact -= fractions.Fraction(2 * sum(map(sum, dot(x, y))), 27 * 20**2)
    assert found == pytest.approx(float(exact), rel=1e-3)


def test_kernel_distance_hidden_by_rounding_is_rejected():
    x, y = np.random.default_rng(0).normal(size=(2, 20, 3)) + 1e8
    message = r"standard deviation must be at least 1e-06 of .*; got 1\.\d+ with .* Subtract"
    with pytest.raises(ValueError, match=message):
        evaluation.kernel_distance(x, y, block_size=20)
    same = np.full((20, 3), 1e8)
    with pytest.raises(ValueError, match="Subtract a constant"):
        evaluation.kernel_distance(same, same, block_size=20)


def test_subnormal_features_are_rejected():
    x = np.random.default_rng(0).normal(size=(20, 3))
    message = "The largest value of real must be 0 or at least 1e-45; got 2.*e-315"
    with pytest.raises(ValueError, match=message):
        evaluation.kernel_distance(1e-315 * x, x, block_size=20)
