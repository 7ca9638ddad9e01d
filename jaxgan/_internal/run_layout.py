"""The names of a run's files on disk, for the modules that write or remove them."""

import re
from pathlib import Path

CONFIG = "config.json"
"""The configuration of a run, in its folder."""

MANIFEST = "seal.json"
"""The manifest of a checkpoint, in its folder."""

ARRAYS = "arrays"
"""What Orbax writes, in a checkpoint's folder."""

CHECKPOINT = re.compile(r"\d+(\.damaged)?")
"""A checkpoint's folder, named after its step; `.damaged` if it was set aside."""

REMNANT = re.compile(r"\d+\.(saving|deleting)")
"""What a save that was killed leaves in place of a checkpoint's folder."""


def is_checkpoint(folder: Path) -> bool:
    """Says whether jaxgan wrote a checkpoint's folder, which may be damaged now.

    Args:
      folder: any folder.
    """
    return (folder / MANIFEST).exists() or (folder / ARRAYS).is_dir()


def is_whole_checkpoint(folder: Path) -> bool:
    """Says whether a folder is a checkpoint, or the remnant of a save, and holds nothing else.

    Args:
      folder: any folder.
    """
    names = {path.name for path in folder.iterdir()}
    if REMNANT.fullmatch(folder.name):
        return all(name.startswith((MANIFEST, ARRAYS)) for name in names)
    is_named = CHECKPOINT.fullmatch(folder.name) is not None
    return is_named and MANIFEST in names and names <= {MANIFEST, ARRAYS}
