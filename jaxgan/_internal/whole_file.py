"""Writes files whole or not at all."""

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from jaxgan._internal import checks

REMNANT = re.compile(r"\.jaxgan-[0-9a-f]{16}\.tmp")
"""Matches the name of a temporary file, which a killed process leaves behind."""


@contextlib.contextmanager
def replace(path: Path) -> Iterator[BinaryIO]:
    """Opens a temporary file, which replaces the file at a path when the context ends.

    After an error, the file at the path is unchanged, and the temporary file is removed. A link at
    the path is replaced; its target is unchanged.

    Args:
      path: the file to write. Its folder must exist.

    Yields:
      An empty file in binary mode, which can be read and written.

    Raises:
      FileExistsError: If the path is a pipe or device.
      OSError: If the file cannot be written.

    Example:
      >>> import pathlib, tempfile
      >>> from jaxgan._internal import whole_file
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
      >>> with whole_file.replace(path) as file:
      ...     _ = file.write(b"all of it")
      >>> path.read_text()
      'all of it'
    """
    is_special = path.exists() and not path.is_file() and not path.is_dir()
    got = f"{path}, which is a pipe or device"
    checks.require(not is_special, "path", "a file", got, error=FileExistsError)
    # A short name, because `path` may already have the longest possible name.
    partial = path.parent / f".jaxgan-{secrets.token_hex(8)}.tmp"
    file = partial.open("x+b")  # "x" creates the file, and fails at any existing file or link
    try:
        with file:
            if path.is_file() and not path.is_symlink():  # keeps the permissions of the old file
                partial.chmod(stat.S_IMODE(path.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
