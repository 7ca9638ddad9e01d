"""Reads IDX files of unsigned bytes.

An IDX file holds a magic number (two zero bytes, the type, the rank), the sizes as big-endian
uint32, and the data.
"""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from jaxgan._internal import checks

ADVICE = "Download it again."
"""The instruction of an error about a corrupted file."""

_GZIP = bytes((0x1F, 0x8B))  # the first bytes of a gzip file


def read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Reads an IDX file, either packed with gzip or unpacked.

    The first bytes of the file show whether it is packed. At most the expected number of bytes is
    unpacked.

    Args:
      path: the file.
      shape: the expected shape.

    Returns:
      A uint8 array of that shape.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If the file is truncated or longer, is no IDX file, or holds another shape. The
        message names the file.

    Example:
      >>> import pathlib, jaxgan
      >>> from jaxgan.datasets import _idx
      >>> folder = pathlib.Path(jaxgan.__file__).parent / "data" / "mnist"
      >>> _idx.read(folder / "t10k-labels-idx1-ubyte.gz", (10000,))[:3]
      array([7, 2, 1], dtype=uint8)
    """
    count = math.prod(shape)
    try:
        with _open(path) as file:
            _check_header(path, file.read(4 + 4 * len(shape)), shape)
            data = file.read(count + 1)  # one extra byte shows whether the file is longer
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} must be a complete gzip file; got {error}. {ADVICE}") from error
    expected = f"{count} bytes of data for the shape {shape}"
    got = f"{len(data)}" if len(data) < count else "more"
    checks.require(len(data) == count, f"{path}", expected, got, ADVICE)
    return np.frombuffer(data, np.uint8).reshape(shape).copy()


def digest(array: np.ndarray) -> str:
    """Returns the SHA-256 of the unpacked IDX file that holds an array.

    Args:
      array: uint8, contiguous.

    Example:
      >>> import numpy as np
      >>> from jaxgan.datasets import _idx
      >>> _idx.digest(np.zeros(3, np.uint8))[:8]
      'c51ace58'
    """
    content = hashlib.sha256(_header(array.shape))
    content.update(array.data)
    return content.hexdigest()


def _header(shape: tuple[int, ...]) -> bytes:
    return bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape)


def _open(path: Path) -> BinaryIO | gzip.GzipFile:
    with open(path, "rb") as file:
        is_packed = file.read(len(_GZIP)) == _GZIP
    return gzip.open(path) if is_packed else open(path, "rb")


def _check_header(path: Path, header: bytes, shape: tuple[int, ...]) -> None:
    name, magic, rank = f"{path}", _header(shape)[:4], len(shape)
    expected = f"an IDX file of magic number {magic.hex()} (unsigned bytes, {rank} axes)"
    checks.require(header[:4] == magic, name, expected, header[:4].hex() or "no bytes")
    length, expected = 4 + 4 * rank, f"an IDX file with a header of {4 + 4 * rank} bytes"
    checks.require(len(header) == length, name, expected, f"{len(header)}", ADVICE)
    found = struct.unpack(f">{rank}I", header[4:])
    checks.require(found == shape, name, f"an IDX file of shape {shape}", f"shape {found}")
