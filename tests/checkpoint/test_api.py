"""What is saved is what comes back, to the bit, or there is a clear error."""

import functools
import json
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import BATCH, PYTHON, SHAPE, assert_trees_equal, make_gan

import jaxgan
from jaxgan import Pair, checkpoint, population, training
from jaxgan.checkpoint import _api as api
from jaxgan.checkpoint import _manifest as manifest
from jaxgan.checkpoint import _storage as storage

CIRCLE: list = []
CIRCLE.append(CIRCLE)


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
    with pytest.raises(ValueError, match=r"at '\.param'; choose \.key, .*\.params, \.step"):
        restore(like.params, at=".param")
    with pytest.raises(ValueError, match=r"choose \.params\.discriminator, \.params\.generator\."):
        restore(like.params, at=".params.player")
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
    with pytest.raises(IndexError, match="has 3 members, and member must be below that; got 3"):
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
            "keep must be an integer; got",
        ),
        (
            lambda d, s: checkpoint.save(d, s.params),
            TypeError,
            "state must be a jaxgan.TrainState;",
        ),
        (lambda d, s: checkpoint.save("a\0b", s), ValueError, "directory must be the path"),
        (lambda d, s: checkpoint.save(3, s), TypeError, "directory must be the path .*; got 3"),
        (
            lambda d, s: checkpoint.restore(d, s, step="1"),
            TypeError,
            "step must be an integer.*'1'",
        ),
        (
            lambda d, s: checkpoint.restore(d, s, step=-1),
            ValueError,
            "step must be at least 0; got",
        ),
        (lambda d, s: checkpoint.restore(d, s, member=0.0), TypeError, "member must be an integer"),
        (lambda d, s: checkpoint.restore(d, s, step=2**70), ValueError, "step must be at most"),
        (lambda d, s: checkpoint.verify(d, 4), FileNotFoundError, "no checkpoint of step 4"),
        (lambda d, s: checkpoint.verify(d, False), TypeError, "step must be an integer"),
        (lambda d, s: checkpoint.save(d, s, metadata=CIRCLE), ValueError, "Circular reference"),
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
    monkeypatch.setattr(api, "environment", lambda: {"versions": versions})
    told = rf"saved by other versions \(jax {re.escape(jax.__version__)} then, 9\.9 now\)"
    with pytest.warns(UserWarning, match=told):
        assert_trees_equal(checkpoint.restore(tmp_path, like=state), state)


def test_a_format_of_the_future_is_refused(tmp_path, state, monkeypatch):
    with monkeypatch.context() as future:
        future.setattr(manifest, "FORMAT", 7)
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
        disk.setattr(storage.ocp, "save", full)
        saving = checkpoint.save(tmp_path, state.replace(step=jnp.int32(5)))
        with pytest.raises(OSError, match=r"Step 5 could not be .*No space left .*stay: \[0\]"):
            saving.result()
        assert "No space left" in str(saving.exception())
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "0"]
    assert_trees_equal(checkpoint.restore(tmp_path, like=state), state)
    assert checkpoint.save(tmp_path, state.replace(step=jnp.int32(5))).exception() is None


def at(state, step):
    return state.replace(step=jnp.int32(step))


