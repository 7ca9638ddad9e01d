"""Writes checkpoints under a temporary name, reads them back, and then renames them.

Only folders that jaxgan wrote are deleted, because a user may keep other numbered folders in the
same place. Corrupted checkpoints are renamed to `N.damaged`, because they may be readable later.
"""

import os
import shutil
import time
from pathlib import Path

import numpy as np
from orbax.checkpoint import v1 as ocp

from jaxgan._internal import checks, run_layout
from jaxgan.checkpoint import _arrays as arrays
from jaxgan.checkpoint import _manifest as manifest
from jaxgan.checkpoint._arrays import ArraySpec, HostArray
from jaxgan.checkpoint._manifest import DamagedCheckpointError, Header, Manifest

Directory = str | os.PathLike

_QUIET_SECONDS = 0.5  # time without a new file, after which a failed save counts as removed
_MAX_WAIT_SECONDS = 10.0  # for a failed save to be removed


def absolute(directory: Directory) -> Path:
    """Checks the folder of a run, and returns the absolute path, which Orbax needs.

    Raises:
      TypeError: If the directory is not a path.
      ValueError: If the path is not on this machine.
    """
    folder = checks.path("directory", directory)
    is_local = "://" not in str(directory)
    checks.require(is_local, "directory", "a folder on this machine", checks.show(str(directory)))
    return folder.absolute()


def steps(folder: Path) -> list[int]:
    """Lists the steps that have a folder, oldest first, without verifying them."""
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    numbers = [name for name in names if name.isascii() and name.isdecimal()]
    return sorted(int(name) for name in numbers if name == str(int(name)))  # jaxgan writes no "007"


def verify(checkpoint: Path) -> Manifest:
    """Reads the manifest, and verifies the digests of all files and arrays.

    Raises:
      DamagedCheckpointError: If a file or array is missing or corrupted.
      ValueError: If the checkpoint has another format.
    """
    contents = manifest.verify(checkpoint)
    load(checkpoint, contents["leaves"])
    return contents


def load(checkpoint: Path, specs: dict[str, ArraySpec]) -> dict[str, np.ndarray]:
    """Reads arrays, and verifies their digests.

    Raises:
      DamagedCheckpointError: If an array cannot be read, or differs from the saved array.
    """
    context = ocp.Context()
    context.pytree.loading.partial_load = True
    try:
        loaded = {name: arrays.empty(spec) for name, spec in specs.items()}
        filled = {name: array for name, array in loaded.items() if array.size}
        with context:
            loaded |= ocp.load(checkpoint / run_layout.ARRAYS, filled) if filled else {}
    except Exception as error:  # Orbax raises many types of errors for corrupted files
        raise DamagedCheckpointError(f"Orbax cannot read the arrays ({error})") from error
    for name, data in loaded.items():
        intact = arrays.digest(data) == specs[name]["sha256"]
        manifest.require_intact(intact, f"{name} differs from the saved values")
    return loaded


def write(folder: Path, leaves: dict[str, HostArray], header: Header) -> None:
    """Writes a checkpoint. A failed write leaves existing checkpoints unchanged.

    Raises:
      OSError: If the checkpoint cannot be written, or differs when it is read back.
    """
    step = header["step"]
    staging, place = folder / f"{step}.saving", folder / str(step)
    try:
        _remove_remnants(folder)
        staging.mkdir(parents=True)  # Orbax may hang if it cannot create a folder
        filled = {name: leaf.data for name, leaf in leaves.items() if leaf.data.size}
        ocp.save(staging / run_layout.ARRAYS, filled)  # Orbax rejects empty arrays
        specs = {name: arrays.describe(leaf) for name, leaf in leaves.items()}
        manifest.write(staging, header, specs)
        verify(staging)  # before `prune` deletes older checkpoints
        for later in (number for number in steps(folder) if number >= step):
            set_aside(folder / str(later))
        staging.rename(place)
        manifest.sync_folder(folder)
    except Exception as error:
        _remove_staging(staging)
        raise OSError(
            f"Step {step} could not be saved in {folder}: {error}. Check that the disk has space "
            f"and the folder is writable. Earlier checkpoints remain: {steps(folder)}."
        ) from error


def prune(folder: Path, keep: int, keep_every: int | None) -> None:
    """Deletes all checkpoints except the newest `keep` and the multiples of `keep_every`.

    Raises:
      OSError: If a checkpoint cannot be deleted.
    """
    ours = [step for step in steps(folder) if run_layout.is_checkpoint(folder / str(step))]
    for old in ours[:-keep]:
        if keep_every is None or old % keep_every:
            renamed = folder / f"{old}.deleting"  # so that a folder named N is always complete
            try:
                (folder / str(old)).rename(renamed)
                shutil.rmtree(renamed)
            except OSError as error:
                raise OSError(
                    f"Step {ours[-1]} is saved in {folder}, but step {old} could not be deleted: "
                    f"{error}. Delete step {old} manually."
                ) from error


def set_aside(checkpoint: Path) -> None:
    """Renames a corrupted checkpoint `N` to `N.damaged`, replacing an older `N.damaged`."""
    aside = checkpoint.with_name(checkpoint.name + ".damaged")
    if aside.is_dir():
        shutil.rmtree(aside)
    checkpoint.rename(aside)


def _remove_remnants(folder: Path) -> None:
    """Removes the folders that killed saves left behind."""
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        if run_layout.REMNANT.fullmatch(path.name) and path.is_dir():
            shutil.rmtree(path)


def _remove_staging(staging: Path) -> None:
    """Removes the files of a failed save, until no new files appear.

    Threads of Orbax and TensorStore cannot be joined, and may write after the error. The next save
    removes files that appear even later.
    """
    start = quiet_since = time.monotonic()
    while (now := time.monotonic()) < min(start + _MAX_WAIT_SECONDS, quiet_since + _QUIET_SECONDS):
        if staging.exists():
            shutil.rmtree(staging, ignore_errors=True)
            quiet_since = now
        time.sleep(0.05)
