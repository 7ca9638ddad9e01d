"""Folders of runs, JSON files and stop signals: what a script needs around its training loop."""

import contextlib
import itertools
import json
import logging
import os
import re
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks, file_lock, pending, run_layout

__all__ = ["begin", "longest_streak", "stop_signals", "write_json", "write_log"]

_logger = logging.getLogger("jaxgan")

# What a run that was killed while it began may leave.
_BEGUN = (file_lock.NAME, run_layout.CONFIG + ".tmp")
_WRITTEN = re.compile(r".*\.((json|jsonl)(\.tmp)?|png|gif)")  # the files that jaxgan writes


def begin(
    workdir: str | os.PathLike,
    config: Mapping[str, object],
    *,
    resume: bool = False,
    overwrite: bool = False,
    extends: str = "epochs",
) -> Path:
    """Opens the folder of a run, and reserves the folder for this process until the process ends.

    A new run needs an empty or missing folder, and gets a `config.json`. A resumed run must have
    the configuration in that file. With `overwrite`, a new run replaces the run in the folder:

    - The folder must hold `config.json` and `.lock`, which every run has.
    - Everything else must be of a kind that jaxgan writes: JSON, pictures (`.png`, `.gif`) and
      checkpoints. Pictures and JSON files of another origin count as the run's.
    - If the folder also holds another file, a link or another run, `begin` removes nothing and
      raises an error that names them.
    - `begin` removes files only while this process holds the folder and those of checkpoints in it,
      and logs their names. It waits for pending saves of this process.

    Args:
      workdir: the folder; made if missing.
      config: what determines the run, as JSON holds it; numbers are finite.
      resume: whether to continue the run in the folder.
      overwrite: whether to replace the run in the folder, if there is one.
      extends: the one key whose number may grow, because a larger one makes the run longer.

    Returns:
      `workdir`, as a path.

    Raises:
      BlockingIOError: If another process holds the folder.
      FileExistsError: If the folder of a new run holds something, or is a file; with `overwrite`,
        if the folder holds something else than a run.
      FileNotFoundError: If there is no run to resume.
      TypeError: If JSON cannot hold the configuration, or another argument has a wrong type.
      ValueError: If the run has another configuration; the message names the keys that differ. If
        its `config.json` is damaged, or a number of the configuration is not finite. If both
        `resume` and `overwrite` are true.

    Example:
      >>> import tempfile
      >>> from jaxgan import runs
      >>> workdir = runs.begin(tempfile.mkdtemp(), {"seed": 0, "epochs": 5})
      >>> _ = runs.begin(workdir, {"seed": 0, "epochs": 9}, resume=True)
      >>> runs.begin(workdir, {"seed": 1, "epochs": 9}, resume=True)
      Traceback (most recent call last):
      ...
      ValueError: config must be that of the run to resume; got seed 1, there 0.
    """
    workdir = checks.path("workdir", workdir)
    checks.instance("config", config, Mapping, "a dict")
    for name, value in (("resume", resume), ("overwrite", overwrite)):
        checks.boolean(name, value)
    checks.require(not (resume and overwrite), "resume and overwrite", "one of the two", "both")
    checks.text("extends", extends)
    text = checks.as_json("config", dict(config), finite=True)
    wanted = json.loads(text)  # tuples become lists, as they are when read
    _check_folder(workdir, wanted, resume, overwrite, extends)  # before the lock writes its file
    file_lock.acquire(workdir)
    replaces = _check_folder(workdir, wanted, resume, overwrite, extends)  # it may have changed
    (workdir / file_lock.NAME).touch()  # where there are no locks, it still marks a run
    if replaces:
        _remove_run(workdir)
    _replace(workdir / run_layout.CONFIG, json.dumps(wanted, indent=2) + "\n")
    return workdir


def write_log(path: str | os.PathLike, records: Sequence[Mapping[str, object]]) -> None:
    """Writes a log of JSON lines, all of them or none.

    Call it with all records so far after each new one: then a record that a full disk refused is
    written with the next one. The log is for people and plots. What a run needs to continue belongs
    into the `metadata` of its checkpoints, which are always of the same step as the state.

    Args:
      path: the log.
      records: dicts that JSON can hold, one a line.

    Raises:
      OSError: If the log cannot be written; the file stays as it was.
      TypeError: If JSON cannot hold a record.

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
    fits = isinstance(records, Sequence) and all(isinstance(x, Mapping) for x in records)
    checks.require(fits, "records", "a list of dicts", checks.show(records), error=TypeError)
    lines = [checks.as_json("records", dict(record)) + "\n" for record in records]
    _replace(path, "".join(lines))


def write_json(
    path: str | os.PathLike, contents: Mapping[str, object], indent: int | None = None
) -> None:
    """Writes a JSON file, all of it or nothing.

    Non-finite numbers become null, because JSON has no other name for them.

    Args:
      path: the file.
      contents: a dict that JSON can hold.
      indent: spaces for each level; None writes a single line.

    Raises:
      OSError: If the file cannot be written; it stays as it was.
      TypeError: If JSON cannot hold the contents.

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
    """Counts the longest run of consecutive non-zero values, such as skipped training steps.

    Args:
      flags: real numbers or bools, `[steps]`.

    Returns:
      The count, at least 0.

    Raises:
      TypeError: If the flags are something else.
      ValueError: If the flags are not `[steps]`.

    Example:
      >>> from jaxgan import runs
      >>> runs.longest_streak([0, 1, 1, 0, 2, 1, 1, 0])
      3
    """
    flags, expected = np.asarray(flags), "numbers or bools [steps]"
    is_real = flags.dtype.kind in "biuf" or not flags.size
    checks.require(is_real, "flags", expected, checks.show(flags), error=TypeError)
    checks.require(flags.ndim == 1, "flags", expected, f"shape {flags.shape}")
    groups = itertools.groupby(flags != 0)
    return max((sum(1 for _ in group) for flag, group in groups if flag), default=0)


