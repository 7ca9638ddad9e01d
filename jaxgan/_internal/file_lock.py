"""One process a folder: two that write to one run would destroy it."""

import contextlib
import os
import socket
from pathlib import Path

from jaxgan._internal import checks

try:
    import fcntl
except ImportError:  # Windows, where nothing is refused
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"

_held: dict[Path, int] = {}  # file descriptors, which hold the locks for as long as they are open


def acquire(directory: str | os.PathLike) -> None:
    """Reserves a folder for this process, until it ends, however it ends.

    The operating system keeps the lock, so that a killed process leaves none behind. In one process
    a folder can be held any number of times.

    Args:
      directory: made if missing.

    Raises:
      BlockingIOError: another process holds it; the message names that process.
      OSError: the folder cannot be made or written.
      TypeError, ValueError: it is no path.

    Example:
      >>> import tempfile
      >>> from jaxgan._internal import file_lock
      >>> file_lock.acquire(tempfile.mkdtemp())
    """
    directory = checks.path("directory", directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / NAME
    if fcntl is None or _is_held(path):
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 200).decode(errors="replace") or "another process"
        os.close(descriptor)
        if not isinstance(error, BlockingIOError):
            return  # some network file systems know no locks
        raise BlockingIOError(
            f"{directory} is in use by {holder}. Wait until it has ended or stop it, or choose "
            "another folder."
        ) from error
    _held[path] = descriptor
    with contextlib.suppress(OSError):  # on a full disk it is held all the same, without a name
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())


def _is_held(path: Path) -> bool:
    """Whether this process holds it, and not one of the same name that was there before."""
    if path not in _held:
        return False
    try:
        if os.path.samestat(os.fstat(_held[path]), path.stat()):
            return True
    except OSError:  # the folder was deleted, and made anew
        pass
    os.close(_held.pop(path))
    return False


def _forget() -> None:
    """In a forked child: the lock is its parent's, and must not outlive it."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
