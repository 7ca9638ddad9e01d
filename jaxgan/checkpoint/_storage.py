"""Writes checkpoints under a temporary name, reads them back, and then renames them.

Corrupted checkpoints are renamed to `N.damaged`, because they may be readable later.
"""

import contextlib
import itertools
import os
import secrets
import threading
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp_v0
from orbax.checkpoint import v1 as ocp

from jaxgan._internal import checks, processes, run_layout
from jaxgan.checkpoint import _arrays as arrays
from jaxgan.checkpoint import _manifest as manifest
from jaxgan.checkpoint import _removal as removal
from jaxgan.checkpoint._arrays import ArraySpec, HostArray
from jaxgan.checkpoint._manifest import DamagedCheckpointError, Header, Manifest

Directory = str | os.PathLike

_orbax = threading.Lock()  # Orbax numbers the operations of a process, and confuses two at a time
_verified: dict[Path, tuple] = {}  # the sizes and times of the files of verified checkpoints


def absolute(directory: Directory) -> Path:
    """Checks the folder of a run, and returns the absolute path without links.

    Raises:
      TypeError: If the directory is not a path.
      ValueError: If Orbax cannot use the path.
    """
    folder = checks.path("directory", directory)
    is_local = "://" not in str(directory)
    checks.require(is_local, "directory", "a folder on this machine", checks.show(str(directory)))
    folder = folder.resolve()
    run_layout.check_name("directory", folder)
    return folder


def steps(folder: Path) -> list[int]:
    """Lists the steps that have a folder, oldest first, without verifying them."""
    found = _scan(folder)
    # A scan can miss both folders if another process renames one, and then the other.
    while (again := _scan(folder)) != found:
        found = again
    return found


def _scan(folder: Path) -> list[int]:
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    numbers = [name for name in names if name.isascii() and name.isdecimal()]
    # jaxgan writes no "007", and a step is an int32.
    found = (int(name) for name in numbers if len(name) < 11 and name == str(int(name)))
    return sorted(step for step in found if step < 2**31)


def verify(checkpoint: Path) -> Manifest:
    """Reads the manifest, and verifies the digests of all files and arrays.

    Raises:
      DamagedCheckpointError: If a file or array is missing or corrupted.
      ValueError: If the checkpoint has another format.
    """
    contents = verify_files(checkpoint)
    load(checkpoint, contents["leaves"])
    return contents


def verify_files(checkpoint: Path) -> Manifest:
    """Reads the manifest, and verifies the digests of all files.

    Raises:
      DamagedCheckpointError: If a file is missing or corrupted. The message names the members of a
        population that differ, if the arrays can still be read.
      ValueError: If the checkpoint has another format.
    """
    try:
        return manifest.verify(checkpoint)
    except DamagedCheckpointError as error:
        members = _changed_members(checkpoint)
        raise DamagedCheckpointError(f"{error}{members}") from error


def _changed_members(checkpoint: Path) -> str:
    """Names the members of a population that differ; empty if any array cannot be read."""
    try:
        contents = manifest.read(checkpoint)
        saved, loaded = contents.get("members", []), _read(checkpoint, contents["leaves"])
    except ValueError:
        return ""
    found = arrays.digest_members(loaded) if saved else []
    changed = [f"{i}" for i, sha256 in enumerate(found) if sha256 != saved[i]]
    return f", which changes member {', '.join(changed)}" if changed else ""


def load(checkpoint: Path, specs: dict[str, ArraySpec]) -> dict[str, np.ndarray]:
    """Reads arrays, and verifies their digests.

    Raises:
      DamagedCheckpointError: If an array cannot be read, or differs from the saved array.
    """
    loaded = _read(checkpoint, specs)
    for name, data in loaded.items():
        intact = arrays.digest(data) == specs[name]["sha256"]
        manifest.require_intact(intact, f"{name} differs from the saved values")
    return loaded


def _read(checkpoint: Path, specs: dict[str, ArraySpec]) -> dict[str, np.ndarray]:
    context = ocp.Context()
    context.pytree.loading.partial_load = True
    if processes.count() > 1:
        alone = context.multiprocessing_options
        alone.primary_host, alone.active_processes = processes.index(), {processes.index()}
        alone.barrier_sync_key_prefix = f"jaxgan-{processes.index()}"
    try:
        loaded = {name: arrays.empty(spec) for name, spec in specs.items()}
        filled = {name: array for name, array in loaded.items() if array.size}
        with _orbax, context:
            loaded |= ocp.load(checkpoint / run_layout.ARRAYS, filled) if filled else {}
    except Exception as error:  # Orbax raises many types of errors for corrupted files
        raise DamagedCheckpointError(f"Orbax cannot read the arrays ({error})") from error
    return loaded


