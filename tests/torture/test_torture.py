"""Checkpoints survive kills, damage, failing file operations and a full disk.

These are short runs of kill.py, damage.py, faults.py and endure.py.
"""

import importlib
import json
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


@pytest.mark.slow
def test_killed_run_resumes_bit_identically(script, tmp_path):
    kill = script("kill")

    def run_whole(workdir, epochs, batch_size, cache):
        done = run_here(kill.SCRIPT, *kill.options_of(workdir, epochs, batch_size))
        assert done.returncode == 0, done.stderr

    counted = kill.torture(tmp_path, 1, batch_size=5000, seed=0, ahead=4, run_whole=run_whole)
    assert counted["same"]
    assert counted["epochs"] > 4  # the kill came before the end


def test_restore_never_loads_a_damaged_checkpoint(script, tmp_path):
    counted = script("damage").torture(tmp_path, cases=None, seed=1)
    assert counted["cases"] == 4 * counted["files"] > 20
    assert counted["outcomes"] == {"older, and reported": counted["cases"]}


def test_leaves_are_compared_with_their_digests(script, tmp_path, monkeypatch):
    """Detects wrong values in files whose own checksums are right."""
    states = script("damage").make_states()
    checkpoint.save(tmp_path, states[0]).result()
    real, name = storage.ocp.save, ".params.generator['Dense_0']['bias']"
    flipped = lambda arrays: {**arrays, name: np.nextafter(arrays[name], np.float32(1))}
    with monkeypatch.context() as disk:
        disk.setattr(storage.ocp, "save", lambda path, arrays: real(path, flipped(arrays)))
        error = checkpoint.save(tmp_path, states[1], keep=1).exception()  # verifies the files
        assert "bias'] differs from the saved values" in str(error)
        assert checkpoint.steps(tmp_path) == [0]
        disk.setattr(storage, "verify", lambda folder: None)  # disables this check
        checkpoint.save(tmp_path, states[1]).result()
    assert "bias'] differs from" in (checkpoint.verify(tmp_path, 10) or "")
    assert checkpoint.latest(tmp_path) == 0
    with pytest.warns(UserWarning, match="Dense_0.*bias.* differs from the saved values"):
        assert_trees_equal(checkpoint.restore(tmp_path, like=states[0]), states[0])
    with pytest.warns(UserWarning, match=r"step 10 is corrupted, .* renamed to 10\.damaged"):
        checkpoint.save(tmp_path, states[1]).result()  # the run reaches step 10 again
    assert_trees_equal(checkpoint.restore(tmp_path, like=states[0]), states[1])


def test_restore_without_an_intact_checkpoint_reports_each(script, tmp_path):
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
        f"Every checkpoint tried in {tmp_path} is corrupted. Restore one from a backup.",
        f"step 10: {arrays.relative_to(tmp_path / '10')} is corrupted",
        "step 0: seal.json is missing",
    ]
    assert checkpoint.latest(tmp_path) is None
    with pytest.warns(UserWarning, match="step 10 is corrupted, and will be renamed"):
        checkpoint.save(tmp_path, states[1]).result()
    assert_trees_equal(checkpoint.restore(tmp_path, like=states[0]), states[1])


@pytest.fixture
def inject_faults(script, tmp_path):
    """Returns a function that runs faults.py, or skips the test without Linux or a C compiler."""
    if sys.platform != "linux" or not shutil.which("cc"):
        pytest.skip("needs Linux and a C compiler")
    environment = os.environ | {"LD_PRELOAD": str(script("faults").build(tmp_path))}
    output = tmp_path / "faults.json"

    def run(*options: str) -> dict:
        command = [sys.executable, str(HERE / "faults.py"), *options, "--output", str(output)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(output.read_text())

    return run


def test_failing_file_operations_leave_an_intact_checkpoint(inject_faults):
    """Tries few of the operations, because each case takes a second on a busy machine."""
    scenarios = ["save that prunes", "restore", "files of a run"]
    faults = ["--faults", "kill before", "EIO", "--every", "49", "--jobs", "6"]
    counted = inject_faults(*faults, "--scenarios", *scenarios)
    assert counted["operations"]["save that prunes"]["all"] > 100
    assert counted["cases"] > 10


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_every_failing_file_operation_leaves_an_intact_checkpoint(inject_faults):
    assert inject_faults("--jobs", "6")["cases"] > 3000


@pytest.mark.slow
def test_long_runs_keep_memory_and_files(script, tmp_path):
    endure = script("endure")
    counted = endure.torture(tmp_path, {"restores": 500, "saves": 100, "epochs": 100})
    assert all(not form["new_files"] for form in counted.values())


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a disk of 3 MB, or skips the test without the right to mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("this user may not mount file systems")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.filterwarnings("ignore")  # of Orbax after a failure
def test_full_disk_keeps_the_last_intact_checkpoint(script, small_disk):
    state = script("damage").make_states()[0]
    noise = jax.random.normal(jax.random.key(0), (250_000,))  # an incompressible megabyte
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
    shutil.rmtree(small_disk / str(saved[0]))  # frees space
    last = state.replace(step=jnp.int32(5), model_state=Pair({}, {}))
    checkpoint.save(small_disk, last, keep=9).result()
    assert checkpoint.latest(small_disk) == 5
    assert not list(small_disk.glob("*.saving"))


@pytest.mark.slow
def test_training_continues_when_the_disk_is_full(small_disk):
    (small_disk / "ballast").write_bytes(os.urandom(2_900_000))
    options = ["--data-dir", "embedded", "--batch-size", "5000", "--epochs", "2"]
    command = [sys.executable, str(EXAMPLE), *options, "--workdir", str(small_disk / "run")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "NOT SAVED: Step 2 could not be saved" in done.stderr
    assert "NOT SAVED: Step 4 could not be saved" in done.stderr
    assert done.stderr.rstrip().endswith("Free disk space, then continue with --resume.")
