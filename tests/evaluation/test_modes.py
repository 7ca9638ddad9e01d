"""Compares mode coverage with sums over all draws and known mixtures."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest
from feature_sets import features

from jaxgan import evaluation


def test_mode_coverage_matches_hand_computed_values():
    labels = np.array([0] * 6 + [2] * 3 + [3])
    expected = sum(p * math.log(p * 5) for p in (0.6, 0.3, 0.1))
    found = evaluation.mode_coverage(labels, 5)
    assert (found.modes, found.num_samples) == (3, 10)
    assert found.kl == pytest.approx(expected)
    assert evaluation.mode_coverage(np.arange(7), 7).kl == pytest.approx(0, abs=1e-15)
    assert evaluation.mode_coverage(jnp.zeros(9, jnp.int32), 7).kl == pytest.approx(math.log(7))


@pytest.mark.parametrize("q", [None, [0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
def test_kl_floor_is_the_mean_over_all_draws(q):
    p = np.full(3, 1 / 3) if q is None else np.array(q)
    expected = 0.0
    for draw in itertools.product(range(3), repeat=6):
        expected += p[list(draw)].prod() * evaluation.mode_coverage(draw, 3).kl
    assert evaluation.kl_floor(6, 3, q) == pytest.approx(expected)


def test_kl_floor_for_stacked_mnist():
    assert evaluation.kl_floor(26_000, 1_000) == pytest.approx(0.0193, abs=1e-4)
    draw = np.random.default_rng(0).integers(0, 1000, (20, 26_000))
    mean, error = evaluation.mean_and_error([evaluation.mode_coverage(x, 1000).kl for x in draw])
    assert abs(mean - evaluation.kl_floor(26_000, 1_000)) < 6 * error


def test_mixture_coverage_of_a_perfect_sampler():
    draw = np.random.default_rng(0)
    means = np.stack(np.meshgrid(range(3), range(3)), -1).reshape(-1, 2).astype(float)
    points = means[draw.integers(0, 9, 50_000)] + 0.05 * draw.normal(size=(50_000, 2))
    found = evaluation.mixture_coverage(points, means, 0.05)
    assert found.modes == 9
    assert found.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.002)
    assert found.kl < 10 * found.kl_floor


def test_point_at_the_radius_is_high_quality():
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


def test_non_integer_labels_are_rejected():
    with pytest.raises(TypeError, match=r"labels must be integer \[num_samples\]; got float64"):
        evaluation.mode_coverage([0.0, 1.0], 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64])
def test_labels_of_every_integer_dtype_are_accepted(dtype):
    labels = np.array([0, 0, 4, 2])
    expected = evaluation.mode_coverage(labels, 5)
    assert evaluation.mode_coverage(labels.astype(dtype), 5) == expected


def test_error_for_integer_means_does_not_suggest_embed():
    with pytest.raises(TypeError, match=r"means must be float \[num, dims\]; got int") as caught:
        evaluation.mixture_coverage(features(), np.zeros((3, 8), int), 1.0)
    assert "embed" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: evaluation.mode_coverage([0, 3], 3),
            r"in \[0, num_modes\), here \[0, 3\); got 0 to 3",
        ),
        (lambda: evaluation.mode_coverage(np.zeros(0, int), 3), "without empty axes"),
        (lambda: evaluation.mode_coverage(np.zeros(10_000_001, int), 3), "at most 10000000"),
        (lambda: evaluation.kl_floor(10, 2, [0.5, 0.6]), "with sum 1; got .* with sum 1.1"),
        (lambda: evaluation.kl_floor(10, 3, [0.5, 0.5]), r"here \(3,\).*; got \(2,\)"),
        (lambda: evaluation.mixture_coverage(features(), features(), 0.0), "must be positive"),
    ],
)
def test_invalid_arguments_of_mode_metrics_are_rejected(call, message):
    with pytest.raises(ValueError, match=message):
        call()
