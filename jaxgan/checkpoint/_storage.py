"""How checkpoints lie in a folder: each written beside its place, read back, and then moved there.

Nothing is deleted but what jaxgan itself has written, since a user may keep numbered folders of his
own; and a checkpoint that looks damaged is set aside, since the next look may find it sound.
"""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from orbax.checkpoint import v1 as ocp

from jaxgan.checkpoint import _arrays as arrays
from jaxgan.checkpoint import _manifest as manifest
from jaxgan.checkpoint._manifest import DamagedCheckpointError

_ARRAYS = "arrays"
_REMNANT = re.compile(r"\d+\.(saving|deleting)")


def steps(folder: Path) -> list[int]:
    """The steps that have a folder, oldest first, sound or not."""
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    numbers = [name for name in names if name.isascii() and name.isdecimal()]
    return sorted(int(name) for name in numbers if name == str(int(name)))  # "007" is none of ours


def is_ours(checkpoint: Path) -> bool:
    """Whether jaxgan wrote it, if perhaps it is damaged now."""
    return (checkpoint / manifest.NAME).exists() or (checkpoint / _ARRAYS).is_dir()


def check(checkpoint: Path) -> dict[str, Any]:
    """What is told of a checkpoint, after holding every file and every leaf against its digest."""
    contents = manifest.check(checkpoint)
    load(checkpoint, contents["leaves"])
    return contents


def load(checkpoint: Path, told: dict[str, arrays.ArraySpec]) -> dict[str, np.ndarray]:
    """These leaves, each held against its digest."""
    loaded = {name: arrays.empty(one) for name, one in told.items()}
    filled = {name: array for name, array in loaded.items() if array.size}
    context = ocp.Context()
    context.pytree.loading.partial_load = True
    try:
        with context:
            loaded |= ocp.load(checkpoint / _ARRAYS, filled) if filled else {}
    except Exception as error:  # whatever Orbax makes of what is not as it wrote it
        raise DamagedCheckpointError(f"Orbax cannot read it ({error})") from error
    for name, host in loaded.items():
        if arrays.digest(host) != told[name]["sha256"]:
            raise DamagedCheckpointError(f"{name} has other values than were saved")
    return loaded


def write(
    folder: Path, named: dict[str, Any], hosts: dict[str, np.ndarray], contents: dict[str, Any]
) -> None:
    """Writes a checkpoint; if that fails, all is as it was before.

    Raises:
      OSError: it could not be written, or is not read back as it was written.
    """
    step = contents["step"]
    staging, place = folder / f"{step}.saving", folder / str(step)
    try:
        _sweep(folder)
        staging.mkdir(parents=True)  # here, because Orbax may hang where it cannot
        described = {name: arrays.describe(leaf, hosts[name]) for name, leaf in named.items()}
        filled = {name: host for name, host in hosts.items() if host.size}  # Orbax takes no other
        ocp.save(staging / _ARRAYS, filled)
        manifest.write(staging, {**contents, "leaves": described})
        check(staging)  # older ones may be deleted for it
        for later in (number for number in steps(folder) if number >= step):
            set_aside(folder / str(later))
        staging.rename(place)
        manifest.sync_folder(folder)
    except Exception as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise OSError(
            f"Step {step} could not be saved in {folder}: {error}. If the disk is full or the "
            f"folder read-only, change that. The checkpoints before it stay: {steps(folder)}."
        ) from error


def prune(folder: Path, keep: int, keep_every: int | None) -> None:
    """Deletes all but the newest `keep`, and those whose step is a multiple.

    Raises:
      OSError: one could not be deleted.
    """
    ours = [step for step in steps(folder) if is_ours(folder / str(step))]
    for old in ours[:-keep]:
        if keep_every is None or old % keep_every:
            doomed = folder / f"{old}.deleting"  # at no time half a checkpoint
            try:
                (folder / str(old)).rename(doomed)
                shutil.rmtree(doomed)
            except OSError as error:
                raise OSError(
                    f"Step {ours[-1]} is saved in {folder}, but step {old} could not be deleted "
                    f"for it: {error}. Delete it yourself."
                ) from error


def set_aside(checkpoint: Path) -> None:
    """Makes room for a new one of its step."""
    aside = checkpoint.with_name(checkpoint.name + ".damaged")
    if aside.is_dir():  # an older one of the same step
        shutil.rmtree(aside)
    checkpoint.rename(aside)


def _sweep(folder: Path) -> None:
    """Removes what killed saves have left behind."""
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        if _REMNANT.fullmatch(path.name) and path.is_dir():
            shutil.rmtree(path)
