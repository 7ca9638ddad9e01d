"""Opens the folder of a run, and checks or removes what the folder contains."""

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from jaxgan._internal import checks, file_lock, pending, processes, run_layout, whole_file
from jaxgan.runs._records import write_text

_logger = logging.getLogger("jaxgan")

_REMNANT = whole_file.REMNANT.pattern
# These files may remain if a process was killed during `begin`.
_BEGUN = re.compile(rf"{re.escape(file_lock.NAME)}|{_REMNANT}")
_WRITTEN = re.compile(rf".*\.(json|jsonl|png|gif)|{_REMNANT}")  # names of files that jaxgan writes


def begin(
    workdir: str | os.PathLike,
    config: Mapping[str, object],
    *,
    resume: bool = False,
    overwrite: bool = False,
    extends: str = "epochs",
) -> Path:
    """Starts or resumes a run in a folder, and locks the folder until the process ends.

    A new run needs an empty or missing folder. `begin` saves the configuration in `config.json`. If
    the folder contains only the `config.json` and `.lock` of a run, the run has saved nothing, and
    a new run replaces it.

    A resumed run must have the saved configuration; only the number at the key `extends` may
    increase. A run without checkpoints starts at its first step.

    With `overwrite`, a new run replaces the run in the folder:

    - The folder must contain `config.json` and `.lock`. Every run creates both files.
    - All other files must be of a kind that jaxgan writes: JSON, pictures (`.png`, `.gif`) and
      checkpoints. `begin` also removes JSON files and pictures from other programs.
    - If the folder contains another kind of file, a link or another run, `begin` removes nothing
      and raises an error that names them.
    - Before `begin` removes files, it locks the folder and its checkpoint folders. It waits for
      pending saves of this process, and logs the names of the removed files.

    In a run of several processes, all processes call `begin`. Process 0 alone locks and writes the
    folder, and its errors are raised in all processes. The processes compare their options and
    configurations. Put a digest of the data into `config`, so that they compare the data, too.

    Args:
      workdir: the folder of the run; created if missing.
      config: a JSON-serializable dict of the options that determine the run. Numbers must be
        finite.
      resume: whether to continue the run in the folder.
      overwrite: whether to replace the run in the folder, if there is one.
      extends: the key in `config` that sets the length of the run, such as the number of epochs. A
        resumed run may increase its value.

    Returns:
      `workdir` as a `pathlib.Path`.

    Raises:
      BlockingIOError: If another process has locked the folder.
      FileExistsError: If the folder of a new run is a file or contains other files; with
        `overwrite`, if the folder contains anything other than a run.
      FileNotFoundError: If there is no run to resume.
      TypeError: If `config` is not JSON-serializable, or another argument has the wrong type.
      TimeoutError: If another process does not call `begin` within ten minutes.
      ValueError: If `config` differs from the saved configuration, or between processes (the
        message names the keys). If `config` contains a non-finite number, or `config.json` is
        corrupted. If both `resume` and `overwrite` are true. If checkpoints cannot use the folder,
        because its path contains "[", "**" or a backslash, or is not UTF-8.

    Example:
      >>> import tempfile
      >>> from jaxgan import runs
      >>> workdir = runs.begin(tempfile.mkdtemp(), {"seed": 0, "epochs": 5})
      >>> _ = runs.begin(workdir, {"seed": 0, "epochs": 9}, resume=True)
      >>> runs.begin(workdir, {"seed": 1, "epochs": 9}, resume=True)
      Traceback (most recent call last):
      ...
      ValueError: config must be the saved configuration; got seed 1, saved 0. Use the saved values.
    """
    workdir = checks.path("workdir", workdir)
    checks.instance("config", config, Mapping, "a dict")
    for option, value in (("resume", resume), ("overwrite", overwrite)):
        checks.boolean(option, value)
    name = "At most one of resume and overwrite"
    checks.require(not (resume and overwrite), name, "True", "both")
    checks.text("extends", extends)
    run_layout.check_name("workdir", workdir.resolve())  # before the first checkpoint
    text = checks.as_json("config", dict(config), finite=True)
    wanted = json.loads(text)  # tuples become lists, as in the saved configuration
    advice = "Start all processes with the same options and data."
    options = {"resume": resume, "overwrite": overwrite, "extends": extends}
    processes.require_same("The options of begin", options, "runs.begin", advice)
    processes.require_same("config", wanted, "runs.begin", advice)
    open_folder = lambda: _open_folder(workdir, wanted, resume, overwrite, extends)
    processes.first("runs.begin", open_folder)
    return workdir