def write(folder: Path, leaves: dict[str, HostArray], header: Header) -> None:
    """Writes a checkpoint. A failed write leaves existing checkpoints unchanged.

    Raises:
      OSError: If the checkpoint cannot be written, or differs when it is read back.
    """
    step = header["step"]
    staging = folder / f"{step}.{secrets.token_hex(4)}.saving"
    try:
        removal.remove_remnants(folder)
        _stage(staging, leaves, header)
        verify(staging)  # before `prune` deletes older checkpoints
        _set_aside_later(folder, step)
        place = staging.rename(folder / str(step))
        manifest.sync_folder(folder)
        _verified[place] = _stats(place)
    except Exception as error:
        removal.remove_failed_save(staging)
        remaining = ""
        with contextlib.suppress(OSError):  # the folder may be unreadable
            remaining = f" Earlier checkpoints remain: {steps(folder)}."
        raise OSError(
            f"Step {step} could not be saved in {folder}: {error}. Check that the disk has space "
            f"and the folder is writable.{remaining}"
        ) from error


def _stage(staging: Path, leaves: dict[str, HostArray], header: Header) -> None:
    """Writes all files of a checkpoint to a new folder."""
    staging.mkdir(parents=True)  # Orbax may hang if it cannot create a folder
    (staging / run_layout.MARK).touch()
    filled = {name: leaf.data for name, leaf in leaves.items() if leaf.data.size}
    with _orbax:
        _save_arrays(staging / run_layout.ARRAYS, filled)  # Orbax rejects empty arrays
    specs = {name: arrays.describe(leaf) for name, leaf in leaves.items()}
    if ".step" in leaves and leaves[".step"].shape:  # a population
        data = {name: leaf.data for name, leaf in leaves.items()}
        header = Header(**{**header, "members": arrays.digest_members(data)})
    manifest.write(staging, header, specs)


def _save_arrays(path: Path, filled: dict[str, np.ndarray]) -> None:
    """Writes arrays with Orbax, without the other processes."""
    if processes.count() == 1:
        ocp.save(path, filled)
        return
    # `ocp.save` would compare the paths of all processes on their devices.
    alone = ocp_v0.options.MultiprocessingOptions(
        primary_host=0, active_processes={0}, barrier_sync_key_prefix="jaxgan-0"
    )
    handler = ocp_v0.PyTreeCheckpointHandler(multiprocessing_options=alone)
    with ocp_v0.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
        checkpointer.save(path, filled)


def prune(folder: Path, keep: int, keep_every: int | None) -> None:
    """Deletes old checkpoints, except the newest `keep` intact ones and multiples of `keep_every`.

    Checkpoints to which a user added files are also kept.

    Raises:
      OSError: If a checkpoint cannot be deleted.
    """
    ours = [step for step in steps(folder) if run_layout.is_checkpoint(folder / str(step))]
    intact = (step for step in reversed(ours) if _is_intact(folder / str(step)))
    kept = list(itertools.islice(intact, keep))
    for old in (step for step in ours if kept and step < kept[-1]):
        is_multiple = keep_every is not None and old % keep_every == 0
        if is_multiple or not removal.has_only_our_files(folder / str(old)):
            continue
        try:
            removal.delete(folder / str(old))
            _verified.pop(folder / str(old), None)
        except OSError as error:
            raise OSError(
                f"Step {ours[-1]} is saved in {folder}, but step {old} could not be deleted: "
                f"{error}. Delete step {old} manually."
            ) from error


def _is_intact(checkpoint: Path) -> bool:
    """Returns whether all files of a checkpoint have their digests.

    Files with the size and time of an earlier verification are not read again.
    """
    try:
        found = _stats(checkpoint)
        if _verified.get(checkpoint) != found:
            manifest.verify(checkpoint)
            _verified[checkpoint] = found
    except (OSError, ValueError):
        return False
    return True


def _stats(checkpoint: Path) -> tuple:
    stats = [path.stat() for path in sorted(manifest.walk(checkpoint))]
    return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats)


def _set_aside_later(folder: Path, step: int) -> None:
    """Renames the corrupted checkpoints of a step and of later steps to `N.damaged`.

    An older `N.damaged` is deleted. If it has other files, the new name is `N.damaged.2`.

    Raises:
      FileExistsError: If there is an intact checkpoint, or a folder that jaxgan did not write.
    """
    for later in (number for number in steps(folder) if number >= step):
        checkpoint = folder / str(later)
        # Another thread may have saved this checkpoint since the check in `save`.
        if not run_layout.is_checkpoint(checkpoint) or not _is_corrupted(checkpoint):
            raise FileExistsError(f"step {later} exists")
        checkpoint.rename(removal.free_name(folder / f"{later}.damaged"))


def _is_corrupted(checkpoint: Path) -> bool:
    try:
        verify(checkpoint)
    except DamagedCheckpointError:
        return True
    return False


def _reset() -> None:
    """Replaces the lock in a forked child, because a thread of the parent may hold it."""
    global _orbax
    _orbax = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset)
