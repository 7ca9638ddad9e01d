"""Work in progress on a folder, for functions that remove the folder's files."""

from collections.abc import Callable
from pathlib import Path

_waits: list[Callable[[Path], None]] = []


def register(wait: Callable[[Path], None]) -> None:
    """Registers a function that waits until nothing of this process writes below a folder.

    Args:
      wait: `(folder) -> None`.
    """
    _waits.append(wait)


def wait(folder: Path) -> None:
    """Waits until nothing of this process writes below a folder.

    Args:
      folder: an absolute path without links.
    """
    for one in _waits:
        one(folder)
