"""Tests that `permute` is a permutation for every size and key, and that all are equally likely."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxgan.training import permute


def orders(num, how_many, seed=0):
    keys = jax.random.split(jax.random.key(seed), how_many)
    permutations = jax.vmap(lambda key: permute(key, jnp.arange(num), num))
    return np.asarray(jax.jit(permutations)(keys))


@pytest.mark.parametrize("num", [1, 2, 3, 4, 5, 15, 16, 17, 255, 256, 60_000])
def test_permutation_contains_each_index_once(num):
    for order in orders(num, 3):
        assert order.dtype == np.int32
        np.testing.assert_array_equal(np.sort(order), np.arange(num))


@pytest.mark.parametrize("num", range(2, 7))
def test_all_orders_are_equally_likely(num):
    drawn = 20_000
    codes = orders(num, drawn) @ num ** np.arange(num)
    counts = np.unique(codes, return_counts=True)[1]
    possible = math.factorial(num)
    assert len(counts) == possible
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_positions_and_distances_are_uniform_for_many_indices():
    num, drawn = 100, 20_000
    drawn_orders = orders(num, drawn)
    counts = np.stack([np.bincount(column, minlength=num) for column in drawn_orders.T])
    chi_squared = (counts**2).sum() * num / drawn - num * drawn
    degrees = (num - 1) ** 2
    assert abs(chi_squared - degrees) < 4 * math.sqrt(2 * degrees)
    distances = (drawn_orders[:, 1:] - drawn_orders[:, :-1]) % num
    counts = np.bincount(distances.ravel(), minlength=num)[1:]
    assert counts.min() > 0.97 * counts.mean()
    assert counts.max() < 1.03 * counts.mean()
    fixed = (drawn_orders == np.arange(num)).sum(axis=1)
    assert abs(fixed.mean() - 1) < 4 / math.sqrt(drawn)  # mean 1, variance 1


def test_permuting_some_indices_equals_permuting_all():
    key, num = jax.random.key(3), 1000
    whole = permute(key, jnp.arange(num), num)
    some = jnp.array([[3, 999], [0, 512]])
    np.testing.assert_array_equal(permute(key, some, num), whole[some])


def test_order_depends_on_the_key():
    first, second = orders(1000, 2)
    assert (first == second).mean() < 0.01


@pytest.mark.parametrize("num", [0, -1, 2**31])
def test_out_of_range_numbers_are_rejected(num):
    with pytest.raises(ValueError, match=f"num must be at (least|most) .*; got {num}"):
        permute(jax.random.key(0), jnp.arange(1), num)


def test_largest_number_is_accepted():
    num = 2**31 - 1
    positions = jnp.array([0, 1, num - 1], jnp.int32)
    found = np.asarray(permute(jax.random.key(0), positions, num))
    assert len(np.unique(found)) == 3
    assert found.min() >= 0
    assert found.max() < num