def _open_folder(
    workdir: Path, wanted: dict[str, object], resume: bool, overwrite: bool, extends: str
) -> None:
    _check_folder(workdir, wanted, resume, overwrite, extends)  # before the lock writes a file
    file_lock.acquire(workdir)
    # The folder may have changed before the lock was acquired.
    replaces = _check_folder(workdir, wanted, resume, overwrite, extends)
    (workdir / file_lock.NAME).touch()  # also marks a run on systems without locks
    if replaces:
        _remove_run(workdir)
    _remove_remnants(workdir)
    write_text(workdir / run_layout.CONFIG, json.dumps(wanted, indent=2) + "\n")


def _check_folder(
    workdir: Path, wanted: dict[str, object], resume: bool, overwrite: bool, extends: str
) -> bool:
    """Checks that a run may begin in a folder, and returns whether the run replaces another."""
    is_file = workdir.exists() and not workdir.is_dir()
    got = f"{workdir}, which is a file"
    checks.require(not is_file, "workdir", "a folder", got, error=FileExistsError)
    if resume:
        _check_config(workdir, wanted, extends)
        return False
    found = sorted(path.name for path in workdir.iterdir()) if workdir.is_dir() else []
    there = [name for name in found if not _BEGUN.fullmatch(name)]
    saved = [name for name in there if name != run_layout.CONFIG]
    is_run = run_layout.CONFIG in there and file_lock.NAME in found
    expected = "empty, missing or the folder of a run" if overwrite else "empty or missing"
    free = not there or (is_run and (overwrite or not saved))
    checks.require(free, "workdir", expected, _holding(workdir, there), error=FileExistsError)
    return bool(saved)


def _check_config(workdir: Path, wanted: dict[str, object], extends: str) -> None:
    """Checks that a run can continue with a configuration."""
    path = workdir / run_layout.CONFIG
    got = f"{workdir}, which has no {run_layout.CONFIG}"
    checks.require(path.exists(), "workdir", "the folder of a run", got, error=FileNotFoundError)
    saved = _read_config(path)

    def differs(key: str) -> bool:
        old, new = saved.get(key), wanted.get(key)
        if key == extends and isinstance(old, int | float) and isinstance(new, int | float):
            return new < old
        return old != new or (key in saved) != (key in wanted)

    got = "; ".join(
        f"{key} {wanted.get(key, 'absent')}, saved {saved.get(key, 'absent')}"
        for key in sorted(saved.keys() | wanted.keys())
        if differs(key)
    )
    checks.require(not got, "config", "the saved configuration", got, "Use the saved values.")


def _read_config(path: Path) -> dict[str, object]:
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        got = f"a corrupted file: {error}. Restore it from a backup."
        raise ValueError(f"{path} must be a dict in JSON; got {got}") from error
    is_config, got = isinstance(config, dict), checks.show(config)
    checks.require(is_config, str(path), "a dict in JSON", got, "Restore it from a backup.")
    return config


def _remove_run(workdir: Path) -> None:
    """Removes the files of a run, except its lock and the configuration, which `begin` replaces."""
    for lock in workdir.rglob(file_lock.NAME):
        file_lock.acquire(lock.parent)  # fails if another process writes a checkpoint
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


def _remove_remnants(folder: Path) -> None:
    """Removes the temporary files of killed processes, also in folders without their own lock."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            if not (path / file_lock.NAME).exists():  # else another process may write there
                _remove_remnants(path)
        elif whole_file.REMNANT.fullmatch(path.name):
            path.unlink()


def _others(folder: Path) -> Iterator[Path]:
    """Yields the paths that jaxgan did not write for this run: links, other runs, other files."""
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
    """Describes a link or another run, for an error message."""
    if path.is_symlink():
        return ", a link"
    return ", another run" if path.is_dir() else ""


def _holding(workdir: Path, names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{workdir}, which holds {', '.join(names[:3])}{more}"
