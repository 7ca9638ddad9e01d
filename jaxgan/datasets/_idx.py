"""Reads the original IDX files of MNIST and similar datasets, and verifies their digests.

An IDX file holds a magic number (two zero bytes, the type, the rank), the sizes as big-endian
uint32, and the data. The files of these datasets hold unsigned bytes only.
"""

import gzip
import hashlib
import math
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
"""File names by split and kind; the same for every dataset in IDX files."""

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
"""The SHA-256 digests of the original files, as in tensorflow-datasets 4.9.10."""

_MAX_BYTES = 2**28  # over five times the largest unpacked file above, to reject zip bombs
_MAX_RATIO = 1032  # maximum ratio of unpacked to packed size in gzip
_ADVICE = "Download it again."


def found(folder: Path) -> bool:
    """Returns whether a folder holds at least one of the four IDX files.

    Args:
      folder: any path; the folder need not exist.

    Example:
      >>> import pathlib, jaxgan
      >>> from jaxgan.datasets import _idx
      >>> _idx.found(pathlib.Path(jaxgan.__file__).parent / "data" / "mnist")
      True
    """
    return any((folder / file).exists() for file in FILES.values())


def load(name: str, split: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Loads one split from its two files, and checks that the files are the originals.

    Args:
      name: a key of `SHA256`.
      split: "train" or "test".
      folder: the folder of the files.

    Returns:
      Images, uint8 `[num, height, width, 1]`, and labels, int32 `[num]`.

    Raises:
      FileNotFoundError: If a file is missing.
      ValueError: If the name or split is unknown, or a file is corrupted or not the original. The
        message names the file.

    Example:
      >>> import pathlib, jaxgan
      >>> from jaxgan.datasets import _idx
      >>> folder = pathlib.Path(jaxgan.__file__).parent / "data" / "mnist"
      >>> images, labels = _idx.load("mnist", "test", folder)
      >>> images.shape, labels[:3]
      ((10000, 28, 28, 1), array([7, 2, 1], dtype=int32))
    """
    expected, is_split = f"one of {sorted(SHA256)} for IDX files", (split, "images") in FILES
    checks.require(name in SHA256, "name", expected, checks.show(name))
    checks.require(is_split, "split", "'train' or 'test' for IDX files", checks.show(split))
    arrays = {}
    for kind, rank in (("images", 3), ("labels", 1)):
        path = checks.file(f"The {split} {kind}", folder / FILES[split, kind])
        _verify(path, SHA256[name][path.name])  # first, so that only original files are unpacked
        arrays[kind] = read(path, rank=rank)
    return arrays["images"][..., None], arrays["labels"].astype(np.int32)


def read(path: Path, *, rank: int) -> np.ndarray:
    """Reads one gzipped IDX file of unsigned bytes.

    Args:
      path: the file.
      rank: the number of axes, in [1, 255].

    Returns:
      A uint8 array of that rank.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If the file is not a gzip file, is truncated, or its magic number or sizes are
        wrong.

    Example:
      >>> import pathlib, jaxgan
      >>> from jaxgan.datasets import _idx
      >>> folder = pathlib.Path(jaxgan.__file__).parent / "data" / "mnist"
      >>> _idx.read(folder / "t10k-labels-idx1-ubyte.gz", rank=1)[:3]
      array([7, 2, 1], dtype=uint8)
    """
    try:
        with gzip.open(path) as file:
            sizes = _sizes(path, file.read(4 + 4 * rank), rank)
            count = math.prod(sizes)
            data = file.read(count + 1)  # one extra byte shows whether the file is longer
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} must be a complete gzip file; got {error}. {_ADVICE}") from error
    expected = f"{count} bytes of data for the sizes {sizes}"
    got = f"{len(data)}" if len(data) < count else "more"
    checks.require(len(data) == count, f"{path}", expected, got, _ADVICE)
    return np.frombuffer(data, np.uint8).reshape(sizes).copy()


def _sizes(path: Path, header: bytes, rank: int) -> tuple[int, ...]:
    """Reads the header of an IDX file."""
    name, magic, length = f"{path}", bytes((0, 0, 8, rank)), 4 + 4 * rank
    expected = f"an IDX file of magic number {magic.hex()} (unsigned bytes, {rank} axes)"
    checks.require(header[:4] == magic, name, expected, header[:4].hex() or "no bytes")
    expected = f"an IDX file with a header of {length} bytes"
    checks.require(len(header) == length, name, expected, f"{len(header)}", _ADVICE)
    sizes = struct.unpack(f">{rank}I", header[4:])
    most = min(_MAX_BYTES, _MAX_RATIO * path.stat().st_size)
    expected, fits = f"an IDX file of 1 to {most} bytes", 0 < math.prod(sizes) <= most
    checks.require(fits, name, expected, f"sizes {checks.show(sizes)}", _ADVICE)
    return sizes


def _verify(path: Path, expected: str) -> None:
    """Verifies the SHA-256 digest of a file."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    original = f"the original file, of sha256 {expected}"
    checks.require(digest == expected, f"{path}", original, f"sha256 {digest}", _ADVICE)
