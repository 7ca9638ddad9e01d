"""A run's folder belongs to one run, and a signal ends a loop well."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import PYTHON

from jaxgan import runs
from jaxgan._internal import file_lock

CONFIG = {"seed": 0, "epochs": 5, "shape": (28, 28, 1)}


def test_a_new_run_writes_its_configuration(tmp_path):
    workdir = runs.begin(tmp_path / "a" / "b", CONFIG)
    expected = {"seed": 0, "epochs": 5, "shape": [28, 28, 1]}
    assert json.loads((workdir / "config.json").read_text()) == expected


def test_a_new_run_does_not_overwrite_one(tmp_path):
    runs.begin(tmp_path, CONFIG)
    with pytest.raises(FileExistsError, match=r"is not empty. Resume the run that it holds, or"):
        runs.begin(tmp_path, CONFIG)


def test_a_new_run_does_not_move_in_with_another(tmp_path):
    (tmp_path / "checkpoints").mkdir()  # of a run whose config.json is gone
    with pytest.raises(FileExistsError, match="is not empty"):
        runs.begin(tmp_path, CONFIG)


def test_a_damaged_configuration_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"seed": ')
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        runs.begin(tmp_path, CONFIG, resume=True)


def test_there_must_be_a_run_to_resume(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Nothing to resume: there is no .*config\.json"):
        runs.begin(tmp_path, CONFIG, resume=True)


def test_the_same_or_a_longer_run_is_resumed(tmp_path):
    runs.begin(tmp_path, CONFIG)
    runs.begin(tmp_path, CONFIG, resume=True)
    runs.begin(tmp_path, {**CONFIG, "epochs": 9}, resume=True)
    assert json.loads((tmp_path / "config.json").read_text())["epochs"] == 9


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({**CONFIG, "seed": 1}, "seed: 0 there, 1 now"),
        ({**CONFIG, "epochs": 4}, "epochs: 5 there, 4 now"),
        ({**CONFIG, "loss": "hinge"}, "loss: absent there, hinge now"),
        ({"seed": 0, "epochs": 5}, r"shape: \[28, 28, 1\] there, absent now"),
    ],
)
def test_another_configuration_is_refused_and_left_alone(tmp_path, changed, said):
    runs.begin(tmp_path, CONFIG)
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(ValueError, match=said) as error:
        runs.begin(tmp_path, changed, resume=True)
    assert str(error.value).count("\n") == 1  # names what differs, and nothing else
    assert (tmp_path / "config.json").read_text() == before


def read_log(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_log_that_cannot_be_written_stays_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    records = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": None}]
    runs.write_log(path, records)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            runs.write_log(path, [{"epoch": 3}])
    assert [file.name for file in tmp_path.iterdir()] == ["log.jsonl"]
    assert read_log(path) == records


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    runs.write_log("~/log.jsonl", [{"epoch": 1}])
    assert read_log(tmp_path / "log.jsonl") == [{"epoch": 1}]


@pytest.mark.parametrize("there", [b"[" * 100_000, b"[1]", b"\xff\xfe", b""])
def test_a_hostile_configuration_is_named(tmp_path, there):
    (tmp_path / "config.json").write_bytes(there)
    with pytest.raises(ValueError, match=r"config\.json is damaged: .*Restore a copy"):
        runs.begin(tmp_path, CONFIG, resume=True)


@pytest.mark.parametrize("there", ["null", '"five"', "[]"])
def test_numbers_that_are_none_are_compared_too(tmp_path, there):
    (tmp_path / "config.json").write_text('{"epochs": ' + there + "}")
    with pytest.raises(ValueError, match=r"epochs: .* there, 9 now"):
        runs.begin(tmp_path, {"epochs": 9}, resume=True)


def test_a_run_that_was_killed_while_it_began_can_begin(tmp_path):
    (tmp_path / "config.json.tmp").write_text("{")
    (tmp_path / ".lock").touch()
    runs.begin(tmp_path, CONFIG)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "config.json"]


CIRCLE: list = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda d: runs.begin(d, None), TypeError, "config must be a dict.*got None"),
        (lambda d: runs.begin(d, {"a": d}), TypeError, "config must be .*PosixPath is not JSON"),
        (lambda d: runs.begin(d, {"a": float("nan")}), ValueError, "not JSON compliant"),
        (lambda d: runs.begin(d, {}, extends=3), TypeError, "extends one of its keys; got .* 3"),
        (lambda d: runs.begin(3, {}), TypeError, "workdir must be the path .*; got 3"),
        (lambda d: runs.begin(d / "file", {}), FileExistsError, "file is a file. Choose"),
        (lambda d: runs.write_log(None, []), TypeError, "path must be the path .*; got None"),
        (lambda d: runs.write_log("a\0b", []), ValueError, "path must be the path"),
        (lambda d: runs.write_log(d / "x", 3), TypeError, "records must be a list of dicts; got 3"),
        (lambda d: runs.write_log(d / "x", [3]), TypeError, r"list of dicts; got \[3\]"),
        (lambda d: runs.write_log(d / "x", [{"a": CIRCLE}]), ValueError, "Circular reference"),
        (lambda d: runs.write_json(d / "x", {"a": d}), TypeError, "contents must be numbers, text"),
        (lambda d: runs.longest_streak(None), TypeError, "flags must be numbers or bools .*None"),
        (lambda d: runs.longest_streak("abc"), TypeError, "flags must be .*abc"),
        (lambda d: runs.longest_streak([[1]]), ValueError, r"flags must be \[steps\]; got shape"),
        (lambda d: runs.stop_signals("x").__enter__(), TypeError, "signals must be .* got 'x'"),
        (lambda d: runs.stop_signals(signal.SIGKILL).__enter__(), ValueError, "SIGKILL cannot be"),
        (lambda d: file_lock.acquire(None), TypeError, "directory must be the path .*; got None"),
        (lambda d: file_lock.acquire(""), ValueError, "directory must be the path .*; got ''"),
    ],
)
def test_what_makes_no_sense_is_told(tmp_path, call, error, said):
    (tmp_path / "file").touch()
    with pytest.raises(error, match=said):
        call(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_lock_on_a_full_disk_is_held_without_a_name(tmp_path, monkeypatch):
    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        file_lock.acquire(tmp_path)
    file_lock.acquire(tmp_path)  # it is ours


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
time.sleep(600)  # the child lives on when its parent is killed
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_neither_has_the_lock_nor_keeps_it(tmp_path):
    told = tmp_path / "told"
    command = [sys.executable, "-c", FORKS, str(tmp_path / "run"), str(told)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        try:
            while not told.exists() or told.read_text() != "refused":
                assert parent.poll() is None
                time.sleep(0.02)
            parent.kill()
            parent.wait()
            file_lock.acquire(tmp_path / "run")
        finally:
            parent.kill()
            os.kill(child, signal.SIGKILL)


def test_figures_that_are_not_finite_become_null(tmp_path):
    path = tmp_path / "summary.json"
    runs.write_json(path, {"kl": [float("nan"), 1.5], "said": "Infinity", "b": -float("inf")})
    assert path.read_text() == '{"kl": [null, 1.5], "said": "Infinity", "b": null}\n'
    with pytest.raises(TypeError, match="not JSON serializable"):
        runs.write_json(path, {"a": object()})
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]


HOLD = (
    "import sys; from jaxgan import runs; runs.begin(sys.argv[1], {}); print(flush=True); input()"
)


def test_two_processes_do_not_share_a_run(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as first:
        assert first.stdout.readline() == "\n"
        with pytest.raises(
            BlockingIOError, match=rf"run is in use by process {first.pid} on .*Wait"
        ):
            runs.begin(tmp_path / "run", {}, resume=True)
        first.kill()
    runs.begin(tmp_path / "run", {}, resume=True)  # a killed process leaves no lock behind


@pytest.mark.parametrize(
    ("flags", "longest"), [([], 0), ([0, 0], 0), ([1], 1), ([1, 0, 2, 2], 2), ([True] * 5, 5)]
)
def test_longest_streak(flags, longest):
    assert runs.longest_streak(flags) == longest


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_the_first_signal_is_noted_the_second_is_not(signum):
    before, struck = signal.getsignal(signum), []
    try:
        signal.signal(signum, lambda *_: struck.append(1))  # stands for what would kill
        with runs.stop_signals() as received:
            assert received == []
            os.kill(os.getpid(), signum)
            assert (received, struck) == ([signum], [])
            os.kill(os.getpid(), signum)
            assert (received, struck) == ([signum], [1])
        os.kill(os.getpid(), signum)
        assert struck == [1, 1]
    finally:
        signal.signal(signum, before)


START = """
import os, jax
from jaxgan import compilation
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event.endswith("cache_hits")))
folder = compilation.enable_compilation_cache()
jax.jit(lambda x: x + 1)(1.0)
print(folder, sum(hits))
"""


def start(tmp_path, **changes):
    env = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "1", "XDG_CACHE_HOME": str(tmp_path)}
    command = [*PYTHON, "-c", START]
    done = subprocess.run(command, env=env | changes, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_programs_are_kept_between_starts(tmp_path):
    folder, hits = start(tmp_path)
    assert folder.startswith(str(tmp_path / "jaxgan" / "programs"))
    assert Path(folder).stat().st_mode & 0o077 == 0
    assert hits == "0"
    again, hits = start(tmp_path)
    assert again == folder
    assert int(hits) > 0


@pytest.mark.parametrize(
    ("changes", "folder"),
    [
        ({"JAX_ENABLE_COMPILATION_CACHE": "0"}, None),
        ({"JAX_COMPILATION_CACHE_DIR": "chosen"}, "chosen"),
        ({"XDG_CACHE_HOME": "file"}, None),
        ({"XDG_CACHE_HOME": "", "HOME": "~"}, None),
    ],
    ids=["none wanted", "another chosen", "not to be written", "no home"],
)
def test_programs_are_kept_where_the_user_wants_them(tmp_path, monkeypatch, changes, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert start(tmp_path, **changes) == [str(folder), "0"]
    assert not (tmp_path / "jaxgan").exists()
