"""Tests that killed and stopped processes end the whole run, which then resumes bit-identically."""

import signal
import time
from pathlib import Path

import clusters
import pytest

from jaxgan import checkpoint

TRAINER = Path(__file__).parent / "trainer.py"
EPOCHS = 6
SECONDS = 10 + 10  # the trainer's heartbeat, and ten seconds

pytestmark = pytest.mark.slow


def train(folder, epochs=EPOCHS):
    """Trains until the end, and returns the last line of both processes."""
    done = clusters.run(TRAINER, str(folder), f"{epochs}")
    assert [process.returncode for process in done] == [0, 0], done[0].output + done[1].output
    return last_line(done)


def last_line(done):
    first, second = (process.output.splitlines()[-1] for process in done)
    assert first == second
    return first


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return train(tmp_path_factory.mktemp("uninterrupted"))


def wait_for(process, text, times=1):
    """Reads the output of a process until a line has appeared several times."""
    for _ in range(times):
        while text not in (line := process.stdout.readline()):
            assert line, "the process has ended"


@pytest.mark.parametrize("killed", [0, 1], ids=["coordinator", "worker"])
def test_killed_process_ends_the_run_which_resumes_bit_identically(tmp_path, uninterrupted, killed):
    with clusters.start(TRAINER, [str(tmp_path), f"{EPOCHS}", "--slow-saves"]) as processes:
        wait_for(processes[0], "saving", times=3)
        processes[killed].kill()
        killed_at = time.monotonic()
        done = clusters.finish(processes, SECONDS)
        assert time.monotonic() < killed_at + SECONDS
    assert done[killed].returncode == -signal.SIGKILL
    assert done[1 - killed].returncode not in (0, None)
    assert train(tmp_path) == uninterrupted


def test_signal_to_one_process_stops_both_after_the_same_epoch(tmp_path, uninterrupted):
    with clusters.start(TRAINER, [str(tmp_path), f"{EPOCHS}", "--slow-saves"]) as processes:
        wait_for(processes[0], "epoch 1")
        processes[1].send_signal(signal.SIGTERM)
        done = clusters.finish(processes)
    assert [process.returncode for process in done] == [143, 143], done[0].output
    line = last_line(done)
    assert line.split()[1] == f"{checkpoint.latest(tmp_path / 'checkpoints')}"
    assert 10 <= int(line.split()[1]) < 5 * EPOCHS
    assert train(tmp_path) == uninterrupted


def test_fifty_saves_during_training_end(tmp_path):
    start = time.monotonic()
    assert train(tmp_path, epochs=50).startswith("step 250 ")
    assert time.monotonic() < start + 60
    assert checkpoint.steps(tmp_path / "checkpoints") == [240, 245, 250]


def test_second_run_in_the_folder_is_refused(tmp_path):
    with clusters.start(TRAINER, [str(tmp_path), f"{EPOCHS}", "--slow-saves"]) as processes:
        wait_for(processes[0], "epoch 1")
        second = clusters.run(TRAINER, str(tmp_path), f"{EPOCHS}")
    for process in second:
        assert process.returncode == 1
        assert f"BlockingIOError: {tmp_path} is in use by process" in process.output


@pytest.mark.parametrize(("num", "devices"), [(1, 1), (1, 4), (4, 1)])
def test_states_of_two_processes_are_restored_on_others(tmp_path, num, devices):
    worker = TRAINER.parent / "worker.py"
    saved = clusters.run(worker, str(tmp_path), "replicated", "population", devices=2)
    restored = clusters.run(worker, str(tmp_path), "restored", num=num, devices=devices)
    for process in (*saved, *restored):
        assert process.returncode == 0, process.output
    for process in restored:
        assert '"result": [true, true, true]' in process.output
