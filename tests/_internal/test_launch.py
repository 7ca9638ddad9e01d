"""Tests the processes that `launch` starts: their number, exit codes, signals and ends."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxgan._internal import launch

# Loads the file alone, because `import jaxgan` takes seconds.
LAUNCH = f"""
import runpy, sys
sys.exit(runpy.run_path({launch.__file__!r})["launch"](2, sys.argv[1:]))
"""
SCRIPT = """
import os, pathlib, sys, time
number = os.environ["JAX_PROCESS_ID"]
assert os.environ["JAX_NUM_PROCESSES"] == "2"
pathlib.Path(sys.argv[1], number + ".tmp").write_text(str(os.getpid()))
pathlib.Path(sys.argv[1], number + ".tmp").rename(pathlib.Path(sys.argv[1], number))
time.sleep(float(sys.argv[2]))
sys.exit(3 * int(number))
"""


@pytest.fixture
def start(tmp_path):
    """Returns a function that starts two processes, and returns the launcher and their ids."""
    launchers = []

    def start(seconds, *prefix):
        script = tmp_path / "script.py"
        script.write_text(SCRIPT)
        command = [sys.executable, "-c", LAUNCH, str(script), str(tmp_path), f"{seconds}"]
        launchers.append(subprocess.Popen([*prefix, *command], stdout=subprocess.DEVNULL))
        wait_until(lambda: all((tmp_path / number).exists() for number in "01"))
        return launchers[-1], [int((tmp_path / number).read_text()) for number in "01"]

    yield start
    for launcher in launchers:
        launcher.kill()
        launcher.wait()


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid):
    path = Path(f"/proc/{pid}/stat")
    return path.exists() and path.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_launch_returns_the_first_exit_code_other_than_0(start):
    launcher, _ = start(0)
    assert launcher.wait(30) == 3


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_no_process_outlives_the_launcher(start, name):
    launcher, pids = start(60)
    assert all(map(is_running, pids))
    launcher.send_signal(getattr(signal, name))
    code = launcher.wait(30)
    assert code == {"SIGTERM": 143, "SIGINT": 130, "SIGKILL": -9}[name]
    wait_until(lambda: not any(map(is_running, pids)), seconds=10)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_ignored_signals_stay_ignored(start):
    launcher, pids = start(60, "nohup")
    launcher.send_signal(signal.SIGHUP)
    launcher.send_signal(signal.SIGTERM)  # Python handles it after SIGHUP
    assert launcher.wait(30) == 143
    for pid in pids:
        wait_until(lambda pid=pid: not is_running(pid), seconds=10)


def test_failure_of_one_process_ends_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "_GRACE_SECONDS", 0.5)
    script = tmp_path / "script.py"
    script.write_text("import os, time\ntime.sleep(60 * (os.environ['JAX_PROCESS_ID'] == '1'))\nx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signal, "signal", lambda *args: None)
        start = time.monotonic()
        assert launch.launch(2, [str(script)]) == 1
    assert time.monotonic() < start + 20
