"""Scripts continue when stdout, stderr or the disk fails, and their exit code reports it."""

import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import QUICKLY
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs the files of POSIX")


@pytest.fixture
def common(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    before = signal.getsignal(signal.SIGINT)
    yield importlib.import_module("common")
    signal.signal(signal.SIGINT, before)


def full():
    return open("/dev/full", "w")


def without_reader():
    reader, writer = os.pipe()
    os.close(reader)
    return open(writer, "w")


def closed_terminal():
    terminal, ours = os.openpty()
    os.close(terminal)
    return open(ours, "w")


def closed_file():
    with open(os.devnull, "w") as file:
        return file


def closed_at_the_start():
    return None


def use_every_output(done):
    logger, handler = logging.getLogger("test"), logging.StreamHandler()
    logger.addHandler(handler)
    for number in tqdm(range(3)):
        print("stdout", flush=True)
        print("stderr", file=sys.stderr)
        tqdm.write("a line", file=sys.stderr)
        logger.error("a record")
        sys.stdout.writelines(["two", "lines"])
        done.append(number)
    logger.removeHandler(handler)


FAILING = [full, without_reader, closed_terminal, closed_file, closed_at_the_start]


@pytest.mark.filterwarnings("ignore")  # of streams that fail when they are deleted
@pytest.mark.parametrize("make", FAILING, ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_script_continues_when_a_stream_fails(common, monkeypatch, capsys, name, make):
    monkeypatch.setattr(sys, name, make())
    done = []
    with pytest.raises(SystemExit, match=rf"The run is complete, but .* not be written: {name}: "):
        common.run(lambda: use_every_output(done))
    assert done == [0, 1, 2]
    other = capsys.readouterr()[name == "stdout"]
    assert other.count("stdout" if name == "stderr" else "a record") == 3
    with pytest.raises(SystemExit, match="128"):  # the code of a signal is more important
        common.run(lambda: [print("a"), print("b", file=sys.stderr), sys.exit(128)])


def test_script_without_a_failure_ends_normally(common, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    assert common.run(lambda: print("a", flush=True)) is None
    common.run(lambda: sys.exit(0))
    assert sys.stdout.isatty() is False
    assert capsys.readouterr() == ("a\n", "")


def test_files_that_could_not_be_written_change_the_exit_code(common, monkeypatch, capsys):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))

    def fail():
        raise OSError(28, "No space left on device", "metrics.jsonl")

    def main():
        assert not common.written(fail)
        assert common.written(lambda: None)

    with pytest.raises(SystemExit, match=r"not be written: .* device: 'metrics\.jsonl'\."):
        common.run(main)
    assert "NOT SAVED: [Errno 28] No space left" in capsys.readouterr().err
    common.run(lambda: None)  # a new run has no failures


def test_saved_figure_equals_that_of_matplotlib(common, tmp_path):
    figure = Figure(figsize=(3, 2), layout="constrained", dpi=110)
    figure.subplots().plot([1, 2, 3])
    common.save_figure(tmp_path / "ours.png", figure)
    figure.savefig(tmp_path / "matplotlib.png", dpi=110)
    with (
        Image.open(tmp_path / "ours.png") as ours,
        Image.open(tmp_path / "matplotlib.png") as other,
    ):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(other.convert("RGB")))


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.default_int_handler])
def test_ctrl_c_stays_ignored_in_background_jobs(common, monkeypatch, handler):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    signal.signal(signal.SIGINT, handler)
    common.run(lambda: None)
    expected = signal.SIG_IGN if handler == signal.SIG_IGN else signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == expected


SCRIPT = """
import sys, warnings
import common
def main():
    print("a line on a full disk")
    with open(sys.argv[1], "w") as file:  # must not get the number of stderr
        print("a line", file=sys.stderr)
        warnings.warn("a warning")
        file.write(str(file.fileno() > 2))
common.run(main)
"""


def test_process_with_dead_streams_ends_with_code_1(tmp_path):
    """Python flushes stdout at exit, and would end with 120."""
    out = tmp_path / "out"
    command = ["bash", "-c", 'exec "$@" 2>&- >/dev/full', "", sys.executable, "-c", SCRIPT, out]
    assert subprocess.run(command, env=os.environ | {"PYTHONPATH": path()}).returncode == 1
    assert out.read_text() == "True"


def path():
    return os.pathsep.join([str(EXAMPLES), str(EXAMPLES.parent)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "redirect",
    ["2>/dev/full", "2>&-", ">&- 2>&-", "2>&1 | head -1", "2>&1 | true", "2> >(exit)"],
)
def test_run_is_saved_without_output(tmp_path, redirect):
    options = "--data-dir embedded --batch-size 5000 --epochs 3 --workdir run"
    script = f"set -o pipefail; {sys.executable} {EXAMPLES / 'mnist.py'} {options} {redirect}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=QUICKLY)
    assert done.returncode == 1
    log = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log] == [1, 2, 3]
    assert (tmp_path / "run" / "training.gif").exists()
    assert (tmp_path / "run" / "checkpoints" / "6" / "seal.json").exists()


@pytest.mark.slow
def test_closed_terminal_saves_the_run(tmp_path):
    terminal, ours = os.openpty()
    options = ["--data-dir", "embedded", "--batch-size", "5000", "--epochs", "100000"]
    command = [sys.executable, EXAMPLES / "mnist.py", *options, "--workdir", tmp_path]
    log = tmp_path / "metrics.jsonl"
    streams = {"stdin": ours, "stdout": ours, "stderr": ours}
    make_terminal = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    make_terminal += "os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", make_terminal, *command]
    with subprocess.Popen(command, **streams, env=QUICKLY, start_new_session=True) as process:
        try:
            os.close(ours)
            while not log.exists():
                assert process.poll() is None
                time.sleep(0.05)
            os.close(terminal)  # the kernel sends SIGHUP
            assert process.wait(60) == 128 + signal.SIGHUP
        finally:
            process.kill()
    last = json.loads(log.read_text().splitlines()[-1])
    assert (tmp_path / "checkpoints" / str(last["step"]) / "seal.json").exists()
    assert json.loads((tmp_path / "summary.json").read_text())["epochs"] == last["epoch"]
