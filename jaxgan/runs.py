"""The folder of a run, and how a run is stopped: what a script needs around its loop."""

import contextlib
import itertools
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks, file_lock

__all__ = ["begin", "longest_streak", "stop_signals", "write_json", "write_log"]

# What a run that was killed while it began may have left.
_BEGUN = (file_lock.NAME, "config.json.tmp")


def begin(
    workdir: str | os.PathLike,
    config: Mapping[str, Any],
    *,
    resume: bool = False,
    extends: str = "epochs",
) -> Path:
    """Opens the folder of a run, and makes sure that it is this run's.

    A new run gets `config.json`, in a folder that is empty or missing. A resumed one has its
    configuration held against that file. Until it ends, this process alone may open the folder.

    Args:
      workdir: the folder; made if missing.
      config: what determines the run, as JSON can hold it.
      resume: go on with the run that is there, rather than begin one.
      extends: the one key whose number may grow, because more of it only makes the run longer.

    Returns:
      `workdir`, as a path.

    Raises:
      BlockingIOError: another process has the folder open.
      FileExistsError: a new run was wanted and the folder holds something, or is a file.
      FileNotFoundError: a run was to be resumed and there is none.
      TypeError: JSON cannot hold the configuration, or an argument is of another kind than said.
      ValueError: the run there was configured otherwise, and the message names the keys that
        differ; its `config.json` is damaged; or a number of the configuration is not finite.

    Example:
      >>> import tempfile
      >>> from jaxgan import runs
      >>> workdir = runs.begin(tempfile.mkdtemp(), {"seed": 0, "epochs": 5})
      >>> _ = runs.begin(workdir, {"seed": 0, "epochs": 9}, resume=True)
      >>> runs.begin(workdir, {"seed": 1, "epochs": 9}, resume=True)
      Traceback (most recent call last):
      ...
      ValueError: Not resumed, because the run there was made otherwise. Give the options that it
      had, or choose another folder:
        seed: 0 there, 1 now
    """
    workdir = checks.path("workdir", workdir)
    if not isinstance(config, Mapping) or not isinstance(extends, str):
        raise TypeError(
            "config must be a dict, and extends one of its keys; got "
            f"{checks.show(config)} and {checks.show(extends)}."
        )
    path = workdir / "config.json"
    text = checks.as_json("config", dict(config), finite=True)
    wanted = json.loads(text)  # tuples become lists, as they will when read
    if workdir.exists() and not workdir.is_dir():
        raise FileExistsError(f"{workdir} is a file. Choose the path of a folder.")
    if resume:
        if not path.exists():
            raise FileNotFoundError(
                f"Nothing to resume: there is no {path}. Begin a run, or name the folder of one."
            )
        _check_config(_read_config(path), wanted, extends)
    elif workdir.is_dir() and any(path.name not in _BEGUN for path in workdir.iterdir()):
        raise FileExistsError(
            f"{workdir} is not empty. Resume the run that it holds, or choose another folder."
        )
    file_lock.acquire(workdir)
    _replace(path, json.dumps(wanted, indent=2) + "\n")
    return workdir


def write_log(path: str | os.PathLike, records: Sequence[Mapping[str, Any]]) -> None:
    """Writes a log of JSON lines, all of it or nothing of it.

    To be called with all records so far after each new one: a record that a full disk has refused
    is there as soon as a later one is. It is for people and plots. What a run needs to go on
    belongs into the `metadata` of its checkpoints, where it cannot be of another step.

    Args:
      path: the log.
      records: what JSON can hold, one a line.

    Raises:
      OSError: it cannot be written; what was there before stays.
      TypeError: JSON cannot hold a record.

    Example:
      >>> import pathlib, tempfile
      >>> from jaxgan import runs
      >>> log = pathlib.Path(tempfile.mkdtemp()) / "metrics.jsonl"
      >>> runs.write_log(log, [{"epoch": 1}, {"epoch": 2}])
      >>> print(log.read_text())
      {"epoch": 1}
      {"epoch": 2}
    """
    path = checks.path("path", path)
    if not isinstance(records, Sequence) or not all(isinstance(x, Mapping) for x in records):
        raise TypeError(f"records must be a list of dicts; got {checks.show(records)}.")
    lines = [checks.as_json("records", dict(record)) + "\n" for record in records]
    _replace(path, "".join(lines))


