"""Tests that every adapter passes the flags of a training pass by their usual names."""

import functools
from collections.abc import Callable

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgan.networks import from_equinox, from_haiku, from_linen, from_nnx
from jaxgan.networks.adapters._common import train_flags


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda x: x, {}),
        (lambda x, train: x, {"train": True}),
        (lambda x, training=False: x, {"training": True}),
        (lambda x, *, is_training: x, {"is_training": True}),
        (lambda x, update_stats=None: x, {"update_stats": True}),
        (lambda x, deterministic=True: x, {"deterministic": False}),
        (lambda x, use_running_average=None: x, {"use_running_average": False}),
        (lambda x, inference=True: x, {"inference": False}),
        (
            lambda x, labels, train=True, *, deterministic: x,
            {"train": True, "deterministic": False},
        ),
    ],
)
def test_flags_have_their_polarity(call, expected):
    flags = train_flags("f", call)
    assert flags(True) == expected
    assert flags(False) == {name: not value for name, value in expected.items()}


def by_function(x, labels=None, keep: Callable[..., bool] = callable):
    return x


@pytest.mark.parametrize(
    "call",
    [
        lambda x, labels=None, slope=0.2, padding="SAME": x,
        lambda x, labels, *rest, **options: x,
        lambda x, labels=None, mode="bilinear", train_steps=3, test_scale=0.5, train_mask=None: x,
        functools.partial(lambda x, residual: x, residual=True),
        by_function,
    ],
)
def test_harmless_parameters_are_accepted(call):
    assert train_flags("f", call)(True) == {}


def by_annotation(x, frozen: bool | None = None):
    return x


def by_position(x, train, /):
    return x


@pytest.mark.parametrize(
    ("call", "parameter"),
    [
        (lambda x, eval_mode=False: x, "eval_mode=False"),
        (lambda x, *, test: x, "test"),
        (lambda x, mode="train": x, "mode='train'"),
        (lambda x, labels, phase: x, "phase"),
        (by_annotation, r"frozen: bool \| None = None"),
        (lambda x, labels=None, is_train=1: x, "is_train=1"),
        (lambda x, labels=None, testing=0: x, "testing=0"),
        (lambda x, labels=None, phase="train": x, "phase='train'"),
        (by_position, "train, which is positional-only"),
    ],
)
def test_unknown_flags_are_rejected(call, parameter):
    expected = "x, labels, or a flag that jaxgan passes by name .*"
    message = rf"Each parameter of f must be {expected}; got {parameter}\. Rename"
    with pytest.raises(TypeError, match=message):
        train_flags("f", call)


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x, training=False, *, deterministic=True):
        x = nn.BatchNorm(use_running_average=not training)(x)
        return nn.Dropout(0.5, deterministic=deterministic)(x)


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.norm, self.dropout = nnx.BatchNorm(3, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x, use_running_average=True, deterministic=True):
        x = self.norm(x, use_running_average=use_running_average)
        return self.dropout(x, deterministic=deterministic)


class Equinox(eqx.Module):
    norm: eqx.nn.BatchNorm
    dropout: eqx.nn.Dropout

    def __init__(self, key):
        self.norm = eqx.nn.BatchNorm(3, "batch", mode="batch")
        self.dropout = eqx.nn.Dropout(0.5)

    def __call__(self, x, state, key, *, is_training=False, inference=True):
        x, state = self.norm(x, state, inference=not is_training)
        return self.dropout(x, key=key, inference=inference), state


def haiku(x, is_training=False, deterministic=True):
    x = hk.BatchNorm(True, True, 0.9)(x, is_training)
    return x if deterministic else hk.dropout(hk.next_rng_key(), 0.5, x)


NETWORKS = {
    "linen": lambda: from_linen(Linen()),
    "nnx": lambda: from_nnx(Nnx),
    "equinox": lambda: from_equinox(Equinox),
    "haiku": lambda: from_haiku(haiku),
}


@pytest.mark.parametrize("library", NETWORKS)
def test_flags_with_usual_names_turn_on_batch_norm_and_dropout(library):
    network, x = NETWORKS[library](), jnp.tile(jnp.array([[-3.0], [-1.0], [2.0], [2.0]]), (4, 3))

    @jax.jit
    def both(key):
        params, state = network.init(key, x)
        y, moved = network.apply(params, state, x, train=True, key=key)
        fixed, _ = network.apply(params, state, x, train=False, key=None)
        return y, fixed, state, moved

    y, fixed, state, moved = both(jax.random.key(0))
    # The values of x have mean 0 and variance 4.5. Dropout with rate 0.5 doubles the others.
    normed = 2 * np.asarray(x) / np.sqrt(4.5)
    kept = np.asarray(y) != 0
    assert 8 < kept.sum() < 40
    np.testing.assert_allclose(y, kept * normed, atol=1e-4)
    assert (np.asarray(fixed) != 0).all()
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(moved), strict=True)
    assert any((np.asarray(a) != np.asarray(b)).any() for a, b in pairs)


class LinenUnknown(nn.Module):
    @nn.compact
    def __call__(self, x, eval_mode=True):
        return x


class NnxUnknown(nnx.Module):
    def __init__(self, rngs):
        pass

    def __call__(self, x, eval_mode=True):
        return x


class EquinoxUnknown(eqx.Module):
    def __call__(self, x, state, key, eval_mode=True):
        return x


@pytest.mark.parametrize(
    ("adapt", "name"),
    [
        (lambda: from_linen(LinenUnknown()), "LinenUnknown.__call__"),
        (lambda: from_nnx(NnxUnknown), "NnxUnknown.__call__"),
        (lambda: from_equinox(lambda key: EquinoxUnknown()), "EquinoxUnknown.__call__"),
        (lambda: from_haiku(lambda x, eval_mode=True: x), "<lambda>"),
    ],
)
def test_every_adapter_rejects_unknown_flags(adapt, name):
    with pytest.raises(TypeError, match=rf"parameter of {name} must be .*; got eval_mode=True\."):
        adapt()


def test_linen_module_without_call_is_rejected():
    with pytest.raises(TypeError, match=r"module must be a function of x, defined as __call__"):
        from_linen(nn.Module())
