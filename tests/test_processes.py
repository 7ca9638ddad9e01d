"""Tests checkpoints, folders and signals of two processes, which exchange data with gloo."""

import json
import re
import subprocess
from pathlib import Path

import clusters
import jax
import pytest
import worker
from conftest import PYTHON, assert_trees_equal

from jaxgan import checkpoint
from jaxgan._internal import file_lock, processes

WORKER = Path(worker.__file__)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    file_lock.acquire(folder / "locked_folder")  # as another run does
    with pytest.warns(UserWarning, match="non-finite"):
        checkpoint.save(folder / "saved_by_one_process", worker.make_state(1)).result()
    return folder


@pytest.fixture(scope="module")
def results(folder):
    """Returns the results of all scenarios by name, one for each process."""
    done = clusters.run(WORKER, str(folder), devices=2)
    assert [process.returncode for process in done] == [0, 0], done[0].output + done[1].output
    lines = [[x for x in process.output.splitlines() if x.startswith("{")] for process in done]
    return {
        first["name"]: (first["result"], second["result"])
        for first, second in zip(*[map(json.loads, some) for some in lines], strict=True)
    }


def of_both(results, name):
    """Returns a result that both processes must have."""
    first, second = results[name]
    assert first == second
    return first


def test_replicated_state_is_restored_in_both_processes(results):
    is_placed, is_local, metadata, steps, latest, problem = of_both(results, "replicated")
    assert is_placed
    assert is_local
    assert metadata == {"from": 0}  # process 0 writes
    assert (steps, latest, problem) == ([1], 1, None)


def test_replicated_state_is_restored_in_one_process(results, folder):
    state = worker.make_state(1)
    with pytest.warns(UserWarning, match=r"\(devices of the state 4 then, 1 now\)"):
        restored = checkpoint.restore(folder / "replicated", like=state)
    assert_trees_equal(restored, state)
    abstract = jax.eval_shape(lambda: state)  # without devices, so nothing is known
    assert_trees_equal(checkpoint.restore(folder / "replicated", like=abstract), state)


def test_state_of_one_process_is_restored_in_both_processes(results):
    (first, [warning]), (second, silent) = results["saved_by_one_process"]
    assert first
    assert second
    assert "(devices of the state 1 then, 4 now)" in warning
    assert not silent  # process 0 alone warns


def test_sharded_population_is_restored_in_both_processes(results):
    assert of_both(results, "population") == [True, True]


def test_sharded_population_is_restored_in_one_process(results, folder):
    states = worker.make_population(2)
    assert_trees_equal(checkpoint.restore(folder / "population", like=states), states)
    member = checkpoint.restore(folder / "population", like=worker.make_state(2), member=3)
    assert_trees_equal(member, worker.make_state(2, seed=3))


def test_programs_wait_for_their_save_before_they_exit(results, folder):
    assert of_both(results, "unfinished_save") == []
    assert checkpoint.latest(folder / "unfinished_save") == 1


def test_save_deletes_older_checkpoints(results):
    assert of_both(results, "keeps_newest") == [2, 3]


def test_failed_save_is_reported_in_both_processes(results, folder):
    exception, raised, steps = of_both(results, "failed_save")
    expected = f"OSError: Step 2 could not be saved in {folder / 'failed_save'}: division by zero."
    assert exception.startswith(expected)
    assert raised == exception
    assert steps == [1]
    assert of_both(results, "unhandled_failure") == ["NOT SAVED: Step 1 could not be saved in "]


@pytest.mark.parametrize("name", ["corrupted", "corrupted_for_one_process"])
def test_both_processes_fall_back_to_the_same_checkpoint(results, name):
    (first, [warning]), (second, silent) = results[name]
    assert (first, second) == (1, 1)
    assert "Using step 1 instead of\n  step 2: " in warning
    assert warning.endswith(("is corrupted", "bad disk in process 1"))
    assert not silent  # process 0 alone warns


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("unshared_folder", "FileNotFoundError: .* must be a folder that all processes share; got"),
        ("different_steps", r"ValueError: state.step must .* in all processes; got \[0, 1\]."),
        ("devices_of_one_process", r"ValueError: \.step must be on devices of all processes; got"),
        (
            "streamed_to_other_processes",
            "ValueError: device must be .* of this process; got",
        ),
        ("later_step", "ValueError: directory must be without intact .* of step 1 or later; got"),
        ("different_states", "ValueError: like must be of the same networks"),
        ("different_config", "ValueError: config must .*; got seed 1 in process 1, 0 in process 0"),
        ("different_options", "ValueError: The options of begin .*; got resume true in process 1"),
        ("used_folder", "FileExistsError: workdir must be .* which holds thesis.tex."),
        ("locked_folder", "BlockingIOError: .* is in use by process"),
        ("different_calls", "RuntimeError: .* got checkpoint.steps in process 0, .*latest in proc"),
    ],
)
def test_both_processes_raise_the_same_error(results, name, expected):
    assert_matches(of_both(results, name), expected)


def assert_matches(text, pattern):
    assert re.match(pattern, text), text


def test_changed_hyperparameters_of_replicated_states_give_a_warning(results):
    [line], silent = results["changed_hyperparameters"]
    assert not silent  # process 0 alone warns
    path = ".opt_state.generator.hyperparams['learning_rate']"
    assert line == f"  {path}: saved 0.01, in like 0.5"


def test_arrays_and_devices_of_other_processes_are_refused(results):
    for *errors, unchecked in results["shared_arrays"]:
        for text, name in zip(errors, ("mesh", "mesh", "tree", "images"), strict=True):
            kind = "a mesh with devices" if name == "mesh" else "an array"
            assert text.startswith(f"ValueError: {name} must be {kind} of this process; got ")
        assert unchecked is None


def test_missing_process_is_named(results):
    error, _ = results["missing_call"]
    expected = (
        "TimeoutError: All processes must call runs.agree within 1 seconds of each other; got"
    )
    assert error.startswith(f"{expected} no call from process 1.")


def test_process_0_alone_writes_files(results):
    summary, log, config = of_both(results, "begun_folder")
    assert json.loads(summary) == json.loads(log) == {"process": 0}
    assert json.loads(config) == {"seed": 0}


def test_signal_of_one_process_reaches_both(results):
    assert of_both(results, "one_signal") == [15]


def test_error_keeps_its_class_or_the_nearest_known_one():
    class UnknownError(FileNotFoundError):
        pass

    for error, kind in [
        (BlockingIOError("a"), BlockingIOError),
        (checkpoint.DamagedCheckpointError("a"), checkpoint.DamagedCheckpointError),
        (UnknownError("a"), FileNotFoundError),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "a"), RuntimeError),
    ]:
        copy = processes._error(json.loads(json.dumps(processes._describe(error))))
        assert type(copy) is kind
        assert str(copy) == str(error)


def test_import_initializes_no_backend():
    """`jax.distributed.initialize` must come before the first use of a backend."""
    program = "import jaxgan, jaxgan.checkpoint, jaxgan.runs as runs, sys, tempfile\n"
    program += "from jax._src import xla_bridge\n"
    program += "runs.begin(tempfile.mkdtemp(), {}); runs.agree([])\n"
    program += "sys.exit(xla_bridge.backends_are_initialized())"
    assert subprocess.run([*PYTHON, "-c", program]).returncode == 0
