"""Tests that `save` keeps every bit, replaces no intact checkpoint, and checks arguments."""

import errno
import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import BATCH, assert_trees_equal, make_gan

from jaxgan import Pair, checkpoint, population, train_state, training
from jaxgan.checkpoint import _manifest as manifest
from jaxgan.checkpoint import _read as read
from jaxgan.checkpoint import _storage as storage

CIRCLE: list = []
CIRCLE.append(CIRCLE)


def at(state, step):
    return state.replace(step=jnp.int32(step))


def trainer(gan, images):
    """Returns a function that trains and donates a state. All its calls share one program."""
    run = jax.jit(functools.partial(training.epochs, gan, batch_size=BATCH), donate_argnums=0)

    def train(state, epochs=1):
        for _ in range(epochs):
            state, _ = run(state, images)
        return state

    return train


@pytest.mark.parametrize("stop_after", [1, 2])
def test_resume_equals_uninterrupted(tmp_path, batch, uint8_images, stop_after):
    gan = make_gan(ema_half_life=50.0)
    train = trainer(gan, jnp.asarray(uint8_images))
    begin = lambda: gan.init(jax.random.key(5), batch)
    uninterrupted = train(begin(), 3)
    interrupted = train(begin(), stop_after)
    checkpoint.save(tmp_path, interrupted).result()
    resumed = checkpoint.restore(tmp_path, like=jax.eval_shape(begin))
    assert_trees_equal(train(resumed, 3 - stop_after), uninterrupted)


def test_state_can_be_donated_during_a_save(tmp_path, gan, state, uint8_images):
    train = trainer(gan, jnp.asarray(uint8_images))
    copies = []
    for _ in range(5):
        state = train(state)
        copies.append(jax.tree.map(jnp.copy, state))
        saving = checkpoint.save(tmp_path, state, keep=5)
        state = train(state)  # donates the state during the save
        saving.result()
    for copy in copies:
        assert_trees_equal(checkpoint.restore(tmp_path, like=state, step=int(copy.step)), copy)


def test_every_kind_of_leaf_is_restored(tmp_path, batch):
    optimizer = optax.chain(optax.clip(1.0), optax.adam(optax.linear_schedule(1e-3, 0.0, 10)))
    gan = make_gan(ema_half_life=10.0, optimizer=Pair(optimizer, optax.adamw(1e-3)))
    state, _ = jax.jit(gan.update)(gan.init(jax.random.key(0), batch), batch)
    bfloat16 = jax.tree.map(lambda x: x.astype(jnp.bfloat16), state.ema_params)
    state = state.replace(ema_params=bfloat16, model_state=Pair({"n": jnp.int8(3)}, {}))
    checkpoint.save(tmp_path, state).result()
    assert_trees_equal(checkpoint.restore(tmp_path, like=state), state)


def test_empty_arrays_are_restored(tmp_path, state):
    state = state.replace(model_state=Pair({"none": jnp.zeros((0, 3))}, {}))
    checkpoint.save(tmp_path, state).result()
    assert_trees_equal(checkpoint.restore(tmp_path, like=state), state)


def test_orbax_can_read_the_arrays(tmp_path, state):
    from orbax.checkpoint import v1 as ocp

    checkpoint.save(tmp_path, state).result()
    arrays = ocp.load(tmp_path / "0" / "arrays")
    name = ".params.generator['Dense_0']['kernel']"
    np.testing.assert_array_equal(arrays[name], state.params.generator["Dense_0"]["kernel"])


def test_relative_paths_are_accepted(tmp_path, monkeypatch, state):
    monkeypatch.chdir(tmp_path)
    checkpoint.save("here", state).result()
    assert checkpoint.latest(tmp_path / "here") == 0
    assert_trees_equal(checkpoint.restore("here", like=state), state)


def test_tilde_in_a_directory_is_expanded(tmp_path, monkeypatch, state):
    monkeypatch.setenv("HOME", str(tmp_path))
    checkpoint.save("~/run", state).result()
    assert checkpoint.steps("~/run") == checkpoint.steps(tmp_path / "run") == [0]
    assert_trees_equal(checkpoint.restore("~/run", like=state), state)
    with pytest.raises(ValueError, match="intact checkpoints of step 0"):
        checkpoint.save("~/run", state)


def test_newest_checkpoints_are_kept(tmp_path, state):
    for step in range(5):
        checkpoint.save(tmp_path, state.replace(step=jnp.int32(step)), keep=2).result()
    assert checkpoint.steps(tmp_path) == [3, 4]
    assert checkpoint.latest(tmp_path) == 4
    assert int(checkpoint.restore(tmp_path, like=state, step=3).step) == 3


def test_multiples_of_keep_every_are_kept(tmp_path, state):
    for step in range(7):
        one = state.replace(step=jnp.int32(step))
        checkpoint.save(tmp_path, one, keep=1, keep_every=3).result()
    assert checkpoint.steps(tmp_path) == [0, 3, 6]


