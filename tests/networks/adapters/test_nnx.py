"""Tests `from_nnx`: the contract of all adapters, recovered modules, and sown values."""

import math
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adapter_contract import (
    CLASSES,
    FLAX,
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
from flax import nnx

from jaxgan.networks import from_nnx


class NnxNet(nnx.Module):
    def __init__(self, features, shape, rngs):
        self.shape = shape
        self.first = nnx.Linear(features, WIDTH, rngs=rngs)
        self.norm = nnx.BatchNorm(WIDTH, momentum=MOMENTUM, rngs=rngs)
        self.last = nnx.Linear(WIDTH, math.prod(shape), rngs=rngs)

    def __call__(self, x):
        x = self.norm(self.first(x.reshape(x.shape[0], -1)))
        return finish(self.last(activate(x, self.shape)), self.shape)


class NnxRich(nnx.Module):
    def __init__(self, features, shape, rngs):
        self.shape = shape
        first = nnx.Linear(features + CLASSES, WIDTH, rngs=rngs)
        norm = nnx.BatchNorm(WIDTH, momentum=MOMENTUM, rngs=rngs)
        last = nnx.Linear(WIDTH, math.prod(shape), rngs=rngs)
        layers = [nnx.SpectralNorm(first, rngs=rngs), norm, nnx.Dropout(0.5, rngs=rngs), last]
        self.layers = nnx.List(layers)  # gives integers in the paths of arrays

    def __call__(self, x, labels):
        x = with_labels(x, labels)
        for layer in self.layers:
            x = layer(x)
        return finish(x, self.shape)


def make_nnx_spectral(rngs):
    return nnx.SpectralNorm(nnx.Linear(6, 4, use_bias=False, rngs=rngs), rngs=rngs)


class NnxNoisy(nnx.Module):
    """Uses three random streams, one of several keys, and takes `train`."""

    def __init__(self, rngs):
        self.some, self.other = rngs["noise"].fork(), rngs["noise"].fork()
        self.many = rngs["noise"].split(2)

    def __call__(self, x, train):
        if not train:
            return jnp.stack([x, x, x, x])
        keys = self.many.key[...]
        return jnp.stack(
            [jax.random.normal(k, x.shape) for k in (self.some(), self.other(), *keys)]
        )


NNX = Library(
    lambda features, shape: from_nnx(lambda rngs: NnxNet(features, shape, rngs)),
    lambda features, shape: from_nnx(lambda rngs: NnxRich(features, shape, rngs)),
    from_nnx(make_nnx_spectral),
    FLAX,
    lambda s: (s["norm"]["mean"], s["norm"]["var"]),
    (0.0, 1.0),
    False,
    noisy=from_nnx(NnxNoisy),
    transposed=False,
    draws_always=False,
)


class TestNnx(AdapterContract):
    library = NNX


def test_trained_nnx_module_is_recovered():
    gan, *_, states = rich_run(NNX)
    latents, labels = jnp.ones((3, LATENT_DIM)), jnp.arange(3)
    module = NnxRich(LATENT_DIM, SMALL, nnx.Rngs(0))
    nnx.update(module, states[-1].ema_params)
    nnx.update(module, states[-1].model_state.generator["network"])
    module.eval()
    y = nnx.jit(lambda module, *inputs: module(*inputs))(module, latents, labels)
    np.testing.assert_allclose(y, quick_jit(gan.sample)(states[-1], latents, labels), atol=1e-5)


def test_sown_nnx_values_are_dropped():
    class Sowing(nnx.Module):
        def __init__(self, rngs):
            self.scale = nnx.Param(jnp.ones(()))

        def __call__(self, x):
            self.sow(nnx.Intermediate, "seen", x)
            return self.scale * x

    network = from_nnx(Sowing)
    params, model_state = network.init(jax.random.key(0), jnp.ones(3))
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # by flax
        _, moved = network.apply(params, model_state, jnp.ones(3), train=True)
    assert moved == model_state == {}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: from_nnx(nnx.Linear(1, 1, rngs=nnx.Rngs(0))),
            r"make must be a function .* got the module Linear",
        ),
        (lambda: from_nnx(lambda rngs: 3), r"make\(rngs\) must be an nnx.Module; got"),
    ],
)
def test_invalid_modules_are_rejected(call, message):
    with pytest.raises(TypeError, match=message):
        call()
