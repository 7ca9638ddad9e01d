"""Finds the original files of MNIST and similar datasets in a folder, and verifies their content.

Programs store the same data in different forms: IDX files, packed or unpacked, or the `.npz` file
of Keras. Each digest is that of the unpacked IDX file, so it verifies all forms.
"""

import hashlib
import logging
from pathlib import Path

import numpy as np

from jaxgan._internal import checks, npz
from jaxgan.datasets import _idx
from jaxgan.datasets._dataset import Dataset

Key = tuple[str, str]
"""A split and a kind, such as `("train", "images")`."""

FILES: dict[Key, str] = {
    ("train", "images"): "train-images-idx3-ubyte",
    ("train", "labels"): "train-labels-idx1-ubyte",
    ("test", "images"): "t10k-images-idx3-ubyte",
    ("test", "labels"): "t10k-labels-idx1-ubyte",
}
"""Names of the unpacked files by split and kind; the same for every dataset in IDX files."""

SHAPES: dict[Key, tuple[int, ...]] = {
    ("train", "images"): (60_000, 28, 28),
    ("train", "labels"): (60_000,),
    ("test", "images"): (10_000, 28, 28),
    ("test", "labels"): (10_000,),
}
"""Shapes by split and kind; the same for every dataset below."""

SHA256 = {
    "mnist": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}
"""The SHA-256 digests of the unpacked files.

The packed files have the digests in tensorflow-datasets 4.9.10.
"""

PACKED_SHA256 = {
    "kmnist": {
        "train-images-idx3-ubyte": "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "train-labels-idx1-ubyte": "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "t10k-images-idx3-ubyte": "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "t10k-labels-idx1-ubyte": "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    },
}
"""The SHA-256 digests of packed files whose unpacked digests are unknown.

The digests are those in tensorflow-datasets 4.9.10.
"""

_TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
_KERAS = {
    ("train", "images"): "x_train",
    ("train", "labels"): "y_train",
    ("test", "images"): "x_test",
    ("test", "labels"): "y_test",
}
_logger = logging.getLogger("jaxgan")


def forms(name: str, data_dir: Path) -> str:
    """Returns a description of the files that hold a dataset.

    Args:
      name: the dataset's name.
      data_dir: the folder of the files.

    Example:
      >>> import pathlib
      >>> from jaxgan.datasets import _files
      >>> _files.forms("cifar10", pathlib.Path("data"))
      'a folder with cifar10: data/cifar10 of tensorflow-datasets'
    """
    data_dir = data_dir.parent if data_dir.suffix == ".npz" else data_dir
    prepared = f"{data_dir / name.partition(':')[0]} of tensorflow-datasets"
    if name not in _TORCHVISION:
        return f"a folder with {name}: {prepared}"
    *names, last = FILES.values()
    folders = " or ".join(map(str, _folders(name, data_dir)))
    idx = f"{', '.join(names)} and {last} (unpacked or .gz) in {folders}"
    return f"a folder with {name}: {idx}, {_archive(name, data_dir)} of Keras, or {prepared}"


def found(name: str, data_dir: Path) -> bool:
    """Returns whether a folder holds at least one original file of a dataset.

    Args:
      name: the dataset's name.
      data_dir: the folder of the files, or the `.npz` file of Keras; it need not exist.

    Example:
      >>> import pathlib, jaxgan
      >>> from jaxgan.datasets import _files
      >>> _files.found("mnist", pathlib.Path(jaxgan.__file__).parent / "data" / "mnist")
      True
    """
    is_known = name in _TORCHVISION or data_dir.suffix == ".npz"
    return is_known and (bool(_find(name, data_dir)) or _archive(name, data_dir).is_file())


