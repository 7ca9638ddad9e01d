"""A run's folder belongs to one run, and a signal ends a loop well."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jaxgan import runs

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


def test_the_log_is_read_as_far_as_the_checkpoint_knows(tmp_path):
    path = tmp_path / "log.jsonl"
    records = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": None}, {"epoch": 3, "loss": 0.1}]
    runs.write_log(path, records)
    assert [json.loads(line) for line in path.read_text().splitlines()] == records
    assert runs.read_log(path, 2) == records[:2]
    assert runs.read_log(path, 0) == []
    with pytest.raises(ValueError, match=r"should hold 4 lines or more, .*; it holds 3"):
        runs.read_log(path, 4)


def test_a_log_that_cannot_be_read(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("{}\n{oops\n")
    with pytest.raises(ValueError, match=r"log\.jsonl is damaged"):
        runs.read_log(path, 2)
    with pytest.raises(ValueError, match="num must be at least 0"):
        runs.read_log(path, -1)


def test_a_log_that_cannot_be_written_stays_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    runs.write_log(path, [{"epoch": 1}])

    def full(self, text):
        self.touch()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space left"):
            runs.write_log(path, [{"epoch": 1}, {"epoch": 2}])
    assert [file.name for file in tmp_path.iterdir()] == ["log.jsonl"]
    assert runs.read_log(path, 1) == [{"epoch": 1}]


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


def test_no_log_is_an_empty_one(tmp_path):
    assert runs.read_log(tmp_path / "log.jsonl", 0) == []


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
from jaxgan import runs
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event.endswith("cache_hits")))
folder = runs.cache_programs()
jax.jit(lambda x: x + 1)(1.0)
print(folder, sum(hits))
"""


def start(tmp_path, **changes):
    env = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "1", "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", START]
    done = subprocess.run(command, env=env | changes, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_programs_are_kept_between_starts(tmp_path):
    folder, hits = start(tmp_path)
    assert folder.startswith(str(tmp_path / "jaxgan" / "programs"))
    assert Path(folder).stat().st_mode & 0o077 == 0
    assert hits == "0"
    assert start(tmp_path) == [folder, "1"]


@pytest.mark.parametrize(
    ("changes", "folder"),
    [
        ({"JAX_ENABLE_COMPILATION_CACHE": "0"}, None),
        ({"JAX_COMPILATION_CACHE_DIR": "chosen"}, "chosen"),
        ({"XDG_CACHE_HOME": "file"}, None),
    ],
    ids=["none wanted", "another chosen", "not to be written"],
)
def test_programs_are_kept_where_the_user_wants_them(tmp_path, monkeypatch, changes, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert start(tmp_path, **changes) == [str(folder), "0"]
    assert not (tmp_path / "jaxgan").exists()
