"""What is saved is what comes back, to the bit, or there is a clear error."""

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import BATCH, SHAPE, assert_trees_equal, make_gan

import jaxgan
from jaxgan import Pair, checkpoint, population, seal, training


def trainer(gan, images):
    """Trains a state, which it donates, for some epochs; all that it trains share a program."""
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
    stopped = train(begin(), stop_after)
    checkpoint.save(tmp_path, stopped).result()
    resumed = checkpoint.restore(tmp_path, like=jax.eval_shape(begin))
    assert_trees_equal(train(resumed, 3 - stop_after), uninterrupted)


def test_a_state_may_be_donated_while_it_is_saved(tmp_path, gan, state, uint8_images):
    train = trainer(gan, jnp.asarray(uint8_images))
    copies = []
    for _ in range(5):
        state = train(state)
        copies.append(jax.tree.map(jnp.copy, state))
        saving = checkpoint.save(tmp_path, state, keep=5)
        state = train(state)  # donates what is being saved
        saving.result()
    for copy in copies:
        assert_trees_equal(checkpoint.restore(tmp_path, like=state, step=int(copy.step)), copy)


def test_every_kind_of_leaf_comes_back(tmp_path, batch):
    optimizer = optax.chain(optax.clip(1.0), optax.adam(optax.linear_schedule(1e-3, 0.0, 10)))
    gan = make_gan(ema_half_life=10.0, optimizer=Pair(optimizer, optax.adamw(1e-3)))
    state, _ = jax.jit(gan.update)(gan.init(jax.random.key(0), batch), batch)
    bfloat16 = jax.tree.map(lambda x: x.astype(jnp.bfloat16), state.ema_params)
    state = state.replace(ema_params=bfloat16, model_state=Pair({"n": jnp.int8(3)}, {}))
    checkpoint.save(tmp_path, state).result()
    assert_trees_equal(checkpoint.restore(tmp_path, like=state), state)


def test_the_newest_few_are_kept(tmp_path, state):
    for step in range(5):
        checkpoint.save(tmp_path, state.replace(step=jnp.int32(step)), keep=2).result()
    assert checkpoint.steps(tmp_path) == [3, 4]
    assert checkpoint.latest(tmp_path) == 4
    assert int(checkpoint.restore(tmp_path, like=state, step=3).step) == 3


def test_metadata_comes_back(tmp_path, state):
    metadata = {"seed": 3, "loss": (0.5, None), 10: "ten", 2: "two"}
    checkpoint.save(tmp_path, state, metadata=metadata).result()
    told = checkpoint.info(tmp_path)
    assert told.metadata == {"seed": 3, "loss": [0.5, None], "10": "ten", "2": "two"}
    assert told.step == 0
    assert told.saved_by["versions"]["jax"] == jax.__version__
    assert told.leaves[".params.generator['Dense_0']['kernel']"] == "float32[3, 8]"


def test_relative_paths(tmp_path, monkeypatch, state):
    monkeypatch.chdir(tmp_path)
    checkpoint.save("here", state).result()
    assert checkpoint.latest(tmp_path / "here") == 0
    assert_trees_equal(checkpoint.restore("here", like=state), state)


def test_an_unfinished_save_is_not_the_latest(tmp_path, state):
    checkpoint.save(tmp_path, state).result()
    (tmp_path / "7.saving" / "arrays.orbax-checkpoint-tmp").mkdir(parents=True)
    (tmp_path / "3.deleting").mkdir()
    assert checkpoint.latest(tmp_path) == 0
    checkpoint.save(tmp_path, state.replace(step=jnp.int32(9))).result()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "0", "9"]


def test_nothing_there(tmp_path, state):
    assert checkpoint.latest(tmp_path / "nowhere") is None
    assert checkpoint.steps(tmp_path) == []
    with pytest.raises(FileNotFoundError, match="has no checkpoint: it has none"):
        checkpoint.restore(tmp_path, like=state)
    checkpoint.save(tmp_path, state).result()
    with pytest.raises(
        FileNotFoundError, match=r"no checkpoint of step 3: it has steps \[0\]; choose one"
    ):
        checkpoint.restore(tmp_path, like=state, step=3)


def test_no_step_is_saved_twice_and_some_must_be_kept(tmp_path, state):
    checkpoint.save(tmp_path, state).result()
    with pytest.raises(ValueError, match="has a checkpoint of step 0 already"):
        checkpoint.save(tmp_path, state)
    checkpoint.save(tmp_path, state.replace(step=jnp.int32(9))).result()
    with pytest.raises(
        ValueError, match=r"of step 9 of a later step: it is of another course\. To"
    ):
        checkpoint.save(tmp_path, state.replace(step=jnp.int32(5)))
    with pytest.raises(ValueError, match="keep_every must be at least 1; got 0"):
        checkpoint.save(tmp_path, state, keep_every=0)
    with pytest.raises(ValueError, match="keep must be at least 1"):
        checkpoint.save(tmp_path, state, keep=0)


