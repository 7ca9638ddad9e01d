"""Waits for work in progress on a folder, before the folder's files are removed."""

from collections.abc import Callable
from pathlib import Path

_waits: list[Callable[[Path], None]] = []


def register(wait: Callable[[Path], None]) -> None:
    """Registers a function that waits until this process has stopped writing below a folder.

    Args:
      wait: `(folder) -> None`.
    """
    _waits.append(wait)


def wait(folder: Path) -> None:
    """Waits until this process has stopped writing below a folder.

    Args:
      folder: an absolute path without symbolic links.
    """
    for registered in _waits:
        registered(folder)
