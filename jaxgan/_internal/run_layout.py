"""Defines the names of a run's files on disk, for the modules that write or remove them."""

import re
from pathlib import Path

CONFIG = "config.json"
"""The file with a run's configuration, in the run's folder."""

MANIFEST = "seal.json"
"""The file with a checkpoint's manifest, in the checkpoint's folder."""

ARRAYS = "arrays"
"""The folder that Orbax writes, in a checkpoint's folder."""

CHECKPOINT = re.compile(r"\d+(\.damaged)?")
"""Matches the name of a checkpoint's folder: its step, with `.damaged` if corrupted."""

REMNANT = re.compile(r"\d+\.(saving|deleting)")
"""Matches the name of a folder that a killed save leaves behind."""


def is_checkpoint(folder: Path) -> bool:
    """Returns whether a folder is a checkpoint that jaxgan wrote, intact or corrupted.

    Args:
      folder: any folder.
    """
    return (folder / MANIFEST).exists() or (folder / ARRAYS).is_dir()


def is_whole_checkpoint(folder: Path) -> bool:
    """Returns whether a folder contains only the files of a checkpoint or of a killed save.

    Args:
      folder: any folder.
    """
    names = {path.name for path in folder.iterdir()}
    if REMNANT.fullmatch(folder.name):
        return all(name.startswith((MANIFEST, ARRAYS)) for name in names)
    is_named = CHECKPOINT.fullmatch(folder.name) is not None
    return is_named and MANIFEST in names and names <= {MANIFEST, ARRAYS}
