"""Tests `from_haiku`: the contract of all adapters, and trained parameters in Haiku."""

import functools
import math
import sys

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adapter_contract import (
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

from jaxgan.networks import from_haiku


def haiku_net(shape, x, train):
    x = hk.Linear(WIDTH)(x.reshape(x.shape[0], -1))
    x = hk.BatchNorm(create_scale=True, create_offset=True, decay_rate=MOMENTUM)(x, train)
    return finish(hk.Linear(math.prod(shape))(activate(x, shape)), shape)


def haiku_spectral(features, x, train):
    kernel = hk.get_parameter(
        "w", (x.shape[-1], features), init=hk.initializers.VarianceScaling(1.0)
    )
    return x @ hk.SpectralNorm()(kernel, update_stats=train)


def haiku_rich(shape, x, labels, train):
    x = haiku_spectral(WIDTH, with_labels(x, labels), train)
    x = hk.BatchNorm(create_scale=True, create_offset=True, decay_rate=MOMENTUM)(x, train)
    x = hk.dropout(hk.next_rng_key(), 0.5, x) if train else x
    return finish(hk.Linear(math.prod(shape))(x), shape)


def statistics_of_haiku(model_state):
    return tuple(model_state[f"batch_norm/~/{of}_ema"]["average"][0] for of in ("mean", "var"))


HAIKU = Library(
    lambda features, shape: from_haiku(functools.partial(haiku_net, shape)),
    lambda features, shape: from_haiku(functools.partial(haiku_rich, shape)),
    from_haiku(functools.partial(haiku_spectral, 4)),
    (
        "linear/w",
        "linear/b",
        "batch_norm/scale",
        "batch_norm/offset",
        "linear_1/w",
        "linear_1/b",
    ),
    statistics_of_haiku,
    (0.0, 0.0),
    True,
    noisy=from_haiku(lambda x: jax.random.normal(hk.next_rng_key(), x.shape) + hk.Linear(3)(x)),
    transposed=False,
    draws_always=True,
)


class TestHaiku(AdapterContract):
    library = HAIKU


def test_haiku_applies_trained_parameters():
    gan, *_, states = rich_run(HAIKU)
    latents, labels = jnp.ones((3, LATENT_DIM)), jnp.arange(3)
    apply = hk.transform_with_state(functools.partial(haiku_rich, SMALL, train=False)).apply
    y, _ = apply(
        states[-1].ema_params,
        states[-1].model_state.generator["network"],
        None,
        x=latents,
        labels=labels,
    )
    np.testing.assert_allclose(y, quick_jit(gan.sample)(states[-1], latents, labels), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: from_haiku(hk.transform(lambda x: x)),
            r"as it is before hk.transform; got Transformed",
        ),
    ],
)
def test_invalid_modules_are_rejected(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_missing_library_error_names_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "haiku", None)
    with pytest.raises(ImportError, match="pip install dm-haiku"):
        from_haiku(lambda x: x)
