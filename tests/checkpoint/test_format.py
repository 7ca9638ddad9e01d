"""Restores a checkpoint that an earlier version of jaxgan wrote."""

import dataclasses
import json
import warnings
import zipfile

import jax
import jax.numpy as jnp
import pytest
import write_format

import jaxgan
from jaxgan import checkpoint
from jaxgan.checkpoint import _manifest as manifest
from jaxgan.types import PyTree

NAME = f"format_{manifest.FORMAT}"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LaterState(jaxgan.TrainState):
    """The state of a later version, with one more field."""

    new: PyTree = ()


@pytest.fixture
def folder(tmp_path):
    """Returns a folder with an earlier checkpoint, which may be of another environment."""
    with zipfile.ZipFile(write_format.HERE / f"{NAME}.zip") as archive:
        archive.extractall(tmp_path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* was saved in another environment")
        yield tmp_path


@pytest.fixture
def like():
    gan = write_format.make_gan()
    return jax.eval_shape(gan.init, jax.random.key(0), write_format.make_images())


def later(state, new):
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return LaterState(**fields, new=new)


def test_earlier_checkpoint_is_restored_exactly(folder, like):
    state = checkpoint.restore(folder, like=like)
    expected = json.loads((write_format.HERE / f"{NAME}.json").read_text())
    assert write_format.values(state) == expected
    assert checkpoint.verify(folder, 3) is None
    assert checkpoint.info(folder).metadata == {"epochs": 3}


def test_earlier_checkpoint_has_values_in_all_fields(like):
    fields = {field.name for field in dataclasses.fields(like)}
    # The memory of the default dynamics is empty.
    filled = {field for field in fields if jax.tree.leaves(getattr(like, field))}
    assert filled == fields - {"dynamics_state"}


def test_states_with_a_game_state_are_refused_by_name(tmp_path, like):
    """Before `model_state` had the states of terms, `game_state` had that of the penalty."""
    with zipfile.ZipFile(write_format.HERE / "game_state.zip") as archive:
        archive.extractall(tmp_path)
    with pytest.raises(ValueError, match="like must be") as caught:
        checkpoint.restore(tmp_path, like=like)
    for name in (".game_state['penalty']['sum']", ".model_state.generator['batch_stats']"):
        assert name in str(caught.value)
    params = checkpoint.restore(tmp_path, like=like.params, at=".params")
    assert jax.tree.structure(params) == jax.tree.structure(like.params)


def test_run_continues_from_an_earlier_checkpoint(folder, like):
    state = checkpoint.restore(folder, like=like)
    checkpoint.save(folder, state.replace(step=state.step + 1), keep=1).result()
    assert checkpoint.steps(folder) == [4]


def test_new_field_without_arrays_is_restored_empty(folder, like):
    state = checkpoint.restore(folder, like=later(like, new={}))
    assert (int(state.step), state.new) == (3, {})


def test_new_field_with_arrays_is_named(folder, like):
    wanted = later(like, new={"radius": jax.ShapeDtypeStruct((3,), jnp.float32)})
    with pytest.raises(ValueError, match="must be") as caught:
        checkpoint.restore(folder, like=wanted)
    assert str(caught.value) == (
        f"like must be of the same networks, optimizers and PRNG as {folder / '3'}; got different "
        "leaves:\n  .new['radius']: saved nothing, wanted float32[3]. The checkpoint lacks these "
        "leaves. Restore the other parts with at, and initialize these."
    )
    params = checkpoint.restore(folder, like=like.params, at=".params")
    assert jax.tree.structure(params) == jax.tree.structure(like.params)
