"""Tests the lock of a folder with other processes."""

import concurrent.futures
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import PYTHON

from jaxgan._internal import file_lock

fcntl = pytest.importorskip("fcntl")

HOLD = """
import sys
from jaxgan._internal import file_lock
file_lock.acquire(sys.argv[1])
print(flush=True)
input()
"""


@contextlib.contextmanager
def holder(folder):
    """Starts a process that holds the lock until it is killed."""
    with subprocess.Popen([*PYTHON, "-c", HOLD, str(folder)], stdin=-1, stdout=-1) as process:
        try:
            assert process.stdout.readline() == b"\n"
            yield process
        finally:
            process.kill()


def is_locked(folder):
    """Returns whether a new descriptor fails to lock the folder's file."""
    with open(folder / file_lock.NAME, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_lock_of_another_process_is_held_until_it_is_killed(tmp_path):
    with holder(tmp_path / "run") as process:
        message = rf"run is in use by process {process.pid} on .+\. Wait until it ends"
        with pytest.raises(BlockingIOError, match=message):
            file_lock.acquire(tmp_path / "run")
        file_lock.acquire(tmp_path / "other")
        process.kill()
        process.wait()
        file_lock.acquire(tmp_path / "run")
    assert is_locked(tmp_path / "run")


def test_ended_process_releases_the_lock(tmp_path):
    with holder(tmp_path) as process:
        process.communicate(b"\n")
        file_lock.acquire(tmp_path)


def test_one_process_can_acquire_a_folder_repeatedly(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = len(file_lock._held)
    for name in ("a", "./a", tmp_path / "a", tmp_path / "b" / ".." / "a"):
        file_lock.acquire(name)
    assert len(file_lock._held) == before + 1
    assert is_locked(tmp_path / "a")


def test_link_locks_its_target(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    file_lock.acquire(tmp_path / "link")
    assert is_locked(tmp_path / "a")


def test_missing_folders_are_created(tmp_path):
    file_lock.acquire(tmp_path / "a" / "b")
    text = (tmp_path / "a" / "b" / file_lock.NAME).read_text()
    assert text.startswith(f"process {os.getpid()} on ")


@pytest.mark.parametrize("remake", [os.mkdir, lambda folder: None])  # `acquire` also creates it
def test_recreated_folder_is_locked_again(tmp_path, remake):
    for _ in range(3):
        file_lock.acquire(tmp_path / "run")
        assert is_locked(tmp_path / "run")
        shutil.rmtree(tmp_path / "run")
        remake(tmp_path / "run")


def test_recreated_folder_can_be_locked_by_another_process(tmp_path):
    file_lock.acquire(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    with (
        holder(tmp_path / "run") as process,
        pytest.raises(BlockingIOError, match=f"in use by process {process.pid} on"),
    ):
        file_lock.acquire(tmp_path / "run")


def test_lock_on_a_full_disk_has_an_empty_file(tmp_path, monkeypatch):
    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        file_lock.acquire(tmp_path)
    file_lock.acquire(tmp_path)
    assert (tmp_path / file_lock.NAME).read_bytes() == b""
    assert is_locked(tmp_path)


def test_acquire_succeeds_on_a_file_system_without_locks(tmp_path, monkeypatch):
    def unsupported(descriptor, operation):
        raise OSError(95, "Operation not supported")

    with monkeypatch.context() as network:
        network.setattr(fcntl, "flock", unsupported)
        file_lock.acquire(tmp_path)
    assert not is_locked(tmp_path)


@pytest.mark.parametrize(
    ("directory", "error", "message"),
    [
        (None, TypeError, "directory must be the path .*; got None"),
        ("", ValueError, "directory must be the path .*; got ''"),
        ("file", FileExistsError, "file"),
        ("file/a", NotADirectoryError, "file"),
    ],
)
def test_invalid_folder_paths_are_rejected(tmp_path, monkeypatch, directory, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(error, match=message):
        file_lock.acquire(directory)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


FORKS = """
import os, sys, time
from jaxgan._internal import file_lock
file_lock.acquire(sys.argv[1])
if child := os.fork():
    print(child, flush=True)
else:
    try:
        file_lock.acquire(sys.argv[1])
    except BlockingIOError:
        open(sys.argv[2], "w").write("refused")
time.sleep(600)  # the child outlives its parent
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_does_not_inherit_the_lock(tmp_path):
    result = tmp_path / "result"
    command = [sys.executable, "-c", FORKS, str(tmp_path / "run"), str(result)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        try:
            while not result.exists() or result.read_text() != "refused":
                assert parent.poll() is None
                time.sleep(0.02)
            parent.kill()
            parent.wait()
            file_lock.acquire(tmp_path / "run")
        finally:
            parent.kill()
            os.kill(child, signal.SIGKILL)


def test_threads_of_a_process_share_the_lock(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for number in range(20):
            folder = tmp_path / str(number)
            list(threads.map(file_lock.acquire, [folder] * 8))
