"""Tests the folder of a run, its files and lock, and the handling of signals."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import Pair, checkpoint, images, runs
from jaxgan.checkpoint import _storage as storage
from jaxgan.train_state import create

CONFIG = {"seed": 0, "epochs": 5, "shape": (28, 28, 1)}
REMNANT = ".jaxgan-0123456789abcdef.tmp"  # the temporary file of a killed process


def test_new_run_writes_its_configuration(tmp_path):
    workdir = runs.begin(tmp_path / "a" / "b", CONFIG)
    expected = {"seed": 0, "epochs": 5, "shape": [28, 28, 1]}
    assert json.loads((workdir / "config.json").read_text()) == expected


def test_new_run_needs_an_empty_folder(tmp_path):
    runs.begin(tmp_path / "run", CONFIG)
    for name in ("run", "no config"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
    (tmp_path / "no run").mkdir()
    (tmp_path / "no run" / "config.json").write_text("{}")  # of another program
    holding = {"run": "checkpoints, config.json", "no config": "checkpoints"}
    for name, found in (*holding.items(), ("no run", "config.json")):
        with pytest.raises(FileExistsError) as error:
            runs.begin(tmp_path / name, CONFIG)
        expected = "workdir must be empty or missing; got"
        assert str(error.value) == f"{expected} {tmp_path / name}, which holds {found}."


def test_new_run_replaces_a_run_that_saved_nothing(tmp_path, caplog):
    for options in ({}, {"overwrite": True}):
        runs.begin(tmp_path, CONFIG)
        runs.begin(tmp_path, {"seed": 1}, **options)
        assert json.loads((tmp_path / "config.json").read_text()) == {"seed": 1}
    assert caplog.text == ""


def write_run(workdir):
    """Writes a run with a file of every kind that jaxgan writes."""
    runs.begin(workdir, CONFIG)
    runs.write_log(workdir / "metrics.jsonl", [{"epoch": 1}])
    runs.write_json(workdir / "summary.json", {"epochs": 1})
    image = np.zeros((2, 2, 1), np.uint8)
    (workdir / "frames").mkdir()
    for name in ("frames/1.png", "frames/2.png", "samples.png"):
        images.save(workdir / name, image)
    images.animate(workdir / "training.gif", sorted((workdir / "frames").iterdir()))
    adam = optax.adam(1e-3)
    state = create(
        jax.random.key(0), Pair({"w": jnp.ones(2)}, {"w": jnp.ones(2)}), Pair(adam, adam)
    )
    checkpoint.save(workdir / "checkpoints", state).result()
    saving = workdir / "checkpoints" / "7.saving" / "arrays.orbax-checkpoint-tmp"
    saving.mkdir(parents=True)  # left by a killed save
    (saving / "orbax.checkpoint").touch()
    for folder in (workdir, workdir / "frames"):
        (folder / REMNANT).write_text("{")


def contents(folder):
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in walk(folder)}


def walk(folder):
    return [path for path in folder.rglob("*") if path.name != ".lock"]


def test_overwrite_removes_all_files_of_a_run(tmp_path, caplog):
    write_run(tmp_path)
    assert len(walk(tmp_path)) > 12
    runs.begin(tmp_path, {"seed": 1}, overwrite=True)
    assert walk(tmp_path) == [tmp_path / "config.json"]
    assert json.loads((tmp_path / "config.json").read_text()) == {"seed": 1}
    removed = f"{REMNANT}, checkpoints, frames, metrics.jsonl, samples.png, summary.json"
    assert f"Removing the run in {tmp_path}: {removed}, training.gif" in caplog.text


@pytest.mark.parametrize("existing", [(), (".lock", REMNANT)], ids=["empty", "begun"])
def test_overwrite_without_a_run_begins_one(tmp_path, existing, caplog):
    for name in existing:
        (tmp_path / name).touch()
    for workdir in (tmp_path, tmp_path / "missing"):
        runs.begin(workdir, CONFIG, overwrite=True)
        assert (workdir / "config.json").exists()
    assert caplog.text == ""


def add_a_link(folder):
    (folder / "frames" / "a.png").symlink_to(folder / "samples.png")


def add_a_run(folder):
    runs.begin(folder / "evaluation", {})


def add_a_numbered_folder(folder):
    (folder / "2024").mkdir()
    (folder / "2024" / "thesis.tex").touch()


@pytest.mark.parametrize(
    ("add", "named"),
    [
        (lambda folder: (folder / "notes.txt").touch(), "notes.txt"),
        (lambda folder: (folder / "frames" / "poetry.lock").touch(), "frames/poetry.lock"),
        (lambda folder: (folder / "checkpoints" / "README").touch(), "checkpoints/README"),
        (add_a_link, "frames/a.png, a link"),
        (add_a_run, "evaluation, another run"),
        (add_a_numbered_folder, "2024/thesis.tex"),
    ],
)
def test_overwrite_rejects_folders_with_other_files(tmp_path, add, named):
    write_run(tmp_path)
    add(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match=rf"which holds {named}\. Move or delete them\."):
        runs.begin(tmp_path, CONFIG, overwrite=True)
    assert contents(tmp_path) == before


def test_overwrite_waits_for_a_save_of_this_process(tmp_path, monkeypatch):
    write_run(tmp_path)
    began, real = threading.Event(), storage.ocp.save

    def slow(path, arrays):
        began.set()
        time.sleep(0.3)
        return real(path, arrays)

    adam = optax.adam(1e-3)
    params = Pair({"w": jnp.ones(2)}, {"w": jnp.ones(2)})
    state = create(jax.random.key(0), params, Pair(adam, adam)).replace(step=jnp.int32(9))
    with monkeypatch.context() as disk:
        disk.setattr(storage.ocp, "save", slow)
        checkpoint.save(tmp_path / "checkpoints", state)
        assert began.wait(60)
        runs.begin(tmp_path, {"seed": 1}, overwrite=True)
    assert walk(tmp_path) == [tmp_path / "config.json"]


WRITES = """
import sys
from jaxgan._internal import file_lock
file_lock.acquire(sys.argv[1])
print(flush=True)
input()
"""


def test_overwrite_rejects_checkpoints_locked_by_another_process(tmp_path):
    runs.begin(tmp_path, CONFIG)
    (tmp_path / "checkpoints").mkdir()
    command = [sys.executable, "-c", WRITES, str(tmp_path / "checkpoints")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(BlockingIOError, match="checkpoints is in use by process"):
            runs.begin(tmp_path, CONFIG, overwrite=True)
        assert (tmp_path / "checkpoints").exists()
        other.communicate(b"\n")


@pytest.mark.parametrize("missing", ["config.json", ".lock"])
def test_overwrite_needs_a_run(tmp_path, missing):
    write_run(tmp_path)
    (tmp_path / missing).unlink()
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match="must be empty, missing or the folder of a run; got"):
        runs.begin(tmp_path, CONFIG, overwrite=True)
    assert contents(tmp_path) == before
    assert (tmp_path / ".lock").exists() == (missing != ".lock")


def test_corrupted_configuration_error_names_the_file(tmp_path):
    (tmp_path / "config.json").write_text('{"seed": ')
    with pytest.raises(ValueError, match=r"config\.json must be a dict in JSON; got a corrupted"):
        runs.begin(tmp_path, CONFIG, resume=True)


def test_resume_needs_a_run(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"must be the folder of a run; got .*has no config\.json"
    ):
        runs.begin(tmp_path, CONFIG, resume=True)


def test_same_or_longer_run_is_resumed(tmp_path):
    runs.begin(tmp_path, CONFIG)
    runs.begin(tmp_path, CONFIG, resume=True)
    runs.begin(tmp_path, {**CONFIG, "epochs": 9}, resume=True)
    assert json.loads((tmp_path / "config.json").read_text())["epochs"] == 9


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({**CONFIG, "seed": 1}, "seed 1, saved 0"),
        ({**CONFIG, "epochs": 4}, "epochs 4, saved 5"),
        ({**CONFIG, "loss": None}, "loss None, saved absent"),
        ({"seed": 0, "epochs": 5}, "shape absent, saved [28, 28, 1]"),
        ({**CONFIG, "seed": 1, "epochs": 4}, "epochs 4, saved 5; seed 1, saved 0"),
    ],
)
def test_different_configuration_is_rejected_and_file_is_kept(tmp_path, changed, message):
    runs.begin(tmp_path, CONFIG)
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(ValueError, match="config must") as error:
        runs.begin(tmp_path, changed, resume=True)
    assert (
        str(error.value)
        == f"config must be the saved configuration; got {message}. Use the saved values."
    )
    assert (tmp_path / "config.json").read_text() == before


def read_log(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_failed_write_keeps_the_previous_log(tmp_path, monkeypatch):
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


def test_tilde_in_a_path_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    runs.write_log("~/log.jsonl", [{"epoch": 1}])
    assert read_log(tmp_path / "log.jsonl") == [{"epoch": 1}]


@pytest.mark.parametrize("content", [b"[" * 100_000, b"[1]", b"\xff\xfe", b""])
def test_invalid_configuration_error_names_the_file(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json .*Restore it from a backup"):
        runs.begin(tmp_path, CONFIG, resume=True)


@pytest.mark.parametrize("epochs", ["null", '"five"', "[]"])
def test_non_numeric_lengths_are_compared(tmp_path, epochs):
    (tmp_path / "config.json").write_text('{"epochs": ' + epochs + "}")
    with pytest.raises(ValueError, match="got epochs 9, saved"):
        runs.begin(tmp_path, {"epochs": 9}, resume=True)


def test_run_killed_at_its_start_can_begin_again(tmp_path):
    (tmp_path / REMNANT).write_text("{")
    (tmp_path / ".lock").touch()
    runs.begin(tmp_path, CONFIG)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "config.json"]


def test_resume_removes_temporary_files_except_in_other_runs(tmp_path):
    write_run(tmp_path)
    runs.begin(tmp_path / "evaluation", {})  # its process may be writing
    kept = tmp_path / "evaluation" / REMNANT
    kept.touch()
    runs.begin(tmp_path, CONFIG, resume=True)
    assert list(tmp_path.rglob(REMNANT)) == [kept]


@pytest.mark.skipif(os.name == "nt", reason="needs links")
def test_links_with_names_of_files_do_not_change_their_targets(tmp_path):
    workdir, target = tmp_path / "run", tmp_path / "target"
    target.write_text("precious")
    runs.begin(workdir, CONFIG)
    (workdir / "config.json").unlink()
    for name in ("config.json", "config.json.tmp", "metrics.jsonl", "metrics.jsonl.tmp"):
        (workdir / name).symlink_to(target)
    runs.write_log(workdir / "metrics.jsonl", [{"epoch": 1}])
    runs.write_json(workdir / "config.json", {})
    assert target.read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "found"), [("a[1]", "["), ("a**", "**"), ("a\\b", "\\"), ("\udcff", "bytes that")]
)
@pytest.mark.skipif(os.name == "nt", reason="needs the file names of POSIX")
def test_folders_that_checkpoints_cannot_use_are_rejected(tmp_path, name, found):
    with pytest.raises(ValueError, match=re.escape(f"workdir must be a path without {found}")):
        runs.begin(tmp_path / name, CONFIG)
    assert list(tmp_path.iterdir()) == []


CIRCLE: list = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d: runs.begin(d, None), TypeError, "config must be a dict.*got None"),
        (lambda d: runs.begin(d, {"a": d}), TypeError, "config must be .*PosixPath is not JSON"),
        (lambda d: runs.begin(d, {"a": float("nan")}), ValueError, "not JSON compliant"),
        (lambda d: runs.begin(d, {}, extends=3), TypeError, "extends must be text; got 3"),
        (lambda d: runs.begin(d, {}, resume=1), TypeError, "resume must be True or False; got 1"),
        (lambda d: runs.begin(d, {}, overwrite="no"), TypeError, "overwrite must be .* got 'no'"),
        (
            lambda d: runs.begin(d, {}, resume=True, overwrite=True),
            ValueError,
            "At most one of resume and overwrite must be True; got both",
        ),
        (lambda d: runs.begin(3, {}), TypeError, "workdir must be the path .*; got 3"),
        (
            lambda d: runs.begin(d / "file", {}),
            FileExistsError,
            "must be a folder; got .*file, which is a",
        ),
        (lambda d: runs.write_log(None, []), TypeError, "path must be the path .*; got None"),
        (lambda d: runs.write_log("a\0b", []), ValueError, "path must be the path"),
        (lambda d: runs.write_log(d / "x", 3), TypeError, "records must be a list of dicts; got 3"),
        (lambda d: runs.write_log(d / "x", [3]), TypeError, r"list of dicts; got \[3\]"),
        (lambda d: runs.write_log(d / "x", [{"a": CIRCLE}]), ValueError, "Circular reference"),
        (lambda d: runs.write_json(d / "x", {"a": d}), TypeError, "contents must be numbers, text"),
        (lambda d: runs.longest_streak(None), TypeError, "flags must be numbers or bools .*None"),
        (lambda d: runs.longest_streak("abc"), TypeError, "flags must be .*abc"),
        (
            lambda d: runs.longest_streak([[1]]),
            ValueError,
            r"flags must be .* \[steps\]; got shape",
        ),
        (lambda d: runs.stop_signals("x").__enter__(), TypeError, "signals must be .* got 'x'"),
        (
            lambda d: runs.stop_signals(signal.SIGKILL).__enter__(),
            ValueError,
            "can be handled; got SIGKILL",
        ),
        (lambda d: runs.stop_signals(message=3), TypeError, "message must be text; got 3"),
    ],
)
def test_invalid_arguments_are_rejected(tmp_path, call, error, message):
    (tmp_path / "file").touch()
    with pytest.raises(error, match=message):
        call(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_non_finite_numbers_become_null(tmp_path):
    path = tmp_path / "summary.json"
    runs.write_json(path, {"kl": [float("nan"), 1.5], "message": "Infinity", "b": -float("inf")})
    assert path.read_text() == '{"kl": [null, 1.5], "message": "Infinity", "b": null}\n'
    with pytest.raises(TypeError, match="not JSON serializable"):
        runs.write_json(path, {"a": object()})
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]


HOLD = (
    "import sys; from jaxgan import runs; runs.begin(sys.argv[1], {}); print(flush=True); input()"
)


def test_run_in_use_by_another_process_is_rejected(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as first:
        assert first.stdout.readline() == "\n"
        with pytest.raises(
            BlockingIOError, match=rf"run is in use by process {first.pid} on .*Wait"
        ):
            runs.begin(tmp_path / "run", {}, resume=True)
        (tmp_path / "run" / "summary.json").touch()
        with pytest.raises(BlockingIOError, match="run is in use"):
            runs.begin(tmp_path / "run", {}, overwrite=True)
        assert (tmp_path / "run" / "summary.json").exists()
        first.kill()
    runs.begin(tmp_path / "run", {}, resume=True)  # a killed process leaves no lock behind


@pytest.mark.parametrize(
    ("flags", "longest"), [([], 0), ([0, 0], 0), ([1], 1), ([1, 0, 2, 2], 2), ([True] * 5, 5)]
)
def test_longest_streak(flags, longest):
    assert runs.longest_streak(flags) == longest


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_first_signal_is_received_and_announced(signum, capsys):
    before, handled = signal.getsignal(signum), []
    try:
        signal.signal(signum, lambda *_: handled.append(1))  # instead of ending the process
        with runs.stop_signals(message="It stops soon.") as received:
            assert received == []
            os.kill(os.getpid(), signum)
            assert (received, handled) == ([signum], [])
        os.kill(os.getpid(), signum)
        assert (received, handled) == ([signum], [1])
    finally:
        signal.signal(signum, before)
    again = "Press Ctrl-C again" if signum == signal.SIGINT else "Send a second signal"
    line = f"{signum.name} received. It stops soon. {again} to stop at once without saving."
    assert capsys.readouterr().err.split("\n") == ["", line, ""]


@pytest.mark.parametrize("signum", [signal.SIGHUP, signal.SIGINT])
def test_ignored_signals_stay_ignored_by_default(signum, capsys):
    """`nohup` ignores SIGHUP, and shells ignore SIGINT in scripts' background jobs."""
    before = signal.signal(signum, signal.SIG_IGN)
    try:
        with runs.stop_signals() as received:
            os.kill(os.getpid(), signum)
        assert signal.getsignal(signum) == signal.SIG_IGN
        assert (received, capsys.readouterr().err) == ([], "")
        with runs.stop_signals(signum) as received:
            os.kill(os.getpid(), signum)
        assert received == [signum]
    finally:
        signal.signal(signum, before)


