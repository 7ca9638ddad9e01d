"""Tests `from_equinox`: the contract of all adapters, recovered modules, and state."""

import functools
import math
import sys
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adapter_contract import (
    CLASSES,
    LATENT_DIM,
    MOMENTUM,
    SMALL,
    WIDTH,
    AdapterContract,
    Library,
    activate,
    finish,
    quick_jit,
    rich_run,
    with_labels,
)

from jaxgan.networks import from_equinox


class EquinoxNet(eqx.Module):
    first: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    last: eqx.nn.Linear
    shape: tuple = eqx.field(static=True)

    def __init__(self, features, shape, key):
        keys = jax.random.split(key)
        self.shape = shape
        self.first = eqx.nn.Linear(features, WIDTH, key=keys[0])
        self.norm = eqx.nn.BatchNorm(WIDTH, "batch", momentum=MOMENTUM, mode="batch")
        self.last = eqx.nn.Linear(WIDTH, math.prod(shape), key=keys[1])

    def __call__(self, x, state):
        x, state = self.norm(self.first(x.ravel()), state)
        return finish(self.last(activate(x, self.shape))[None], self.shape)[0], state


class EquinoxRich(eqx.Module):
    layers: list
    permutation: jax.Array  # integers and numpy arrays are not parameters
    offset: np.ndarray
    shape: tuple = eqx.field(static=True)

    def __init__(self, features, shape, key):
        keys = jax.random.split(key, 4)
        first = eqx.nn.Linear(features + CLASSES, WIDTH, key=keys[0])
        self.layers = [
            eqx.nn.SpectralNorm(first, "weight", key=keys[1]),
            eqx.nn.BatchNorm(WIDTH, "batch", momentum=MOMENTUM, mode="batch"),
            eqx.nn.Dropout(0.5),
            eqx.nn.Linear(WIDTH, math.prod(shape), key=keys[2]),
        ]
        self.permutation = jax.random.permutation(keys[3], WIDTH)
        self.offset = np.full(WIDTH, 0.5, np.float32)
        self.shape = shape

    def __call__(self, x, labels, state, key):
        spectral, norm, dropout, last = self.layers
        x, state = spectral(with_labels(x[None], labels[None])[0], state)
        x, state = norm(x[self.permutation] + self.offset, state)
        return finish(last(dropout(x, key=key))[None], self.shape)[0], state


def make_equinox_spectral(key):
    linear = eqx.nn.Linear(6, 4, use_bias=False, key=key)
    return eqx.nn.SpectralNorm(linear, "weight", key=key)


class EquinoxNoisy(eqx.Module):
    """Has a static field with a new function in every module, and takes a key and `train`."""

    linear: eqx.nn.Linear
    activation: Callable = eqx.field(static=True)

    def __init__(self, key):
        self.linear = eqx.nn.Linear(3, 2, key=key)
        self.activation = lambda x: 2 * x

    def __call__(self, x, key, train):
        return self.activation(self.linear(x + jax.random.normal(key, x.shape) if train else x))


def statistics_of_equinox(model_state):
    return next(leaf for leaf in state_values(model_state["state"]) if isinstance(leaf, tuple))


def state_values(state):
    """Returns the values of an `eqx.nn.State`: counters and tuples of arrays."""
    return jax.tree.leaves(
        state, is_leaf=lambda x: isinstance(x, tuple) and isinstance(x[0], jax.Array)
    )


PATHS = ("first/weight", "first/bias", "norm/weight", "norm/bias", "last/weight", "last/bias")

EQUINOX = Library(
    lambda features, shape: from_equinox(lambda key: EquinoxNet(features, shape, key)),
    lambda features, shape: from_equinox(lambda key: EquinoxRich(features, shape, key)),
    from_equinox(make_equinox_spectral),
    PATHS,
    statistics_of_equinox,
    (0.0, 1.0),
    False,  # keeps the biased average, and divides when using it
    noisy=from_equinox(EquinoxNoisy),
    transposed=True,
    draws_always=False,
)


class TestEquinox(AdapterContract):
    library = EQUINOX


def test_trained_equinox_module_is_recovered():
    gan, *_, states = rich_run(EQUINOX)
    latents, labels = jnp.ones((3, LATENT_DIM)), jnp.arange(3)
    make = functools.partial(EquinoxRich, LATENT_DIM, SMALL)
    module, _ = eqx.nn.make_with_state(make)(jax.random.key(9))
    model_state = states[-1].model_state.generator["network"]
    module = eqx.combine(states[-1].ema_params, model_state["buffers"], module)
    module = eqx.nn.inference_mode(module)
    one = lambda z, label: module(z, label, model_state["state"], None)[0]
    y = quick_jit(jax.vmap(one, axis_name="batch"))(latents, labels)
    np.testing.assert_allclose(y, quick_jit(gan.sample)(states[-1], latents, labels), atol=1e-5)


def test_equinox_parameters_of_two_inits_have_equal_structure():
    first, second = (EQUINOX.noisy.init(jax.random.key(i), jnp.ones((1, 3)))[0] for i in (0, 1))
    assert jax.tree.structure(first) == jax.tree.structure(second)
    gradient = jax.grad(lambda p: EQUINOX.noisy.apply(p, *rest, train=False)[0].sum())
    rest = EQUINOX.noisy.init(jax.random.key(0), jnp.ones((1, 3)))[1], jnp.ones((4, 3))
    np.testing.assert_allclose(gradient(first).linear.bias, 2 * 4 * np.ones(2))


def test_equinox_rejects_state_that_differs_between_examples():
    class Counter(eqx.Module):
        last: eqx.nn.StateIndex

        def __init__(self, key):
            self.last = eqx.nn.StateIndex(jnp.zeros(()))

        def __call__(self, x, state):
            return x, state.set(self.last, x.sum())

    network = from_equinox(Counter)
    variables = network.init(jax.random.key(0), None)
    with pytest.raises(ValueError):  # noqa: PT011  the message is from JAX and can change
        network.apply(*variables, jnp.ones((2, 3)), train=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: from_equinox(eqx.nn.Identity()),
            r"make must be a function .* got the module Identity",
        ),
        (lambda: from_equinox(lambda key: 3), r"make\(key\) must be an eqx.Module; got 3"),
    ],
)
def test_invalid_modules_are_rejected(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_missing_library_error_names_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "equinox", None)
    with pytest.raises(ImportError, match="pip install equinox"):
        from_equinox(lambda x: x)
