"""Reads arrays from untrusted `.npz` files, without pickle and in bounded memory.

`numpy.load` allocates as much memory as an array's header declares, and checks a member's CRC only
after reading the whole member. This module accepts only the expected arrays. It checks the declared
size of a member before it unpacks the member, and unpacks no more bytes than declared.
"""

import io
import math
import os
import sys
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import DTypeLike

from jaxgan._internal import checks

_HEADER = 2**14  # maximum size of an array's header in bytes
# NumPy writes only these. With other methods, `zipfile` unpacks all bytes even to read a few.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read(
    path: str | os.PathLike, shapes: Mapping[str, tuple[int, ...]], dtypes: Sequence[DTypeLike]
) -> dict[str, np.ndarray]:
    """Reads the arrays of an `.npz` file, which must contain exactly the expected arrays.

    Args:
      path: the file.
      shapes: the shapes of the expected arrays, by name.
      dtypes: the accepted dtypes.

    Returns:
      The arrays by name.

    Raises:
      FileNotFoundError: If there is no such file.
      TypeError: If `path` is not a path.
      ValueError: If the file is not an `.npz` file, is corrupted, or contains other arrays. The
        message names the file.

    Example:
      >>> import pathlib, tempfile
      >>> import numpy as np
      >>> from jaxgan._internal import npz
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "arrays.npz"
      >>> np.savez(path, a=np.arange(3.0))
      >>> npz.read(path, {"a": (3,)}, [np.float64])["a"]
      array([0., 1., 2.])
    """
    path, kinds = checks.file("path", path), [np.dtype(dtype) for dtype in dtypes]
    expected = sorted(f"{name}.npy" for name in shapes)
    try:
        with zipfile.ZipFile(path) as members:
            found = sorted(info.filename for info in members.infolist())
            checks.require(found == expected, "members", f"{expected}", checks.show(found))
            return {name: _array(members, name, shapes[name], kinds) for name in shapes}
    except Exception as error:  # zipfile and numpy raise many types for corrupted files
        reason = str(error).rstrip(". ")
        raise ValueError(f"{path} is corrupted or not the expected .npz file: {reason}.") from error


def _array(
    members: zipfile.ZipFile, name: str, shape: tuple[int, ...], kinds: list[np.dtype]
) -> np.ndarray:
    """Reads one array."""
    info = members.getinfo(f"{name}.npy")
    most = _HEADER + math.prod(shape) * max(kind.itemsize for kind in kinds)
    fits, got = info.file_size <= most, f"{info.file_size}"
    checks.require(fits, name, f"at most {most} bytes, unpacked", got)
    data = io.BytesIO(_unpack(members, info))
    version = np.lib.format.read_magic(data)
    header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    found, fortran, dtype = header(data)
    fits, got = found == shape and dtype in kinds, f"{dtype} of shape {found}"
    checks.require(fits, name, f"{kinds[0]} of shape {shape}", got)
    needed, size = math.prod(shape) * dtype.itemsize, data.getbuffer().nbytes - data.tell()
    checks.require(size == needed, name, f"{needed} bytes", f"{size}")
    values = np.frombuffer(data.getbuffer()[data.tell() :], dtype)
    return values.reshape(shape, order="F" if fortran else "C").copy(order="C")


def _unpack(members: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Unpacks one member, and checks its CRC through zipfile."""
    is_known, got = info.compress_type in _COMPRESSIONS, f"compression {info.compress_type}"
    checks.require(is_known, info.filename, "stored or deflated", got)
    declared = info.file_size
    info.file_size = sys.maxsize  # otherwise zipfile silently drops bytes beyond the declared size
    with members.open(info) as file:
        data = file.read(declared + 1)  # past the end, where zipfile checks the CRC
    checks.require(len(data) <= declared, info.filename, f"{declared} bytes as declared", "more")
    return data