def write_json(
    path: str | os.PathLike, contents: Mapping[str, Any], indent: int | None = None
) -> None:
    """Writes figures to a file of JSON, all of it or nothing of it.

    Numbers that are not finite become null, because JSON has no other name for them.

    Args:
      path: the file.
      contents: what JSON can hold.
      indent: spaces a level, for people to read; by default all is on one line.

    Raises:
      OSError: it cannot be written; what was there before stays.
      TypeError: JSON cannot hold the contents.

    Example:
      >>> import pathlib, tempfile
      >>> from jaxgan import runs
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "summary.json"
      >>> runs.write_json(path, {"modes": 0, "kl": float("inf")})
      >>> print(path.read_text())
      {"modes": 0, "kl": null}
    """
    text = checks.as_json("contents", contents)
    finite = json.loads(text, parse_constant=lambda constant: None)
    _replace(checks.path("path", path), json.dumps(finite, indent=indent) + "\n")


def longest_streak(flags: ArrayLike) -> int:
    """Counts the longest run of consecutive non-zero values, as of steps that were skipped.

    Args:
      flags: numbers or bools, `[steps]`.

    Returns:
      At least 0.

    Raises:
      TypeError: they are no numbers.
      ValueError: they are not `[steps]`.

    Example:
      >>> from jaxgan import runs
      >>> runs.longest_streak([0, 1, 1, 0, 2, 1, 1, 0])
      3
    """
    flags = np.asarray(flags)
    if flags.dtype.kind not in "biuf" and flags.size:
        raise TypeError(f"flags must be numbers or bools [steps]; got {checks.show(flags)}.")
    if flags.ndim != 1:
        raise ValueError(f"flags must be [steps]; got shape {flags.shape}. Ravel them first.")
    groups = itertools.groupby(flags != 0)
    return max((sum(1 for _ in group) for flag, group in groups if flag), default=0)


@contextlib.contextmanager
def stop_signals(*signals: signal.Signals) -> Iterator[list[int]]:
    """Within it, the first signal is only noted, so that the loop can end well; a second one kills.

    Preemption is announced by signals too: clouds and Kubernetes send SIGTERM, and Slurm what it is
    asked for, such as `--signal=B:USR1@120`, two minutes before the time is over.

    Args:
      *signals: which; by default SIGINT (Ctrl-C), SIGTERM and, where there is one, SIGUSR1. The
        second must be the same again.

    Yields:
      A list, empty until a signal comes; then it holds its number.

    Raises:
      TypeError: one is no signal.
      ValueError: one cannot be handled, as SIGKILL; or this is not the main thread, the only one
        that may handle signals.

    Example:
      >>> import os, signal
      >>> from jaxgan import runs
      >>> with runs.stop_signals() as received:
      ...     os.kill(os.getpid(), signal.SIGTERM)
      ...     bool(received)
      True
    """
    usual = ("SIGINT", "SIGTERM", "SIGUSR1")  # the last not on Windows
    signals = signals or tuple(getattr(signal, name) for name in usual if hasattr(signal, name))
    for one in signals:
        if not isinstance(one, signal.Signals):
            raise TypeError(f"signals must be of signal.Signals; got {checks.show(one)}.")
        if one in (getattr(signal, "SIGKILL", None), getattr(signal, "SIGSTOP", None)):
            raise ValueError(f"{one.name} cannot be handled; choose another signal.")
    received: list[int] = []

    def note(signum: int, frame: object) -> None:
        received.append(signum)
        signal.signal(signum, previous[signum])

    previous: dict[int, Any] = {signum: signal.signal(signum, note) for signum in signals}
    try:
        yield received
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def _replace(path: Path, text: str) -> None:
    """Writes a file whole or not at all, and on the disk before it takes the other one's place."""
    partial = path.with_name(path.name + ".tmp")
    try:
        with partial.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _read_config(path: Path) -> dict[str, Any]:
    advice = "Restore a copy of it, or begin anew in another folder."
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}. {advice}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} is damaged: it is {checks.show(config)}, no dict. {advice}")
    return config


def _check_config(there: dict[str, Any], now: dict[str, Any], extends: str) -> None:
    def differs(key: str) -> bool:
        if key not in there or key not in now:
            return True
        old, new = there[key], now[key]
        if key == extends and isinstance(old, int | float) and isinstance(new, int | float):
            return new < old
        return old != new

    lines = [
        f"  {key}: {there.get(key, 'absent')} there, {now.get(key, 'absent')} now"
        for key in sorted(there.keys() | now.keys())
        if differs(key)
    ]
    if lines:
        heading = (
            "Not resumed, because the run there was made otherwise. Give the options that it had, "
            "or choose another folder:"
        )
        raise ValueError("\n".join([heading, *lines]))
