"""The short forms of kill.py and damage.py, and a disk that is full."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import assert_trees_equal
from scripts import run_here

from jaxgan import Pair, checkpoint
from jaxgan.checkpoint import _storage as storage

HERE = Path(__file__).parent
EXAMPLE = HERE.parent.parent / "examples" / "mnist.py"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module


def test_a_killed_run_ends_as_if_it_had_not_been(script, tmp_path):
    kill = script("kill")

    def run_whole(workdir, epochs, batch_size, cache):
        done = run_here(kill.SCRIPT, *kill.options_of(workdir, epochs, batch_size))
        assert done.returncode == 0, done.stderr

    counted = kill.torture(tmp_path, 1, batch_size=5000, seed=0, ahead=4, run_whole=run_whole)
    assert counted["same"]
    assert counted["epochs"] > 4  # it was killed under way


def test_no_damage_is_loaded(script, tmp_path):
    counted = script("damage").torture(tmp_path, cases=None, seed=1)
    assert counted["cases"] == 4 * counted["files"] > 20
    assert counted["outcomes"] == {"older, and reported": counted["cases"]}


def test_leaves_are_held_against_their_digests_too(script, tmp_path, monkeypatch):
    """If whoever writes the files writes something else, and seals it."""
    states = script("damage").make_states()
    checkpoint.save(tmp_path, states[0]).result()
    real, name = storage.ocp.save, ".params.generator['Dense_0']['bias']"
    flipped = lambda arrays: {**arrays, name: np.nextafter(arrays[name], np.float32(1))}
    with monkeypatch.context() as disk:
        disk.setattr(storage.ocp, "save", lambda path, arrays: real(path, flipped(arrays)))
        error = checkpoint.save(tmp_path, states[1], keep=1).exception()  # it is read back
        assert "bias'] has other values than were saved" in str(error)
        assert checkpoint.steps(tmp_path) == [0]
        disk.setattr(storage, "verify", lambda folder: None)  # and if it were not
        checkpoint.save(tmp_path, states[1]).result()
    assert "bias'] has other values" in (checkpoint.verify(tmp_path, 10) or "")
    assert checkpoint.latest(tmp_path) == 0
    with pytest.warns(UserWarning, match="Dense_0.*bias.* has other values than were saved"):
        assert_trees_equal(checkpoint.restore(tmp_path, like=states[0]), states[0])
    with pytest.warns(UserWarning, match=r"step 10, is damaged, and set aside as 10\.damaged"):
        checkpoint.save(tmp_path, states[1]).result()  # the run comes to step 10 again
    assert_trees_equal(checkpoint.restore(tmp_path, like=states[0]), states[1])


def test_no_intact_checkpoint_is_left(script, tmp_path):
    states = script("damage").make_states()
    for state in states:
        checkpoint.save(tmp_path, state).result()
    (tmp_path / "0" / "seal.json").unlink()
    files = (tmp_path / "10" / "arrays").rglob("*")
    arrays = next(file for file in sorted(files) if file.is_file() and file.stat().st_size)
    arrays.write_bytes(arrays.read_bytes()[:-1])
    with pytest.raises(checkpoint.DamagedCheckpointError) as error:
        checkpoint.restore(tmp_path, like=states[0])
    assert [line.strip() for line in str(error.value).splitlines()] == [
        f"{tmp_path} has no intact checkpoint to use. Restore a copy of one.",
        f"step 10: {arrays.relative_to(tmp_path / '10')} has been changed",
        "step 0: seal.json is missing",
    ]
    assert checkpoint.latest(tmp_path) is None
    with pytest.warns(UserWarning, match="step 10, is damaged, and set aside"):
        checkpoint.save(tmp_path, states[1]).result()
    assert_trees_equal(checkpoint.restore(tmp_path, like=states[0]), states[1])


@pytest.fixture
def small_disk(tmp_path):
    """Three megabytes, where this user may mount a file system."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("mounting needs rights that this user has not")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.filterwarnings("ignore")  # what Orbax leaves behind when it fails
def test_a_full_disk_keeps_the_last_good_step(script, small_disk):
    state = script("damage").make_states()[0]
    noise = jax.random.normal(jax.random.key(0), (250_000,))  # a megabyte, which nothing compresses
    state = state.replace(model_state=state.model_state._replace(generator={"noise": noise}))
    errors = []
    for step in range(5):
        one = state.replace(step=jnp.int32(step))
        errors.append(checkpoint.save(small_disk, one, keep=9).exception())
    saved = checkpoint.steps(small_disk)
    assert 1 <= len(saved) < 5
    assert [step for step, error in enumerate(errors) if error is None] == saved
    assert all("No space left" in str(error) for error in errors[len(saved) :])
    assert checkpoint.latest(small_disk) == saved[-1]
    shutil.rmtree(small_disk / str(saved[0]))  # make room, and the run can go on
    last = state.replace(step=jnp.int32(5), model_state=Pair({}, {}))
    checkpoint.save(small_disk, last, keep=9).result()
    assert checkpoint.latest(small_disk) == 5
    assert not list(small_disk.glob("*.saving"))


@pytest.mark.slow
def test_training_goes_on_when_the_disk_is_full(small_disk):
    (small_disk / "ballast").write_bytes(os.urandom(2_900_000))
    options = ["--data-dir", "embedded", "--batch-size", "5000", "--epochs", "2"]
    command = [sys.executable, str(EXAMPLE), *options, "--workdir", str(small_disk / "run")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "NOT SAVED: Step 2 could not be saved" in done.stderr
    assert "NOT SAVED: Step 4 could not be saved" in done.stderr
    assert done.stderr.rstrip().endswith("Make room, and resume from the one before it.")