def test_unfinished_save_is_ignored_and_removed(tmp_path, state):
    checkpoint.save(tmp_path, state).result()
    (tmp_path / "7.saving" / "arrays.orbax-checkpoint-tmp").mkdir(parents=True)
    (tmp_path / "3.deleting").mkdir()
    for name in ("7.saving", "3.deleting"):
        (tmp_path / name / ".jaxgan").touch()
    assert checkpoint.latest(tmp_path) == 0
    checkpoint.save(tmp_path, state.replace(step=jnp.int32(9))).result()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "0", "9"]


def test_saved_steps_and_keep_arguments_are_checked(tmp_path, state):
    checkpoint.save(tmp_path, state).result()
    with pytest.raises(ValueError, match=r"without intact .* of step 0 or later; got .*step 0"):
        checkpoint.save(tmp_path, state)
    checkpoint.save(tmp_path, state.replace(step=jnp.int32(9))).result()
    with pytest.raises(
        ValueError, match=r"of step 5 or later; got .* with step 9\. Choose another folder"
    ):
        checkpoint.save(tmp_path, state.replace(step=jnp.int32(5)))
    with pytest.raises(ValueError, match="keep_every must be at least 1; got 0"):
        checkpoint.save(tmp_path, state, keep_every=0)
    with pytest.raises(ValueError, match="keep must be at least 1"):
        checkpoint.save(tmp_path, state, keep=0)


def test_saves_and_restores_of_a_process_do_not_disturb_each_other(tmp_path, state):
    """Orbax gives operations of a process the same number if two run at a time."""
    large = state.replace(model_state=Pair({"x": jnp.zeros(300_000)}, {}))
    checkpoint.save(tmp_path / "b", large).result()
    for step in range(5):
        saving = checkpoint.save(tmp_path / "a", at(large, step))
        checkpoint.restore(tmp_path / "b", like=large)
        assert saving.exception() is None


def test_folder_has_one_set_of_saves_under_all_of_its_names(tmp_path, state):
    (tmp_path / "alias").symlink_to(tmp_path / "run")
    saving = checkpoint.save(tmp_path / "alias", at(state, 5))
    with pytest.raises(ValueError, match=r"without intact checkpoints of step 3 or later"):
        checkpoint.save(tmp_path / "other" / ".." / "run", at(state, 3))
    assert saving.exception() is None
    assert checkpoint.steps(tmp_path / "run") == [5]


def test_folders_of_the_user_are_left_untouched(tmp_path, state):
    """Folders with names like those of checkpoints and remnants are also kept."""
    for name in ("1", "007", "my.saving", "3.deleting.txt"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").touch()
    for step in (4, 5):
        checkpoint.save(tmp_path, at(state, step), keep=1).result()
    assert all((tmp_path / name / "mine").exists() for name in ("1", "007", "my.saving"))
    assert checkpoint.steps(tmp_path) == [1, 5]
    (tmp_path / "2024").mkdir()
    with pytest.raises(ValueError, match=r"got .*2024, which is not a checkpoint"):
        checkpoint.save(tmp_path, at(state, 6))
    assert (tmp_path / "2024").exists()


def test_unreadable_checkpoint_is_renamed_and_not_deleted(tmp_path, state, monkeypatch):
    checkpoint.save(tmp_path, at(state, 7)).result()

    def broken(folder, names, sync=False):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(manifest, "_digest_files", broken)
        with pytest.warns(UserWarning, match=r"renamed to 7\.damaged: .*Input/output error"):
            saving = checkpoint.save(tmp_path, at(state, 5))
        with pytest.raises(OSError, match="Step 5 could not be saved"):
            saving.result()
    assert checkpoint.verify(tmp_path, 7) is None  # and not overwritten
    with monkeypatch.context() as disk:
        disk.setattr(read, "find_problem", lambda folder, step: "simulated damage")
        disk.setattr(storage, "_is_corrupted", lambda checkpoint: checkpoint.name == "7")
        with pytest.warns(UserWarning, match="simulated damage"):
            checkpoint.save(tmp_path, at(state, 5)).result()
    (tmp_path / "7.damaged").rename(tmp_path / "7")
    assert checkpoint.verify(tmp_path, 7) is None


def test_failed_save_is_reported_and_changes_no_file(tmp_path, state, monkeypatch):
    checkpoint.save(tmp_path, state).result()

    def full(path, arrays):
        path.mkdir(parents=True)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(storage.ocp, "save", full)
        saving = checkpoint.save(tmp_path, state.replace(step=jnp.int32(5)))
        with pytest.raises(OSError, match=r"Step 5 could not be .*No space left .*remain: \[0\]"):
            saving.result()
        assert "No space left" in str(saving.exception())
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "0"]
    assert_trees_equal(checkpoint.restore(tmp_path, like=state), state)
    assert checkpoint.save(tmp_path, state.replace(step=jnp.int32(5))).exception() is None


def test_unreadable_folder_is_reported_by_the_handle(tmp_path, state, monkeypatch):
    """A failing disk must not stop the training in `save`."""

    def fail(folder):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as disk:
        disk.setattr(storage, "steps", fail)
        error = checkpoint.save(tmp_path, state).exception()
    assert "could not be saved" in str(error)
    assert "Input/output error" in str(error)
    checkpoint.save(tmp_path, state).result()


