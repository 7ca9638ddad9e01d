"""Writes checkpoints in a background thread, one after the other.

The module keeps the newest save of each folder. The next save in that folder waits for it, and so
does the program before it exits. Both report an error that the caller has not handled.
"""

import functools
import os
import threading
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from jaxgan._internal import pending, processes, stderr
from jaxgan.checkpoint import _storage as storage
from jaxgan.checkpoint._arrays import HostArray
from jaxgan.checkpoint._manifest import Header


class SaveHandle:
    """Represents a save in progress. The save uses a copy, so the state can be donated."""

    def __init__(self, future: Future[None]):
        self._future = future
        self._reported = False

    def result(self) -> None:
        """Waits until the checkpoint is complete on disk.

        Raises:
          OSError: If the checkpoint cannot be written. Earlier checkpoints remain.
        """
        self._reported = True
        self._future.result()

    def exception(self) -> BaseException | None:
        """Waits for the end of the save, and returns its error, if any, without raising it."""
        self._reported = True
        return self._future.exception()


_executor = ThreadPoolExecutor(1, "jaxgan-checkpoint")
_newest: dict[Path, SaveHandle] = {}  # by folder


def submit(
    folder: Path, leaves: dict[str, HostArray], header: Header, keep: int, keep_every: int | None
) -> SaveHandle:
    """Starts to write a checkpoint from copies in host memory, and returns immediately.

    Process 0 writes. The handles of all processes report its error.
    """
    write = functools.partial(_write, folder, leaves, header, keep, keep_every)
    saving = SaveHandle(_executor.submit(processes.outcome, processes.new_key(), write))
    _newest[folder] = saving
    return saving


def wait(folder: Path, *, stacklevel: int = 2) -> None:
    """Waits for the newest save of a folder, and warns about an unhandled error.

    Args:
      folder: the run's folder of checkpoints.
      stacklevel: the number of stack frames from this function to the user's call.
    """
    if folder in _newest and (error := _unreported(_newest[folder])):
        warnings.warn(f"NOT SAVED: {error}", stacklevel=stacklevel + 1)


def _wait_below(folder: Path) -> None:
    """Waits for the saves of all folders below a folder that will be removed."""
    for place in [place for place in _newest if place.resolve().is_relative_to(folder)]:
        wait(place)
        del _newest[place]


def _write(
    folder: Path, leaves: dict[str, HostArray], header: Header, keep: int, keep_every: int | None
) -> None:
    storage.write(folder, leaves, header)
    storage.prune(folder, keep, keep_every)


def _unreported(saving: SaveHandle) -> BaseException | None:
    """Waits for a save, and returns the error unless it was already reported."""
    reported, error = saving._reported, saving.exception()
    return None if reported else error


def _finish() -> None:
    """Waits for all saves before the interpreter exits, and prints unhandled errors."""
    for saving in _newest.values():
        if error := _unreported(saving):
            stderr.write(f"NOT SAVED: {error}")


def _reset() -> None:
    """Clears the saves in a forked child, which does not inherit its parent's threads."""
    global _executor
    _executor = ThreadPoolExecutor(1, "jaxgan-checkpoint")
    _newest.clear()


pending.register(_wait_below)

# `atexit` would run `_finish` too late, when Orbax can no longer start threads.
if hasattr(threading, "_register_atexit"):
    threading._register_atexit(_finish)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset)
