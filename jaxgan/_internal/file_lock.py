"""Locks a folder for one process, because two writing processes would corrupt a run."""

import contextlib
import os
import socket
import threading
from pathlib import Path

from jaxgan._internal import checks

try:
    import fcntl
except ImportError:  # on Windows, where `acquire` takes no lock
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"

_threads = threading.Lock()  # two threads must not open the same lock file
_held: dict[Path, int] = {}  # file descriptors; a lock lasts as long as its descriptor is open


def acquire(directory: str | os.PathLike) -> None:
    """Locks a folder for this process until the process ends.

    The operating system releases the lock when the process ends, even if it is killed. A process
    can acquire the same folder repeatedly.

    Args:
      directory: the folder; created if missing.

    Raises:
      BlockingIOError: If another process holds the lock; the message names that process.
      OSError: If the folder cannot be created or written.
      TypeError: If `directory` is not a path.
      ValueError: If `directory` is not a valid folder name.

    Example:
      >>> import tempfile
      >>> from jaxgan._internal import file_lock
      >>> file_lock.acquire(tempfile.mkdtemp())
    """
    directory = checks.path("directory", directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / NAME
    with _threads:
        if fcntl is not None and not _is_held(path):
            _open(directory, path)


def _open(directory: Path, path: Path) -> None:
    no_links = getattr(os, "O_NOFOLLOW", 0)  # a symbolic link could point to any file
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | no_links, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 200).decode(errors="replace") or "another process"
        os.close(descriptor)
        if not isinstance(error, BlockingIOError):
            return  # some network file systems do not support locks
        advice = "Wait until it ends, stop it, or choose another folder."
        raise BlockingIOError(f"{directory} is in use by {holder}. {advice}") from error
    _held[path] = descriptor
    with contextlib.suppress(OSError):  # on a full disk, the file stays empty
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())


def _is_held(path: Path) -> bool:
    """Returns whether this process holds the lock of the file that is now at this path."""
    if path not in _held:
        return False
    try:
        if os.path.samestat(os.fstat(_held[path]), path.stat()):
            return True
    except OSError:  # the folder was deleted
        pass
    os.close(_held.pop(path))
    return False


def _forget() -> None:
    """Closes the descriptors in a forked child, so that only the parent holds the locks."""
    global _threads
    _threads = threading.Lock()  # another thread of the parent may hold it
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
