"""Compares the Inception score with plain Python."""

import itertools
import math

import ml_dtypes
import numpy as np
import pytest
from feature_sets import features

from jaxgan import evaluation


def exp_kl(rows):
    """Computes the Inception score of one split in plain Python."""
    marginal = rows.mean(0)
    kls = [sum(a * math.log(a / m) for a, m in zip(r, marginal, strict=True) if a) for r in rows]
    return math.exp(np.mean(kls))


def test_inception_score_matches_hand_computed_values():
    p = np.array([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75], [1.0, 0.0]])
    halves = [exp_kl(p[:2]), exp_kl(p[2:])]
    found = evaluation.inception_score(p, splits=2)
    assert found.value == pytest.approx(np.mean(halves))
    assert found.deviation == pytest.approx(np.std(halves))
    assert evaluation.inception_score(np.full((20, 10), 0.1)).value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("shuffle", "value", "deviation"),
    [(False, 1.5344483634223065, 0.12774936642588428), (True, 1.4753383544161698, 0.1025302634)],
)
def test_inception_score_is_that_of_torch_fidelity(shuffle, value, deviation):
    """torch-fidelity splits 23 rows into 5, 6, 6 and 6; `np.array_split` makes the last one 5."""
    numbers = np.arange(69.0)
    p = np.exp(3 * np.sin(numbers * (numbers + 1) / 7)).reshape(23, 3)
    p /= p.sum(axis=1, keepdims=True)
    p = p[np.random.RandomState(2020).permutation(23)] if shuffle else p
    found = evaluation.inception_score(p, splits=4)
    assert found.value == pytest.approx(value, rel=1e-10)
    assert found.deviation == pytest.approx(deviation, rel=1e-9)


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
def test_inception_score_of_degenerate_input_matches_brute_force(p):
    assert evaluation.inception_score(p, splits=1).value == pytest.approx(exp_kl(p), rel=1e-12)
    splits = min(3, len(p))
    edges = [i * len(p) // splits for i in range(splits + 1)]
    expected = np.mean([exp_kl(p[a:b]) for a, b in itertools.pairwise(edges)])
    assert evaluation.inception_score(p, splits=splits).value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_rounded_probabilities_are_accepted(dtype):
    p = np.random.default_rng(0).dirichlet([0.3] * 10, 500)
    exact = evaluation.inception_score(p).value
    assert evaluation.inception_score(p.astype(dtype)).value == pytest.approx(exact, rel=2e-3)
    nearly = evaluation.inception_score(p * np.linspace(0.9995, 1.0005, 500)[:, None])
    assert nearly.value == pytest.approx(exact, rel=1e-12)
    with pytest.raises(ValueError, match="sum to 1"):
        evaluation.inception_score(0.97 * p.astype(dtype))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evaluation.inception_score(features()), "Apply a softmax to logits"),
        (
            lambda: evaluation.inception_score(np.ones((5, 1))),
            "must be at least 10 rows with splits=10; got 5 rows",
        ),
    ],
)
def test_invalid_arguments_of_inception_score_are_rejected(call, message):
    with pytest.raises(ValueError, match=message):
        call()
