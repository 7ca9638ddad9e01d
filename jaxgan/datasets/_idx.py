"""The original IDX files of MNIST and its relatives, read with suspicion.

IDX is a magic number (two zero bytes, the type, the rank), the sizes as big-endian int32, and then
the data. Only unsigned bytes occur here. A leading `~` of any path is the home folder.
"""

import gzip
import hashlib
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from jaxgan._internal import checks

FILES = {
    ("train", "images"): "train-images-idx3-ubyte.gz",
    ("train", "labels"): "train-labels-idx1-ubyte.gz",
    ("test", "images"): "t10k-images-idx3-ubyte.gz",
    ("test", "labels"): "t10k-labels-idx1-ubyte.gz",
}
"""File names by split and kind; the same for every dataset that comes as IDX."""

SHA256 = {
    "mnist": {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
    "kmnist": {
        "train-images-idx3-ubyte.gz": "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "train-labels-idx1-ubyte.gz": "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "t10k-images-idx3-ubyte.gz": "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "t10k-labels-idx1-ubyte.gz": "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    },
}
"""What the original files hash to, by dataset; the figures of tensorflow-datasets 4.9.10."""

_MAX_BYTES = 2**28  # four times the largest of the files above, unpacked: refuses zip bombs
_MAX_RATIO = 1032  # of unpacked to packed: gzip cannot do better


def found(folder: str | os.PathLike) -> bool:
    """Says whether a folder holds any of the IDX files.

    Args:
      folder: any path; it need not exist.

    Returns:
      True if at least one of the four is there.

    Raises:
      TypeError, ValueError: the folder is no path.

    Example:
      >>> import pathlib, jaxgan
      >>> from jaxgan.datasets import _idx
      >>> _idx.found(pathlib.Path(jaxgan.__file__).parent / "data" / "mnist")
      True
    """
    folder = checks.path("folder", folder)
    return any((folder / file).exists() for file in FILES.values())


def load(name: str, split: str, folder: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Loads one split from its two files, and checks that they are the originals.

    Args:
      name: a key of `SHA256`.
      split: "train" or "test".
      folder: where the files are.

    Returns:
      Images, uint8 `[num, height, width, 1]`, and labels, int32 `[num]`.

    Raises:
      FileNotFoundError: a file is missing.
      TypeError: the folder is no path.
      ValueError: the name or split is unknown, or a file is damaged or not the original; the
        message names it.

    Example:
      >>> import pathlib, jaxgan
      >>> from jaxgan.datasets import _idx
      >>> folder = pathlib.Path(jaxgan.__file__).parent / "data" / "mnist"
      >>> images, labels = _idx.load("mnist", "test", folder)
      >>> images.shape, labels[:3]
      ((10000, 28, 28, 1), array([7, 2, 1], dtype=int32))
    """
    if not isinstance(name, str) or name not in SHA256:
        raise ValueError(f"IDX files are known for {sorted(SHA256)}; got {checks.show(name)}.")
    if not isinstance(split, str) or (split, "images") not in FILES:
        raise ValueError(f"IDX files have the splits 'train' and 'test'; got {checks.show(split)}.")
    folder, arrays = checks.path("folder", folder), {}
    for kind, rank in (("images", 3), ("labels", 1)):
        path = folder / FILES[split, kind]
        _verify(path, SHA256[name][path.name])  # first: what is not the original is not unpacked
        arrays[kind] = read(path, rank=rank)
    return arrays["images"][..., None], arrays["labels"].astype(np.int32)


def read(path: str | os.PathLike, *, rank: int) -> np.ndarray:
    """Reads one gzipped IDX file of unsigned bytes.

    Args:
      path: the file.
      rank: how many axes it must have, at least 1.

    Returns:
      A uint8 array of that rank.

    Raises:
      FileNotFoundError: there is no such file.
      TypeError: `path` is no path, or `rank` no whole number.
      ValueError: it is no gzip file, is truncated, or its magic number or sizes are wrong.

    Example:
      >>> import pathlib, jaxgan
      >>> from jaxgan.datasets import _idx
      >>> folder = pathlib.Path(jaxgan.__file__).parent / "data" / "mnist"
      >>> _idx.read(folder / "t10k-labels-idx1-ubyte.gz", rank=1)[:3]
      array([7, 2, 1], dtype=uint8)
    """
    path = checks.path("path", path)
    checks.integer("rank", rank, 1, 255)
    _check_there(path)
    try:
        with gzip.open(path) as file:
            sizes = _sizes(path, file.read(4 + 4 * rank), rank)
            count = math.prod(sizes)
            data = file.read(count + 1)  # one more than it should hold: never unpacks a bomb
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: truncated or no gzip file ({error}). Fetch it again.") from error
    if len(data) != count:
        few = "fewer" if len(data) < count else "more"
        raise ValueError(
            f"{path}: holds {few} bytes than the sizes {sizes} of its header say, {count}. Fetch it "
            "again."
        )
    return np.frombuffer(data, np.uint8).reshape(sizes).copy()


def _sizes(path: Path, header: bytes, rank: int) -> tuple[int, ...]:
    magic = bytes((0, 0, 8, rank))
    if header[:4] != magic:
        raise ValueError(
            f"{path}: wrong magic number {header[:4].hex() or 'of no bytes'}, not {magic.hex()}, "
            f"that of unsigned bytes of rank {rank}. Is it another of the files?"
        )
    if len(header) < 4 + 4 * rank:
        raise ValueError(
            f"{path}: ends within its header, after {len(header)} bytes of {4 + 4 * rank}. Fetch "
            "it again."
        )
    sizes = struct.unpack(f">{rank}I", header[4:])
    most = min(_MAX_BYTES, _MAX_RATIO * path.stat().st_size)
    if not 0 < math.prod(sizes) <= most:
        raise ValueError(
            f"{path}: its header claims sizes {checks.show(sizes)}, but what it holds can be of 1 to "
            f"{most} bytes. Fetch it again."
        )
    return sizes


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; it must be a gzipped IDX file. Fetch it, or give its right path."
        )


def _verify(path: Path, expected: str) -> None:
    _check_there(path)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != expected:
        raise ValueError(
            f"{path}: not the original file. Its sha256 is {digest}, not {expected}. Fetch it again."
        )
