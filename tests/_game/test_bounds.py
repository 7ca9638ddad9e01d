"""Compares the bounds of functions with their known ranges, and with their values."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan._game._bounds import bounds_of

INF = math.inf
X = jax.ShapeDtypeStruct((3, 4), jnp.float32)


def over(x, total):
    """Returns exp(x) divided by a function of exp(x)."""
    x = jnp.exp(x)
    return x / total(x)


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        (jax.nn.sigmoid, 0, 1),
        (jnp.tanh, -1, 1),
        (lambda x: jax.nn.softmax(x, axis=0).T[1:], 0, 1),
        (jax.nn.relu, 0, INF),
        (lambda x: -jax.nn.relu(x), -INF, 0),
        (lambda x: 255 * jax.nn.sigmoid(x) - 5, -5, 250),
        (lambda x: 2 - jnp.tanh(x) / 4, 1.75, 2.25),
        (lambda x: jnp.clip(x, -7, 2), -7, 2),
        (lambda x: jnp.minimum(x, 3.0), -INF, 3),
        (lambda x: jnp.sin(x).sum(axis=1), -4, 4),
        (lambda x: jnp.abs(x).mean(), 0, INF),
        (lambda x: jnp.where(x > 0, jnp.cos(x), 5.0), -1, 5),
        (lambda x: jnp.concatenate([jnp.tanh(x), jax.nn.sigmoid(x)]), -1, 1),
        (lambda x: 1 / (1 + jnp.exp(-x)), 0, 1),
        (lambda x: jax.lax.cond(x.sum() > 0, jnp.tanh, jax.nn.sigmoid, x), -1, 1),
        (jax.vmap(jax.checkpoint(jax.nn.sigmoid)), 0, 1),
        (lambda x: x, -INF, INF),
        (lambda x: x @ x.T, -INF, INF),
        (lambda x: jnp.tanh(x) * x, -INF, INF),
        (lambda x: 1 / jnp.tanh(x), -INF, INF),
        (lambda x: x / jnp.abs(x).sum(), -INF, INF),
        (jnp.linalg.qr, -INF, INF),
        (lambda x: jnp.tanh(x)[:, jnp.array([3, 1])], -1, 1),
        (lambda x: jax.lax.dynamic_slice(jnp.tanh(x), (1, 2), (2, 2)), -1, 1),
        (lambda x: jnp.tanh(x).at[jnp.array([9])].get(mode="fill", fill_value=-7.0), -7, 1),
        (lambda x: jax.lax.clamp(-4.0, jnp.tanh(x), 4.0), -1, 1),
        (lambda x: jnp.where(jnp.isfinite(x), jnp.tanh(x), jnp.nan), -INF, INF),
        (lambda x: jax.lax.reduce(jax.nn.sigmoid(x), 0.0, lambda a, b: a + 2 * b, (1,)), -INF, INF),
        (lambda x: over(x, lambda x: x.sum()), 0, 1),
        (lambda x: over(x, lambda x: x.sum(axis=0, keepdims=True)), 0, 1),
        (lambda x: over(x[:3, :3], lambda x: x.sum(axis=1)[None]), -INF, INF),
        (lambda x: over(x, lambda x: x.sum(axis=1)[::-1, None]), -INF, INF),
        (lambda x: over(x, lambda x: x.sum(axis=1).min()), -INF, INF),
        (lambda x: (5 * jax.nn.sigmoid(x)).astype(jnp.int32).astype(jnp.float32), -INF, INF),
        (lambda x: x[:0].sum(axis=0), -INF, INF),
        (lambda x: jnp.asarray([2.0, -3.0]), -3, 2),
    ],
)
def test_bounds_are_those_of_the_function(function, low, high):
    first = lambda x: jax.tree.leaves(function(x))[0]
    assert bounds_of(first, X) == pytest.approx((low, high))
    values = np.asarray(first(10 * jax.random.normal(jax.random.key(0), X.shape)))
    assert (low <= values).all()
    assert (values <= high).all()


def test_function_of_a_traced_number_has_no_bounds():
    bounds = []
    jax.jit(lambda y: bounds.append(bounds_of(lambda x: y + 0 * jnp.tanh(x), X)))(1.0)
    assert bounds == [(-INF, INF)]