@contextlib.contextmanager
def stop_signals(*signals: signal.Signals) -> Iterator[list[int]]:
    """Notes the first signal, so that a training loop can end well; a second one acts as before.

    Preemption sends signals too: clouds and Kubernetes send SIGTERM. Slurm sends the signal that a
    job requests, such as `--signal=B:USR1@120`, two minutes before its time is over.

    Args:
      *signals: by default SIGINT (Ctrl-C), SIGTERM and, where it exists, SIGUSR1. The second signal
        acts as before only if it is the same as the first.

    Yields:
      A list, empty until a signal comes; then it holds the signal's number.

    Raises:
      TypeError: If a signal is no `signal.Signals`.
      ValueError: If a signal cannot be handled, such as SIGKILL, or if this is not the main thread,
        which alone may handle signals.

    Example:
      >>> import os, signal
      >>> from jaxgan import runs
      >>> with runs.stop_signals() as received:
      ...     os.kill(os.getpid(), signal.SIGTERM)
      ...     bool(received)
      True
    """
    usual = ("SIGINT", "SIGTERM", "SIGUSR1")  # Windows has no SIGUSR1
    signals = signals or tuple(getattr(signal, name) for name in usual if hasattr(signal, name))
    for one in signals:
        checks.instance("signals", one, signal.Signals, "of signal.Signals")
        can_be_handled = one.name not in ("SIGKILL", "SIGSTOP")
        checks.require(can_be_handled, "signals", "signals that can be handled", one.name)
    received: list[int] = []
    previous = {signum: signal.getsignal(signum) for signum in signals}

    def note(signum: int, frame: object) -> None:
        received.append(signum)
        signal.signal(signum, previous[signal.Signals(signum)])

    for signum in signals:
        signal.signal(signum, note)
    try:
        yield received
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def _replace(path: Path, text: str) -> None:
    """Writes a file whole or not at all: to the disk first, then in the place of the old one."""
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


def _check_folder(
    workdir: Path, wanted: dict[str, object], resume: bool, overwrite: bool, extends: str
) -> bool:
    """Checks that a run may begin in a folder; returns whether it replaces another run."""
    is_file = workdir.exists() and not workdir.is_dir()
    got = f"{workdir}, which is a file"
    checks.require(not is_file, "workdir", "a folder", got, error=FileExistsError)
    if resume:
        _check_config(workdir, wanted, extends)
        return False
    found = sorted(path.name for path in workdir.iterdir()) if workdir.is_dir() else []
    there = [name for name in found if name not in _BEGUN]
    is_run = run_layout.CONFIG in there and file_lock.NAME in found
    expected = "empty, missing or the folder of a run" if overwrite else "empty or missing"
    free = not there or (overwrite and is_run)
    checks.require(free, "workdir", expected, _holding(workdir, there), error=FileExistsError)
    return bool(there)


def _check_config(workdir: Path, wanted: dict[str, object], extends: str) -> None:
    """Checks that a run can continue with a configuration."""
    path = workdir / run_layout.CONFIG
    got = f"{workdir}, which has no {run_layout.CONFIG}"
    checks.require(path.exists(), "workdir", "the folder of a run", got, error=FileNotFoundError)
    there = _read_config(path)

    def differs(key: str) -> bool:
        old, new = there.get(key), wanted.get(key)
        if key == extends and isinstance(old, int | float) and isinstance(new, int | float):
            return new < old
        return old != new or (key in there) != (key in wanted)

    got = "; ".join(
        f"{key} {wanted.get(key, 'absent')}, there {there.get(key, 'absent')}"
        for key in sorted(there.keys() | wanted.keys())
        if differs(key)
    )
    checks.require(not got, "config", "that of the run to resume", got)


def _read_config(path: Path) -> dict[str, object]:
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}. Restore a copy of it.") from error
    is_config, got = isinstance(config, dict), checks.show(config)
    checks.require(is_config, str(path), "a dict in JSON", got, "Restore a copy of it.")
    return config


def _remove_run(workdir: Path) -> None:
    """Removes what a run wrote, except its lock and its configuration, which is replaced last."""
    for lock in workdir.rglob(file_lock.NAME):
        file_lock.acquire(lock.parent)  # also of checkpoints that another process writes
    pending.wait(workdir.resolve())
    kept = (file_lock.NAME, run_layout.CONFIG)
    written = [path for path in workdir.iterdir() if path.name not in kept]
    others = [f"{path.relative_to(workdir)}{_kind(path)}" for path in _others(workdir)]
    expected = "the folder of a run, with JSON, pictures and checkpoints only"
    got, advice = _holding(workdir, others), "Move or delete them."
    checks.require(not others, "workdir", expected, got, advice, error=FileExistsError)
    names = ", ".join(sorted(path.name for path in written))
    _logger.warning("Removing the run in %s: %s", workdir, names)
    for path in written:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _others(folder: Path) -> Iterator[Path]:
    """Yields what jaxgan did not write for this run: links, other runs, files of other kinds."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or (path / run_layout.CONFIG).exists():
            yield path
        elif path.is_dir():
            yield from () if run_layout.is_whole_checkpoint(path) else _others(path)
        elif not path.is_file() or not (
            path.name == file_lock.NAME or _WRITTEN.fullmatch(path.name)
        ):
            yield path


def _kind(path: Path) -> str:
    """Names the kind of a path that keeps a run from being removed, where the name does not."""
    if path.is_symlink():
        return ", a link"
    return ", another run" if path.is_dir() else ""


def _holding(workdir: Path, names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{workdir}, which holds {', '.join(names[:3])}{more}"