def test_other_signals_are_not_announced(capsys):
    before, handled = signal.signal(signal.SIGUSR2, lambda *_: handled.append(1)), []
    try:
        with runs.stop_signals() as received:
            os.kill(os.getpid(), signal.SIGUSR2)
            os.kill(os.getpid(), signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert (received, handled, capsys.readouterr().err) == ([], [1, 1], "")


# The key derivation takes minutes, inside C code without the GIL, like a compilation.
BUSY = r"""
import hashlib, os, signal
from jaxgan import runs
from jaxgan._internal import signal_watch
signal_watch.REPEAT = 60.0
with runs.stop_signals():
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(0)
    print("unflushed")
    os.write(1, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


def test_second_signal_interrupts_an_interactive_session(monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with runs.stop_signals() as received:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)  # a closed terminal may send several
        assert received == [signal.SIGTERM, signal.SIGHUP]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_second_signal_ends_a_busy_process():
    command = [sys.executable, "-W", "ignore", "-c", BUSY]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as busy:
        try:
            assert busy.stdout.readline() == f"{-signal.SIGTERM}\n"  # a child has no handlers
            busy.send_signal(signal.SIGINT)
            assert busy.stderr.readline() == "\n"
            assert busy.stderr.readline().startswith("SIGINT received. The run stops after")
            busy.send_signal(signal.SIGINT)  # `timeout` sends its signal twice
            busy.send_signal(signal.SIGHUP)  # a closed terminal may send several
            with pytest.raises(subprocess.TimeoutExpired):
                busy.wait(0.2)
            busy.send_signal(signal.SIGTERM)
            assert busy.communicate(timeout=60) == ("unflushed\n", "")
        finally:
            busy.kill()
    assert busy.returncode == 128 + signal.SIGTERM
