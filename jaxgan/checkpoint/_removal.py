"""Removes folders that jaxgan wrote, and no others.

A user may keep other numbered folders in the same place, and may add files to a checkpoint.
"""

import contextlib
import itertools
import os
import secrets
import shutil
import time
from pathlib import Path, PurePosixPath

from jaxgan._internal import run_layout
from jaxgan.checkpoint import _manifest as manifest

_QUIET_SECONDS = 0.5  # time without a new file, after which a failed save counts as removed
_MAX_WAIT_SECONDS = 10.0  # for a failed save to be removed


def has_only_our_files(checkpoint: Path) -> bool:
    """Returns whether a checkpoint has no other files, folders or links than jaxgan wrote."""
    try:
        files = {*manifest.read(checkpoint)["files"], manifest.NAME, run_layout.MARK}
    except ValueError:  # a corrupted manifest lists no files
        return run_layout.is_whole_checkpoint(checkpoint)
    folders = {parent.as_posix() for name in files for parent in PurePosixPath(name).parents}
    folders.add(run_layout.ARRAYS)
    try:
        for path in manifest.walk(checkpoint):
            is_folder = path.is_dir() and not path.is_symlink()
            if path.relative_to(checkpoint).as_posix() not in (folders if is_folder else files):
                return False
    except OSError:  # a folder that cannot be listed may hold files of the user
        return False
    return True


def delete(checkpoint: Path) -> None:
    """Deletes a folder with jaxgan's mark."""
    # The renaming makes a folder named N complete or absent.
    name = f"{checkpoint.name.split('.')[0]}.{secrets.token_hex(4)}.deleting"
    _remove(checkpoint.rename(checkpoint.with_name(name)))


def free_name(aside: Path) -> Path:
    """Returns a free name for a corrupted checkpoint, and deletes an older one of jaxgan."""
    if run_layout.is_checkpoint(aside) and has_only_our_files(aside):
        delete(aside)
    numbered = (aside.with_name(f"{aside.name}.{i}") for i in itertools.count(2))
    names = itertools.chain([aside], numbered)
    return next(path for path in names if not os.path.lexists(path))


def remove_remnants(folder: Path) -> None:
    """Removes the folders that killed saves left behind."""
    paths = list(folder.iterdir()) if folder.is_dir() else []
    for path in (path for path in paths if run_layout.REMNANT.fullmatch(path.name)):
        if run_layout.is_checkpoint(path):
            delete(path)
        else:  # a save that was killed before it wrote the mark leaves an empty folder
            with contextlib.suppress(OSError):
                path.rmdir()


def remove_failed_save(staging: Path) -> None:
    """Removes the files of a failed save, until no new files appear.

    Threads of Orbax and TensorStore cannot be joined, and may write after the error. The next save
    removes files that appear even later.
    """
    start = quiet_since = time.monotonic()
    while (now := time.monotonic()) < min(start + _MAX_WAIT_SECONDS, quiet_since + _QUIET_SECONDS):
        if staging.exists():
            with contextlib.suppress(OSError):
                _remove(staging)
            quiet_since = now
        time.sleep(0.05)


def _remove(folder: Path) -> None:
    """Removes a folder, its marks last, so that the next save finds them after a kill."""
    marks = (run_layout.MARK, run_layout.MANIFEST)
    for path in (path for path in list(folder.iterdir()) if path.name not in marks):
        is_folder = path.is_dir() and not path.is_symlink()
        shutil.rmtree(path) if is_folder else path.unlink()
    shutil.rmtree(folder)