def test_folders_of_the_user_are_let_be(tmp_path, state):
    """Even numbered ones, and those whose names end as a remnant's does."""
    for name in ("1", "007", "my.saving", "3.deleting.txt"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").touch()
    for step in (4, 5):
        checkpoint.save(tmp_path, at(state, step), keep=1).result()
    assert all((tmp_path / name / "mine").exists() for name in ("1", "007", "my.saving"))
    assert checkpoint.steps(tmp_path) == [1, 5]
    (tmp_path / "2024").mkdir()
    with pytest.raises(ValueError, match=r"2024 is no checkpoint of jaxgan, and in the way of"):
        checkpoint.save(tmp_path, at(state, 6))
    assert (tmp_path / "2024").exists()


def test_what_cannot_be_read_once_is_not_deleted(tmp_path, state, monkeypatch):
    checkpoint.save(tmp_path, at(state, 7)).result()

    def broken(folder, sync=False):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(manifest, "_digest_files", broken)
        with pytest.warns(UserWarning, match=r"set aside as 7\.damaged: .*Input/output error"):
            saving = checkpoint.save(tmp_path, at(state, 5))
        with pytest.raises(OSError, match="Step 5 could not be saved"):
            saving.result()
    assert checkpoint.verify(tmp_path, 7) is None  # nothing was written in its stead either
    with monkeypatch.context() as disk:
        disk.setattr(api, "verify", lambda folder, step: "it seemed so")
        with pytest.warns(UserWarning, match="it seemed so"):
            checkpoint.save(tmp_path, at(state, 5)).result()
    (tmp_path / "7.damaged").rename(tmp_path / "7")
    assert checkpoint.verify(tmp_path, 7) is None


@pytest.mark.parametrize(
    "leaf", [np.float64(1 + 1e-12), np.array([2**40]), np.array([1.5], ">f4"), np.array(["text"])]
)
def test_leaves_that_jax_would_change_are_refused(tmp_path, state, leaf):
    odd = state.replace(model_state=Pair({"n": leaf}, {}))
    with pytest.raises(TypeError, match=r"\['n'\] is .*, of which JAX makes .*\. Convert it"):
        checkpoint.save(tmp_path, odd)
    with pytest.raises(TypeError, match=r"\['n'\] is .*, of which JAX makes"):
        checkpoint.restore(tmp_path, like=odd)


def test_a_state_without_values_is_refused(tmp_path, gan, state, batch):
    abstract = jax.eval_shape(gan.init, jax.random.key(0), batch)
    with pytest.raises(TypeError, match="ShapeDtypeStruct, which has no values"):
        checkpoint.save(tmp_path, abstract)
    with pytest.raises(TypeError, match=r"which has no values\. Save outside of jit"):
        jax.jit(lambda state: checkpoint.save(tmp_path, state))(state)
    with pytest.raises(ValueError, match=r"state\.step must be at least 0; got -1"):
        checkpoint.save(tmp_path, at(state, -1))
    with pytest.raises(TypeError, match=r"state\.step must be an integer"):
        checkpoint.save(tmp_path, state.replace(step=jnp.float32(1.7)))
    jax.jit(lambda state: jax.tree.map(lambda x: x, state), donate_argnums=0)(state)
    with pytest.raises(ValueError, match=r"was donated and is gone\. Save the state that came out"):
        checkpoint.save(tmp_path, state)


def test_directories_that_cannot_hold_checkpoints(tmp_path, state):
    with pytest.raises(ValueError, match=r"must be a path without '\['; got .*lr\[0\.1\]"):
        checkpoint.save(tmp_path / "lr[0.1]", state)
    with pytest.raises(ValueError, match=r"must be a folder of this machine; got .gs://bucket"):
        checkpoint.save("gs://bucket", state)
    assert not list(tmp_path.iterdir())


def test_a_part_without_arrays_or_with_empty_ones(tmp_path, state):
    state = state.replace(model_state=Pair({"none": jnp.zeros((0, 3))}, {}))
    checkpoint.save(tmp_path, state).result()
    for path, part in {
        ".model_state.generator": state.model_state.generator,
        ".model_state.discriminator": {},
    }.items():
        assert_trees_equal(checkpoint.restore(tmp_path, like=part, at=path), part)
    with pytest.raises(TypeError, match=r"at must be text, such as '\.params.*got 3"):
        checkpoint.restore(tmp_path, like=state, at=3)


def test_a_save_waits_for_the_one_before_it(tmp_path, state):
    checkpoint.save(tmp_path, at(state, 10), keep=1)
    with pytest.raises(ValueError, match="has a checkpoint of step 10 of a later step"):
        checkpoint.save(tmp_path, at(state, 5), keep=1)
    assert checkpoint.steps(tmp_path) == [10]


def test_a_failure_that_nobody_asked_about_is_told_by_the_next_save(tmp_path, state, monkeypatch):
    with monkeypatch.context() as disk:
        disk.setattr(storage.ocp, "save", lambda path, arrays: 1 / 0)
        checkpoint.save(tmp_path, state)
        with pytest.warns(UserWarning, match="NOT SAVED: Step 0 could not be saved"):
            checkpoint.save(tmp_path, at(state, 1)).exception()
    checkpoint.save(tmp_path, at(state, 2)).result()  # what was asked about is not told again


def test_a_program_that_ends_waits_for_its_save(tmp_path):
    hurried = SECOND.replace(".result()", "")
    command = [*PYTHON, "-c", hurried, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "NOT SAVED" not in done.stderr
    assert "Traceback" not in done.stderr
    assert checkpoint.latest(tmp_path) == 0
    (tmp_path / "file").touch()
    done = subprocess.run([*command[:-1], str(tmp_path / "file")], capture_output=True, text=True)
    assert "NOT SAVED: Step 0 could not be saved in " in done.stderr


def test_what_is_not_tied_to_a_device_stays_so(tmp_path, state):
    """Else it could not be used beside arrays on several devices."""
    checkpoint.save(tmp_path, state).result()
    assert not checkpoint.restore(tmp_path, like=state).step.committed
    tied = jax.device_put(state, jax.devices()[0])
    assert checkpoint.restore(tmp_path, like=tied).step.committed


def test_damage_is_named_where_the_older_one_does_not_fit(tmp_path, state, batch):
    checkpoint.save(tmp_path, state).result()
    checkpoint.save(tmp_path, at(state, 1)).result()
    (tmp_path / "1" / "seal.json").unlink()
    other = make_gan(ema_half_life=10.0).init(jax.random.key(0), batch)
    with (
        pytest.warns(UserWarning, match=r"step 1: seal\.json is missing"),
        pytest.raises(ValueError, match=r"\.ema_params"),
    ):
        checkpoint.restore(tmp_path, like=other)


def sealed(contents):
    return json.dumps({"sha256": manifest._digest_json(contents), "contents": contents}).encode()


GOOD = {"format": 1, "step": 0, "metadata": None, "saved_by": {"versions": {}}}
GOOD |= {"files": {}, "leaves": {}}


@pytest.mark.parametrize(
    "contents",
    [
        b"[" * 100_000,
        b"\xff",
        b"null",
        b'{"sha256": 3}',
        sealed([]),
        *(sealed({k: v for k, v in GOOD.items() if k != name}) for name in GOOD),
        *(sealed({**GOOD, name: 3.5}) for name in GOOD if name != "metadata"),
        sealed({**GOOD, "leaves": {".step": {"dtype": "int32"}}}),
    ],
)
def test_a_hostile_seal_is_damage(tmp_path, state, contents):
    checkpoint.save(tmp_path, state).result()
    (tmp_path / "0" / "seal.json").write_bytes(contents)
    with pytest.raises(checkpoint.DamagedCheckpointError, match=r"step 0: seal\.json"):
        checkpoint.restore(tmp_path, like=state)
    with pytest.raises(checkpoint.DamagedCheckpointError, match=r"step 0: seal\.json"):
        checkpoint.info(tmp_path)
    assert "seal.json" in checkpoint.verify(tmp_path, 0)
    assert checkpoint.latest(tmp_path) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path, state):
    checkpoint.save(tmp_path, state).result()
    (tmp_path / "0" / "seal.json").unlink()
    os.mkfifo(tmp_path / "0" / "seal.json")
    assert checkpoint.verify(tmp_path, 0) == "seal.json is missing"


def test_where_nothing_can_be_written(tmp_path, state):
    (tmp_path / "file").touch()
    saving = checkpoint.save(tmp_path / "file" / "run", state)  # training goes on
    with pytest.raises(OSError, match=r"Step 0 could not be saved in .*file/run"):
        saving.result()
