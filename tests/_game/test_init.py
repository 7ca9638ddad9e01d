"""Tests how `init` compiles the functions that initialize networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import LATENT_DIM, SHAPE, assert_trees_equal, make_gan

from jaxgan import Network

KEY, PIXELS = jax.random.key(3), 16


@pytest.fixture
def compiled():
    """Returns the names of the programs that XLA compiles in a test."""
    names = []

    def listen(event: str, _: float, **about: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(about["fun_name"])

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


def make_network(init, kernel=lambda params: params["kernel"]) -> Network:
    def apply(params, model_state, x, *, train, key):
        return jnp.tanh(x @ kernel(params)).reshape(len(x), *SHAPE), model_state

    return Network(init, apply)


def draw(key):
    return 0.02 * jax.random.normal(key, (LATENT_DIM, PIXELS))


def test_init_compiles_two_programs_once(batch, compiled):
    gan, other = make_gan(ema_half_life=1000), batch[:1] + 0
    compiled.clear()
    gan.init(KEY, batch)
    gan.init(KEY, other)
    assert compiled == ["jit(create_state)", "jit(sample)"]


def test_init_gives_the_same_bits_inside_and_outside_of_jit(batch):
    # XLA multiplies the constants of a normal distribution and its scale only inside of jit.
    gan = make_gan(generator=make_network(lambda key, x: ({"kernel": draw(key)}, {})))
    assert_trees_equal(gan.init(KEY, batch), jax.jit(gan.init)(KEY, batch))


def test_network_that_branches_on_values_raises_one_error(batch):
    def kernel(params):
        return params["kernel"] if params["kernel"].sum() > 0 else -params["kernel"]

    gan = make_gan(generator=make_network(lambda key, x: ({"kernel": draw(key)}, {}), kernel))
    with pytest.raises(jax.errors.TracerBoolConversionError) as caught:
        gan.init(KEY, batch)
    assert caught.value.__context__ is None


def test_init_that_reads_or_keeps_values_is_not_compiled(batch):
    kept = []

    def read(key, x):
        seed = np.asarray(jax.random.key_data(key)).tolist()
        return {"kernel": np.random.default_rng(seed).normal(size=(LATENT_DIM, PIXELS))}, {}

    def keep(key, x):
        kept.append(draw(key))
        return {"kernel": draw(key)}, {}

    reads = make_gan(generator=make_network(lambda *x: jax.tree.map(np.float32, read(*x))))
    keeps = make_gan(generator=make_network(keep, lambda params: params["kernel"] + kept[-1]))
    generator_key = jax.random.split(KEY, 3)[0]
    params = reads.init(KEY, batch).params.generator
    np.testing.assert_array_equal(params["kernel"], np.float32(read(generator_key, 0)[0]["kernel"]))
    params = keeps.init(KEY, batch).params.generator
    np.testing.assert_array_equal(params["kernel"], draw(generator_key))
    np.testing.assert_array_equal(params["kernel"], kept[-1])
