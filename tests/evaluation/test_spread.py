"""Tests the mean and the standard error of runs."""

import math

import numpy as np
import pytest

from jaxgan import evaluation


def test_mean_and_standard_error():
    assert evaluation.mean_and_error([1.0, 3.0]) == (2.0, 1.0)
    mean, error = evaluation.mean_and_error([5.0])
    assert mean == 5.0
    assert math.isnan(error)


def test_standard_error_matches_the_spread_of_many_means():
    runs = np.random.default_rng(0).normal(size=(2_000, 9))
    found = [evaluation.mean_and_error(run) for run in runs]
    means, errors = np.array(found).T
    np.testing.assert_allclose(means, runs.mean(axis=1), rtol=1e-12, atol=1e-15)
    # The variance of 2,000 means is off by sqrt(2 / 2000) = 3 %.
    assert (errors**2).mean() == pytest.approx(means.var(ddof=1), rel=0.15)


def test_values_of_every_real_dtype_are_formatted():
    for values in ([1, 3], np.array([1, 3], np.uint8), np.array([1, 3], np.float16)):
        assert evaluation.plus_minus(values, digits=0) == "2 +- 1"


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([], ValueError, "without empty axes"),
        ([[1.0, 2.0]], ValueError, r"\[runs\]; got shape \(1, 2\)"),
        ([True, False], TypeError, "values must be real numbers; got bool"),
        ([1j], TypeError, "values must be real numbers; got complex128"),
        ([1.0, [2.0]], TypeError, "values must be numbers"),
        ([1.0, math.nan], ValueError, r"1 of 2 values are not\. The first is nan at \[1\]"),
    ],
)
def test_invalid_values_are_rejected(values, error, message):
    with pytest.raises(error, match=message):
        evaluation.mean_and_error(values)
