"""Defines the names of a run's files on disk, for the modules that write or remove them."""

import os
import re
from pathlib import Path

from jaxgan._internal import checks

CONFIG = "config.json"
"""The file with a run's configuration, in the run's folder."""

MANIFEST = "seal.json"
"""The file with a checkpoint's manifest, in the checkpoint's folder."""

ARRAYS = "arrays"
"""The folder that Orbax writes, in a checkpoint's folder."""

MARK = ".jaxgan"
"""The file that marks a checkpoint's folder as written by jaxgan, from the first write on."""

CHECKPOINT = re.compile(r"\d+(\.damaged(\.\d+)?)?")
"""Matches the name of a checkpoint's folder: its step, with `.damaged` if corrupted."""

REMNANT = re.compile(r"\d+\.([0-9a-f]{8}\.)?(saving|deleting)")
"""Matches the name of a folder that a killed save leaves behind, such as `5.0a1b2c3d.saving`."""


def is_checkpoint(folder: Path) -> bool:
    """Returns whether jaxgan wrote a folder: a checkpoint, intact or corrupted, or a remnant.

    Args:
      folder: any folder. A link to a folder belongs to the user.
    """
    marks = (folder / name for name in (MARK, MANIFEST))
    return not folder.is_symlink() and any(path.is_file() for path in marks)


def is_whole_checkpoint(folder: Path) -> bool:
    """Returns whether a folder contains only the files of a checkpoint or of a killed save.

    Args:
      folder: any folder.
    """
    names = {path.name for path in folder.iterdir()}
    if REMNANT.fullmatch(folder.name):
        return all(name.startswith((MARK, MANIFEST, ARRAYS)) for name in names)
    is_named = CHECKPOINT.fullmatch(folder.name) is not None
    has_mark = not names.isdisjoint((MARK, MANIFEST))
    return is_named and has_mark and names <= {MARK, MANIFEST, ARRAYS}


def check_name(name: str, folder: Path) -> None:
    """Checks that Orbax can read and write below a folder. Orbax reads paths as patterns.

    Args:
      name: the argument's name in an error.
      folder: an absolute path.

    Raises:
      ValueError: If the path is not valid UTF-8, or contains "[", "**" or a backslash.
    """
    text = str(folder)
    found = [part for part in ("[", "**", "\\") if part in text and part != os.sep]
    found += [] if text == text.encode(errors="ignore").decode() else ["bytes that are not UTF-8"]
    expected = f"a path without {found[0]}" if found else ""
    checks.require(not found, name, expected, ascii(text), "Rename it.")