def load(name: str, split: str, data_dir: Path) -> Dataset:
    """Loads one split from the original files.

    Args:
      name: the dataset's name.
      split: "train" or "test".
      data_dir: the folder of the files, or the `.npz` file of Keras.

    Returns:
      The dataset. Its source names the folder or file.

    Raises:
      FileNotFoundError: If a file of the split is missing.
      ValueError: If the name or split is unknown, or a file is corrupted or not the original. The
        message names the file.

    Example:
      >>> import pathlib, jaxgan
      >>> from jaxgan.datasets import _files
      >>> folder = pathlib.Path(jaxgan.__file__).parent / "data" / "mnist"
      >>> images, labels = _files.load("mnist", "test", folder)
      >>> images.shape, labels[:3]
      ((10000, 28, 28, 1), array([7, 2, 1], dtype=int32))
    """
    is_known, is_split = name in _TORCHVISION, (split, "images") in FILES
    expected = f"one of {sorted(_TORCHVISION)} for original files"
    checks.require(is_known, "name", expected, checks.show(name))
    expected = "'train' or 'test' for original files"
    checks.require(is_split, "split", expected, checks.show(split))
    paths, archive = _find(name, data_dir), _archive(name, data_dir)
    needed = [(split, kind) for kind in ("images", "labels")]
    missing = [FILES[key] for key in needed if key not in paths]
    if missing:
        got, error = f"{data_dir}, which has no {missing[0]}", FileNotFoundError
        checks.require(archive.is_file(), "data_dir", forms(name, data_dir), got, error=error)
        (images, labels), where = _read_archive(name, needed, archive), f"{archive}"
    else:
        images, labels = (_read(name, key, paths[key]) for key in needed)
        where = f"IDX files in {paths[needed[0]].parent}"
    source = f"{name} {split}: {len(images):,} images, {where}"
    return Dataset(images[..., None], labels.astype(np.int32), source)


def _folders(name: str, data_dir: Path) -> list[Path]:
    """Returns the folders of the IDX files: the data folder, and torchvision's folder in it."""
    return [data_dir, data_dir / _TORCHVISION.get(name, name) / "raw"]


def _archive(name: str, data_dir: Path) -> Path:
    return data_dir if data_dir.suffix == ".npz" else data_dir / f"{name}.npz"


def _find(name: str, data_dir: Path) -> dict[Key, Path]:
    """Returns the existing IDX files; of several files for the same data, the first one."""
    candidates = [
        (key, folder / f"{file}{ending}")
        for folder in _folders(name, data_dir)
        for ending in (".gz", "")
        for key, file in FILES.items()
    ]
    return {key: path for key, path in reversed(candidates) if path.is_file()}


def _read(name: str, key: Key, path: Path) -> np.ndarray:
    """Reads and verifies one IDX file."""
    array = _idx.read(path, SHAPES[key])
    _verify(name, key, array, path, f"{path}")
    return array


def _read_archive(name: str, keys: list[Key], path: Path) -> list[np.ndarray]:
    """Reads the `.npz` file of Keras, and verifies the arrays of a split."""
    arrays = npz.read(path, {_KERAS[key]: shape for key, shape in SHAPES.items()}, [np.uint8])
    for key in keys:
        _verify(name, key, arrays[_KERAS[key]], path, f"{_KERAS[key]} in {path}")
    return [arrays[_KERAS[key]] for key in keys]


def _verify(name: str, key: Key, array: np.ndarray, path: Path, what: str) -> None:
    """Verifies that an array is the original one, or logs a warning if that is impossible."""
    file, digest = FILES[key], _idx.digest(array)
    owner = next((owner for owner, digests in SHA256.items() if digests[file] == digest), None)
    got = f"that of {owner}" if owner else f"other data, of sha256 {digest} unpacked"
    is_original = owner == (name if name in SHA256 else None)
    checks.require(is_original, what, f"the original {file} of {name}", got, _idx.ADVICE)
    if name not in SHA256 and _digest_of_file(path) != PACKED_SHA256[name][file]:
        message = "Cannot verify %s, because jaxgan knows only the digest of %s.gz of %s."
        _logger.warning(message, what, file, name)


def _digest_of_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
