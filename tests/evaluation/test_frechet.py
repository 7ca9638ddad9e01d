"""Compares the Frechet distance with SciPy and formulas."""

import itertools
import math

import numpy as np
import pytest
import scipy.linalg
from feature_sets import SETS, each_set, features, rank_deficient

from jaxgan import evaluation


def scipy_frechet(x, y):
    s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(s)  # accurate for symmetric matrices that are far from singular
    trace = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ t @ root), 0)).sum()
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s) + np.trace(t) - 2 * trace


@pytest.mark.parametrize("name", ["full rank", "tiny", "large offset"])
def test_frechet_matches_scipy(name):
    x, y = SETS[name]
    assert evaluation.frechet(x, y) == pytest.approx(scipy_frechet(x, y), rel=1e-9, abs=1e-9)


def test_frechet_ignores_dead_units():
    x, y = SETS["rank deficient"]
    scale = np.array([math.sqrt(2), 1, 1, 1])  # two equal units act as one of twice the variance
    expected = scipy_frechet(x[:, :4] * scale, y[:, :4] * scale)
    assert evaluation.frechet(x, y) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_diagonal_gaussians_matches_the_formula():
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))  # mean 0, covariance 8/7 I
    x, y = signs * [1.0, 2.0, 3.0], signs * [2.0, 2.0, 1.0] + [0.0, 5.0, 0.0]
    assert evaluation.frechet(x, y) == pytest.approx(25 + 8 / 7 * (1 + 0 + 4))


@each_set
def test_frechet_is_symmetric_and_zero_for_equal_sets(sets):
    x, y = sets
    scale = np.trace(np.cov(x, rowvar=False))
    assert 0 <= evaluation.frechet(x, x) < 1e-7 * scale
    assert evaluation.frechet(x, y) == pytest.approx(evaluation.frechet(y, x), abs=1e-9 * scale)


def test_merged_moments_match_numpy():
    x = features(97, shift=100.0)
    merged = evaluation.merge(evaluation.moments(x[i : i + 10]) for i in range(0, 97, 10))
    assert merged.count == 97
    np.testing.assert_allclose(merged.mean, x.mean(0), rtol=1e-13)
    np.testing.assert_allclose(merged.scatter / 96, np.cov(x, rowvar=False), rtol=1e-9)
    assert evaluation.frechet(merged, x) < 1e-9


@pytest.mark.parametrize(
    ("scatter", "message"),
    [
        ([[1.0, 500.0], [500.0, 1.0]], r"of real must be positive semidefinite; got .* -4\.99 to"),
        ([[2.0, 1.0], [0.0, 2.0]], "of real must be symmetric; got differences of 1 in up to 2"),
        ([[-1.0, 0.0], [0.0, 1.0]], "no negative diagonal"),
    ],
)
def test_impossible_scatter_is_rejected(scatter, message):
    real = evaluation.Moments(101, np.zeros(2), np.array(scatter))
    with pytest.raises(ValueError, match=message):
        evaluation.frechet(real, features(dims=2))


def with_a_negative_eigenvalue(scatter):
    """Replaces the zero eigenvalue of two equal units by a negative one, as float32 can."""
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
def test_rounding_of_a_float32_scatter_is_accepted(damage):
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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: evaluation.frechet(features(8, 8), features()),
            "real must be more rows than dimensions; got 8 rows of 8 dimensions",
        ),
        (
            lambda: evaluation.frechet(features(), features(5, 8)),
            "fake must be more rows than dimensions; got 5 rows of 8 dimensions",
        ),
        (
            lambda: evaluation.frechet(evaluation.moments(features(9, 2)), features(9, 3)),
            "real and fake must be of equal dimensions; got 2 and 3",
        ),
        (
            lambda: evaluation.merge(evaluation.moments(features(9, n)) for n in (2, 3)),
            "parts must be of equal dimensions; got 2 and 3",
        ),
        (lambda: evaluation.merge([]), "got none"),
    ],
)
def test_invalid_arguments_of_frechet_are_rejected(call, message):
    with pytest.raises(ValueError, match=message):
        call()
