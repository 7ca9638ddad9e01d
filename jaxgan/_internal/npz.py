"""Arrays from `.npz` files, read with suspicion: no pickle, and no more memory than was asked for.

`numpy.load` takes as much memory as an array's header claims, and compares a member's CRC only if
it is read to its end. Here the members must be the arrays that are expected, what a file claims is
held against that before anything is unpacked, and no more is unpacked than it claims.
"""

import io
import math
import os
import sys
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgan._internal import checks

_HEADER = 2**14  # bytes of an array's header, at most
# What numpy writes. Of the others `zipfile` unpacks all there is, however little is asked for.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read(
    path: str | os.PathLike, shapes: Mapping[str, tuple[int, ...]], dtypes: Any
) -> dict[str, np.ndarray]:
    """Reads the arrays of an `.npz` file, which must be as expected.

    Args:
      path: the file.
      shapes: of the arrays, by name: these and no others.
      dtypes: which each of them may have.

    Returns:
      The arrays by name.

    Raises:
      FileNotFoundError: there is no such file.
      TypeError: `path` is no path.
      ValueError: it is no `.npz` file, is damaged, or holds something else. The message names it.

    Example:
      >>> import pathlib, tempfile
      >>> import numpy as np
      >>> from jaxgan._internal import npz
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "arrays.npz"
      >>> np.savez(path, a=np.arange(3.0))
      >>> npz.read(path, {"a": (3,)}, [np.float64])["a"]
      array([0., 1., 2.])
    """
    path = checks.path("path", path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; it must be an .npz file of {checks.show([*shapes])}. Is the path "
            "right?"
        )
    try:
        with zipfile.ZipFile(path) as members:
            infos = members.infolist()
            if sorted(info.filename for info in infos) != sorted(f"{name}.npy" for name in shapes):
                held = checks.show([info.filename for info in infos])
                raise ValueError(f"it holds {held}, not {[*shapes]}")
            return {name: _array(members, name, shapes[name], dtypes) for name in shapes}
    except Exception as error:  # damage has no type: RuntimeError, NotImplementedError, ...
        reason = str(error).rstrip(". ")
        raise ValueError(
            f"{path} is damaged, or no .npz file of the arrays expected: {reason}. Write or fetch "
            "it again."
        ) from error


def _array(members: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtypes: Any) -> np.ndarray:
    info = members.getinfo(f"{name}.npy")
    kinds = [np.dtype(dtype) for dtype in dtypes]
    most = _HEADER + math.prod(shape) * max(kind.itemsize for kind in kinds)
    if info.file_size > most:
        raise ValueError(f"{name} unpacks to {info.file_size} bytes, {most} is all it may")
    data = io.BytesIO(_unpack(members, info))
    version = np.lib.format.read_magic(data)
    header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    found, fortran, dtype = header(data)
    if found != shape or dtype not in kinds:
        raise ValueError(f"{name} is {dtype} of shape {found}, not {kinds[0]} of shape {shape}")
    needed, there = math.prod(shape) * dtype.itemsize, data.getbuffer().nbytes - data.tell()
    if needed != there:
        raise ValueError(f"{name} holds {there} of {needed} bytes")
    values = np.frombuffer(data.getbuffer()[data.tell() :], dtype)
    return values.reshape(shape, order="F" if fortran else "C").copy(order="C")


def _unpack(members: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.compress_type not in _COMPRESSIONS:
        raise ValueError(f"{info.filename} is neither stored nor deflated, as numpy does it")
    claimed = info.file_size
    info.file_size = sys.maxsize  # or zipfile would cut off what is more, and nobody would know
    with members.open(info) as file:
        data = file.read(claimed + 1)  # to the end, and so its CRC is compared, if there is no more
    if len(data) > claimed:
        raise ValueError(f"{info.filename} unpacks to more than the {claimed} bytes it claims")
    return data