@pytest.mark.parametrize(
    ("changes", "leaf"),
    [
        (
            {"generator": jaxgan.networks.MLPGenerator(SHAPE, features=(8, 9))},
            r"\.params\.generator\['Dense_1'\]\['kernel'\]: "
            r"saved float32\[8, 8\], wanted float32\[8, 9\]",
        ),
        (
            {"generator": jaxgan.networks.MLPGenerator(SHAPE, features=(8,))},
            r"\['Dense_2'\]\['kernel'\]: saved float32\[8, 16\], wanted nothing",
        ),
        (
            {"optimizer": Pair(optax.sgd(0.1), optax.adam(0.1))},
            r"\.opt_state\.generator.*wanted nothing",
        ),
        ({"ema_half_life": 10.0}, r"\.ema_params.*saved nothing, wanted float32"),
    ],
)
def test_a_state_that_does_not_fit_names_the_leaves(tmp_path, state, batch, changes, leaf):
    checkpoint.save(tmp_path, state).result()
    other = make_gan(**changes).init(jax.random.key(0), batch)
    with pytest.raises(ValueError, match=leaf):
        checkpoint.restore(tmp_path, like=other)


def test_another_prng_is_named(tmp_path, gan, state, batch):
    checkpoint.save(tmp_path, state).result()
    other = gan.init(jax.random.key(0, impl="rbg"), batch)
    with pytest.raises(ValueError, match=r"\.key: saved key<fry>\[\], wanted key<rbg>\[\]"):
        checkpoint.restore(tmp_path, like=other)


def test_a_home_folder_is_found_again(tmp_path, monkeypatch, state):
    monkeypatch.setenv("HOME", str(tmp_path))
    checkpoint.save("~/run", state).result()
    assert checkpoint.steps("~/run") == checkpoint.steps(tmp_path / "run") == [0]
    assert_trees_equal(checkpoint.restore("~/run", like=state), state)
    with pytest.raises(ValueError, match="step 0 already"):
        checkpoint.save("~/run", state)


def test_what_cannot_be_saved(tmp_path, state):
    with pytest.raises(TypeError, match="not JSON serializable"):
        checkpoint.save(tmp_path, state, metadata={"path": tmp_path})
    uneven = population.stack([state, state.replace(step=state.step + 3)])
    with pytest.raises(ValueError, match=r"this population is at \[0, 3\]: save its members"):
        checkpoint.save(tmp_path, uneven)
    assert checkpoint.steps(tmp_path) == []


def test_what_another_program_saved_is_not_restored(tmp_path, state):
    from orbax.checkpoint import v1 as ocp

    ocp.save(tmp_path / "3", {"x": jnp.ones(2)})
    with pytest.raises(checkpoint.DamagedCheckpointError, match=r"step 3: seal.json is missing"):
        checkpoint.restore(tmp_path, like=state)


def test_orbax_alone_can_read_the_arrays(tmp_path, state):
    from orbax.checkpoint import v1 as ocp

    checkpoint.save(tmp_path, state).result()
    arrays = ocp.load(tmp_path / "0" / "arrays")
    name = ".params.generator['Dense_0']['kernel']"
    np.testing.assert_array_equal(arrays[name], state.params.generator["Dense_0"]["kernel"])


def test_multiples_of_a_number_are_kept(tmp_path, state):
    for step in range(7):
        one = state.replace(step=jnp.int32(step))
        checkpoint.save(tmp_path, one, keep=1, keep_every=3).result()
    assert checkpoint.steps(tmp_path) == [0, 3, 6]


def test_one_player_alone(tmp_path, gan, state, batch):
    checkpoint.save(tmp_path, state).result()
    like = jax.eval_shape(gan.init, jax.random.key(0), batch)
    restore = functools.partial(checkpoint.restore, tmp_path)
    player = restore(like.params.discriminator, at=".params.discriminator")
    assert_trees_equal(player, state.params.discriminator)
    assert_trees_equal(restore(like.params, at=".params"), state.params)
    assert_trees_equal(restore(like.key, at=".key"), state.key)
    with pytest.raises(ValueError, match=r"nothing at '\.param'; it has \.key, .*\.params, \.step"):
        restore(like.params, at=".param")
    with pytest.raises(
        ValueError, match=r"\['Dense_2'\]\['bias'\]: saved float32\[16\], wanted float"
    ):
        restore(like.params.discriminator, at=".params.generator")


def test_one_member_of_a_population_alone(tmp_path, gan, batch):
    keys = jnp.stack([jax.random.key(seed) for seed in range(3)])
    states = jax.vmap(gan.init, in_axes=(0, None))(keys, batch)
    checkpoint.save(tmp_path, states).result()
    like = jax.eval_shape(gan.init, jax.random.key(0), batch)
    restore = functools.partial(checkpoint.restore, tmp_path)
    assert_trees_equal(restore(like, member=2), population.pick(states, 2))
    generator = restore(like.params.generator, at=".params.generator", member=1)
    assert_trees_equal(generator, population.pick(states.params.generator, 1))
    with pytest.raises(IndexError, match="has 3 members, numbered from 0; got 3"):
        restore(like, member=3)