def test_save_below_a_file_fails_in_result(tmp_path, state):
    (tmp_path / "file").touch()
    saving = checkpoint.save(tmp_path / "file" / "run", state)  # training continues
    with pytest.raises(OSError, match=r"Step 0 could not be saved in .*file/run"):
        saving.result()


def test_non_json_metadata_and_unequal_steps_are_rejected(tmp_path, state):
    with pytest.raises(TypeError, match="not JSON serializable"):
        checkpoint.save(tmp_path, state, metadata={"path": tmp_path})
    uneven = population.stack([state, state.replace(step=state.step + 3)])
    with pytest.raises(ValueError, match=r"must be the same in all members; got \[0, 3\]\."):
        checkpoint.save(tmp_path, uneven)
    assert checkpoint.steps(tmp_path) == []


def test_non_array_leaf_is_named(tmp_path, state):
    with pytest.raises(TypeError, match=r"\.generator\['n'\] must be an array; got 0\.5\."):
        checkpoint.save(tmp_path, state.replace(model_state=Pair({"n": 0.5}, {})))


@pytest.mark.parametrize(
    "leaf", [np.float64(1 + 1e-12), np.array([2**40]), np.array([1.5], ">f4"), np.array(["text"])]
)
def test_leaves_with_dtypes_that_jax_changes_are_rejected(tmp_path, state, leaf):
    odd = state.replace(model_state=Pair({"n": leaf}, {}))
    with pytest.raises(TypeError, match=r"\['n'\] must be of a dtype .*; got .*\. Convert it"):
        checkpoint.save(tmp_path, odd)
    with pytest.raises(TypeError, match=r"\['n'\] must be of a dtype that JAX keeps"):
        checkpoint.restore(tmp_path, like=odd)


def test_invalid_states_are_rejected(tmp_path, gan, state, batch):
    abstract = jax.eval_shape(gan.init, jax.random.key(0), batch)
    with pytest.raises(TypeError, match="an array with values; got ShapeDtypeStruct"):
        checkpoint.save(tmp_path, abstract)
    with pytest.raises(TypeError, match=r"an array with values; .* outside of jit"):
        jax.jit(lambda state: checkpoint.save(tmp_path, state))(state)
    with pytest.raises(ValueError, match=r"state\.step must be at least 0; got -1"):
        checkpoint.save(tmp_path, at(state, -1))
    with pytest.raises(TypeError, match=r"state\.step must be integers; got float32"):
        checkpoint.save(tmp_path, state.replace(step=jnp.float32(1.7)))
    jax.jit(lambda state: jax.tree.map(lambda x: x, state), donate_argnums=0)(state)
    with pytest.raises(ValueError, match=r"got a donated array\. Save the state that the"):
        checkpoint.save(tmp_path, state)


def test_unsupported_directories_are_rejected(tmp_path, state):
    for name, part in (
        ("lr[0.1]", r"\["),
        ("***", r"\*\*"),
        ("a\\b", r"\\"),
        ("\udcff", "bytes that are not UTF-8"),
    ):
        for call in (checkpoint.save, checkpoint.restore):
            with pytest.raises(ValueError, match=f"must be a path without {part}; got .*Rename"):
                call(tmp_path / name, state)
    with pytest.raises(ValueError, match=r"must be a folder on this machine; got .gs://bucket"):
        checkpoint.save("gs://bucket", state)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda d, s: checkpoint.save(d, s, keep=2.5),
            TypeError,
            "keep must be an integer; got",
        ),
        (
            lambda d, s: checkpoint.save(d, s.params),
            TypeError,
            "state must be a jaxgan.TrainState;",
        ),
        (lambda d, s: checkpoint.save("a\0b", s), ValueError, "directory must be the path"),
        (lambda d, s: checkpoint.save(3, s), TypeError, "directory must be the path .*; got 3"),
        (lambda d, s: checkpoint.save(d, s, metadata=CIRCLE), ValueError, "Circular reference"),
    ],
)
def test_invalid_arguments_are_rejected(tmp_path, state, call, error, message):
    with pytest.raises(error, match=message):
        call(tmp_path, state)
    assert checkpoint.steps(tmp_path) == []


def test_non_finite_moments_give_a_warning(tmp_path, state):
    """The best value of `reduce_on_plateau` begins at infinity."""
    params = Pair({"w": jnp.ones(3)}, {"w": jnp.ones(2)})
    plateau = optax.chain(optax.adam(0.1), optax.contrib.reduce_on_plateau())
    fine = train_state.create(jax.random.key(0), params, Pair(plateau, plateau))
    checkpoint.save(tmp_path, fine).result()
    bad = jax.tree.map(lambda x: x * jnp.inf if x.shape == (3,) else x, fine.opt_state)
    names = r"non-finite values in \.opt_state\.generator\[0\]\[0\]\.mu\['w'\], .*nu\['w'\]\. Train"
    with pytest.warns(UserWarning, match=names):
        checkpoint.save(tmp_path, at(fine.replace(opt_state=bad), 1)).result()
