"""Tests that the state is immutable, holds only arrays and is cheap to import."""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import optax
import pytest
from conftest import assert_trees_equal

import jaxgan
from jaxgan import Pair
from jaxgan.train_state import TrainState, create

FIELDS = ["step", "key", "params", "opt_state", "model_state", "ema_params", "dynamics_state"]
HEAVY = ["tensorflow", "tensorflow_datasets", "orbax", "matplotlib", "PIL"]


def make(**changes):
    params = Pair({"w": jnp.ones(3)}, {"w": jnp.zeros(2)})
    return create(jax.random.key(1), params, Pair(optax.adam(0.1), optax.sgd(0.1)), **changes)


def test_fields_and_public_name():
    assert jaxgan.TrainState is TrainState
    assert [field.name for field in dataclasses.fields(TrainState)] == FIELDS


def test_new_state_is_at_step_zero_and_holds_only_arrays():
    state = make()
    assert state.step.dtype == jnp.int32
    assert int(state.step) == 0
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    assert state.ema_params is None


def test_state_is_immutable_and_replace_returns_a_new_one():
    state = make()
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.step = 3
    assert int(state.replace(step=jnp.int32(3)).step) == 3
    assert int(state.step) == 0
    with pytest.raises(TypeError, match="stepp"):
        state.replace(stepp=1)


def test_state_is_a_pytree_with_named_paths():
    state = make(ema=True)
    leaves, structure = jax.tree.flatten(state)
    assert_trees_equal(jax.tree.unflatten(structure, leaves), state)
    paths = [
        jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(state)[0]
    ]
    assert {".step", ".key", ".params.generator['w']", ".ema_params['w']"} <= set(paths)


def test_average_does_not_share_memory_with_the_parameters():
    state = make(ema=True)
    pointers = [p["w"].unsafe_buffer_pointer() for p in (state.ema_params, state.params.generator)]
    assert pointers[0] != pointers[1]


def test_optimizer_state_does_not_share_memory_with_the_parameters():
    """The states of `dog` and `mechanize` contain the parameters."""
    optimizer = Pair(optax.contrib.dog(0.1), optax.contrib.mechanize(optax.sgd(0.1)))
    state = create(jax.random.key(1), Pair(jnp.ones(3), jnp.ones(2)), optimizer)
    leaves = jax.tree.leaves(state.replace(key=None))
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)


@pytest.mark.parametrize("key", [3, jnp.zeros(2, jnp.uint32), jax.random.split(jax.random.key(0))])
def test_invalid_keys_are_rejected(key):
    with pytest.raises(TypeError, match="one typed PRNG key"):
        create(key, Pair({}, {}), Pair(optax.sgd(0.1), optax.sgd(0.1)))


def test_invalid_optimizers_and_parameters_are_rejected():
    key, params, sgd = jax.random.key(0), Pair({"w": jnp.ones(2)}, {"w": jnp.ones(2)}), optax.sgd(1)
    with pytest.raises(
        TypeError, match=r"optimizer must be .* optax transformations; got generator=1"
    ):
        create(key, params, Pair(1, 2))
    with pytest.raises(TypeError, match=r"generator's parameters must be arrays of floats; got 1"):
        create(key, Pair(1, 2), Pair(sgd, sgd))
    with pytest.raises(TypeError, match=r"generator's parameters .* floats; got complex64"):
        create(key, params._replace(generator=jnp.ones(2, jnp.complex64)), Pair(sgd, sgd))
    with pytest.raises(TypeError, match=r"discriminator's parameters .*got int32 of shape"):
        create(key, params._replace(discriminator=[jnp.arange(3)]), Pair(sgd, sgd))


@pytest.mark.parametrize("module", ["jaxgan", "jaxgan.train_state"])
def test_import_loads_no_heavy_library(module):
    code = f"import {module}, sys; print([m for m in {HEAVY} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_all_public_names_exist():
    for name in jaxgan.__all__:
        assert getattr(jaxgan, name) is not None
    assert jaxgan.checkpoint.save
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = jaxgan.nothing
