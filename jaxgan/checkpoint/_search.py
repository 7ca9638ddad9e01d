"""Finds the newest checkpoint that all processes can read."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from jaxgan._internal import checks, processes, run_layout
from jaxgan.checkpoint import _storage as storage
from jaxgan.checkpoint._manifest import DamagedCheckpointError

T = TypeVar("T")


def newest_intact(name: str, folder: Path, step: int | None, read: Callable[[Path], T]) -> T:
    """Reads the newest checkpoint that is intact in all processes.

    Warns about newer corrupted ones.

    Args:
      name: the public function that the user called, for errors.
      folder: the run's folder of checkpoints.
      step: the step to read; by default the newest intact one.
      read: reads a checkpoint, without the other processes.
    """
    problems: dict[str, str] = {}
    list_names = lambda: [path.name for path in candidates(folder, step)]

    def warn(number: str) -> None:
        corrupted = [text for name, text in problems.items() if (folder / name).exists()]
        if corrupted and processes.is_first():
            used = f"{folder} has corrupted checkpoints. Using step {number} instead of"
            warnings.warn("\n  ".join([used, *corrupted]), stacklevel=4)

    # Another process may delete a checkpoint, and save a newer one.
    while untried := [x for x in processes.first(name, list_names) if x not in problems]:
        attempt = _Attempt(folder / untried[0], read)
        try:
            reports = processes.gather(name, attempt)
        except ValueError:  # the checkpoint is intact, but does not match the request
            warn(untried[0])
            raise
        if found := [f"{text}{_in_process(i)}" for i, text in enumerate(reports) if text]:
            problems[untried[0]] = f"step {untried[0]}: {found[0]}"
        else:
            warn(untried[0])
            return attempt.result
    first = f"Every checkpoint tried in {folder} is corrupted. Restore one from a backup."
    raise DamagedCheckpointError("\n  ".join([first, *problems.values()]))


def candidates(folder: Path, step: int | None) -> list[Path]:
    """Lists the checkpoints to try: the one of `step`, or all, newest first."""
    if step is not None:
        checks.integer("step", step, 0)
    found = storage.steps(folder)
    if not found:
        raise FileNotFoundError(f"{folder} has no checkpoints. {_advise(folder)}")
    if step not in (None, *found):
        advice = f"Choose one of the steps {found}."
        raise FileNotFoundError(f"{folder} has no checkpoint of step {step}. {advice}")
    return [folder / str(number) for number in (reversed(found) if step is None else [step])]


class _Attempt(Generic[T]):
    """Reads a checkpoint when called. Keeps the result, and returns a description of damage."""

    result: T

    def __init__(self, checkpoint: Path, read: Callable[[Path], T]):
        self._checkpoint, self._read = checkpoint, read

    def __call__(self) -> str | None:
        if not (processes.is_first() or self._checkpoint.is_dir()):
            expected, got = "a folder that all processes share", f"none{_in_process()}"
            checks.require(False, f"{self._checkpoint}", expected, got, error=FileNotFoundError)
        try:
            self.result = self._read(self._checkpoint)
        except DamagedCheckpointError as error:
            return str(error)
        return None


def _in_process(index: int | None = None) -> str:
    """Names a process in an error, except process 0, which may be the only one."""
    number = processes.index() if index is None else index
    return f" in process {number}" if number else ""


def _advise(folder: Path) -> str:
    """Names the folder of checkpoints near one without: that of a run, or of a checkpoint."""
    if run_layout.is_checkpoint(folder):
        return f"Pass {folder.parent}."
    inner = folder / "checkpoints"
    return f"Pass {inner}." if storage.steps(inner) else "Check the path."