def test_one_gan_has_no_members(tmp_path, state):
    checkpoint.save(tmp_path, state).result()
    with pytest.raises(ValueError, match="is of one GAN, and no population; leave out member=0"):
        checkpoint.restore(tmp_path, like=state, member=0)


def test_what_is_empty_comes_back(tmp_path, state):
    state = state.replace(model_state=Pair({"none": jnp.zeros((0, 3))}, {}))
    checkpoint.save(tmp_path, state).result()
    assert_trees_equal(checkpoint.restore(tmp_path, like=state), state)


def test_what_is_no_array_is_named(tmp_path, state):
    with pytest.raises(TypeError, match=r"\.model_state\.generator\['n'\] is 0\.5, a float"):
        checkpoint.save(tmp_path, state.replace(model_state=Pair({"n": 0.5}, {})))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (
            lambda d, s: checkpoint.save(d, s, keep=2.5),
            TypeError,
            "keep must be a whole number; got",
        ),
        (
            lambda d, s: checkpoint.save(d, s.params),
            TypeError,
            "state must be a jaxgan.TrainState;",
        ),
        (lambda d, s: checkpoint.save("a\0b", s), ValueError, "directory must be the path"),
        (lambda d, s: checkpoint.save(3, s), TypeError, "directory must be the path .*; got 3"),
        (lambda d, s: checkpoint.restore(d, s, step="1"), TypeError, "step must be a whole .*'1'"),
        (
            lambda d, s: checkpoint.restore(d, s, step=-1),
            ValueError,
            "step must be at least 0; got",
        ),
        (lambda d, s: checkpoint.restore(d, s, member=0.0), TypeError, "member must be a whole"),
        (lambda d, s: checkpoint.restore(d, s, step=2**70), ValueError, "step must be at most"),
        (lambda d, s: checkpoint.verify(d, 4), FileNotFoundError, "no checkpoint of step 4"),
        (lambda d, s: checkpoint.steps(None), TypeError, "directory must be the path"),
    ],
)
def test_what_makes_no_sense_is_told(tmp_path, state, call, error, said):
    with pytest.raises(error, match=said):
        call(tmp_path, state)
    assert checkpoint.steps(tmp_path) == []


def test_other_versions_are_named(tmp_path, state, monkeypatch):
    checkpoint.save(tmp_path, state).result()
    versions = {**jaxgan.environment()["versions"], "jax": "9.9"}
    monkeypatch.setattr(checkpoint, "environment", lambda: {"versions": versions})
    told = rf"saved by other versions \(jax {jax.__version__} then, 9\.9 now\)"
    with pytest.warns(UserWarning, match=told):
        assert_trees_equal(checkpoint.restore(tmp_path, like=state), state)


def test_a_format_of_the_future_is_refused(tmp_path, state, monkeypatch):
    with monkeypatch.context() as future:
        future.setattr(seal, "FORMAT", 7)
        checkpoint.save(tmp_path, state).result()
    with pytest.raises(ValueError, match=r"has format 7; this version of jaxgan reads format 1"):
        checkpoint.restore(tmp_path, like=state)


SECOND = """
import sys, jax, optax, jaxgan
from jaxgan.train_state import create
params = jaxgan.Pair({"w": jax.numpy.ones(3)}, {"w": jax.numpy.ones(2)})
state = create(jax.random.key(0), params, jaxgan.Pair(optax.sgd(0.1), optax.sgd(0.1)))
jaxgan.checkpoint.save(sys.argv[1], state).result()
"""


def test_a_second_process_is_refused(tmp_path, state):
    checkpoint.save(tmp_path, state).result()
    command = [sys.executable, "-c", SECOND, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith(f"BlockingIOError: {tmp_path} is in use by process {os.getpid()} on ")


def test_a_failed_save_is_told_and_harms_nothing(tmp_path, state, monkeypatch):
    checkpoint.save(tmp_path, state).result()

    def full(path, arrays):
        path.mkdir(parents=True)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(checkpoint.ocp, "save", full)
        saving = checkpoint.save(tmp_path, state.replace(step=jnp.int32(5)))
        with pytest.raises(OSError, match=r"Step 5 could not be .*No space left .*stay: \[0\]"):
            saving.result()
        assert "No space left" in str(saving.error())
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "0"]
    assert_trees_equal(checkpoint.restore(tmp_path, like=state), state)
    assert checkpoint.save(tmp_path, state.replace(step=jnp.int32(5))).error() is None


def test_where_nothing_can_be_written(tmp_path, state):
    (tmp_path / "file").touch()
    saving = checkpoint.save(tmp_path / "file" / "run", state)  # training goes on
    with pytest.raises(OSError, match=r"Step 0 could not be saved in .*file/run"):
        saving.result()
