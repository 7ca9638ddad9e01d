"""Loads images from original files, tensorflow-datasets or an embedded sample."""

import logging
import os
import re
from pathlib import Path

from jaxgan._internal import checks
from jaxgan.datasets import _files, _tfds
from jaxgan.datasets._dataset import Dataset

EMBEDDED = "embedded"
"""The value of `data_dir` that selects the digits that ship with jaxgan."""

_EMBEDDED_DIR = Path(__file__).parent.parent / "data" / "mnist"
# A dataset of tensorflow-datasets, with an optional configuration and version. The name cannot be
# a path, because tensorflow-datasets names a folder after the dataset.
_NAME = re.compile(r"[a-z]\w*(/\w[\w.+-]*)?(:[\d*]+(\.[\d*]+){0,2})?", re.ASCII | re.IGNORECASE)
_logger = logging.getLogger("jaxgan")


def load(name: str, split: str = "train", data_dir: str | os.PathLike | None = None) -> Dataset:
    """Loads a whole split of an image dataset into memory.

    The sources, in this order:

    1. If `data_dir` is "embedded", the 10,000 digits of the MNIST test set that ship with jaxgan.
    2. If `data_dir` holds original files of "mnist", "fashion_mnist" or "kmnist", these files:
       IDX files (`train-images-idx3-ubyte` and so on, unpacked or with `.gz`), in the folder or in
       torchvision's `MNIST/raw`, `FashionMNIST/raw` or `KMNIST/raw` in it; or `mnist.npz` of Keras.
       The data must be the original data, verified by their sha256. For "kmnist", only the
       original `.gz` files can be verified; `load` logs a warning about other files.
    3. tensorflow-datasets, in `data_dir` or its default folder. It downloads and prepares a missing
       dataset. Decoding takes up to 20 s, so the decoded arrays are cached in the same folder.
    4. For "mnist" without `data_dir`, if tensorflow-datasets is unavailable, the embedded digits.
       `load` logs one warning. **The digits are MNIST's test set, for both splits**: suitable for
       demonstrations, but not for evaluation.

    Args:
      name: a dataset with an `image` of fixed shape and a `label`: "mnist", "fashion_mnist",
        "kmnist", "cifar10", or another dataset of tensorflow-datasets. The first three can come
        from original files.
      split: one of the dataset's splits, usually "train" or "test".
      data_dir: an existing folder with original files, an existing data folder of
        tensorflow-datasets, the `mnist.npz` of Keras, or "embedded". A leading `~` is the home
        folder.

    Returns:
      A `Dataset`, which unpacks as `images`, uint8 `[num, height, width, channels]`, and `labels`,
      int32 `[num]`.

    Raises:
      TypeError: If `name` or `split` is not text, or `data_dir` is not a path.
      ValueError: If there is no such dataset or split, the images are not uint8 of one shape, or a
        file is corrupted or not the original. The message names the file.
      FileNotFoundError: If `data_dir` does not exist or does not hold the dataset, and
        tensorflow-datasets cannot prepare the dataset there. The message lists the accepted files.
      RuntimeError: Without `data_dir`, if tensorflow-datasets is not installed or cannot prepare
        the dataset.

    Example:
      >>> import jaxgan
      >>> images, labels = jaxgan.datasets.load("mnist", "test", data_dir="embedded")
      >>> images.shape, images.dtype, labels[:3]
      ((10000, 28, 28, 1), dtype('uint8'), array([7, 2, 1], dtype=int32))
    """
    checks.text("name", name)
    checks.text("split", split)
    is_name = _NAME.fullmatch(name) is not None
    checks.require(is_name, "name", "a dataset's name, such as 'mnist'", checks.show(name))
    folder = None if data_dir is None else checks.path("data_dir", data_dir)
    if data_dir == EMBEDDED:
        return _embedded(name, split)
    if folder is not None:
        _check_place(name, folder)
        if _files.found(name, folder):
            return _files.load(name, split, folder)
    return _tfds_or_embedded(name, split, folder)


def _check_place(name: str, folder: Path) -> None:
    """Checks that the data folder is a folder or an `.npz` file."""
    missing, expected = f"{folder}, which does not exist", _files.forms(name, folder)
    checks.require(folder.exists(), "data_dir", expected, missing, error=FileNotFoundError)
    fits, got = folder.is_dir() or folder.suffix == ".npz", f"the file {folder}"
    checks.require(fits, "data_dir", "a folder or the mnist.npz of Keras", got)


def _tfds_or_embedded(name: str, split: str, folder: Path | None) -> Dataset:
    """Loads from tensorflow-datasets, with the embedded digits as a fallback for MNIST."""
    try:
        return _tfds.load(name, split, folder)
    except _tfds.UnavailableError as error:
        if folder is not None:
            expected = f"data_dir must be {_files.forms(name, folder)}"
            raise FileNotFoundError(f"{expected}; got {folder}, and {error}.") from error
        if name != "mnist":
            advice = f"Set data_dir to {_files.forms(name, Path('data_dir'))}."
            raise RuntimeError(f"Cannot load {name!r}, because {error}. {advice}") from error
        _logger.warning(
            "Using the 10,000 MNIST test digits that ship with jaxgan, because %s. For all 70,000, "
            "set data_dir (--data-dir) to a folder with the four original IDX files.",
            error,
        )
        return _embedded(name, split)


def _embedded(name: str, split: str) -> Dataset:
    is_embedded, got = name == "mnist" and split in ("train", "test"), f"{name!r} and {split!r}"
    expected = "'mnist' and 'train' or 'test' for the embedded digits"
    checks.require(is_embedded, "name and split", expected, got)
    images, labels = _files.load(name, "test", _EMBEDDED_DIR)
    return Dataset(images, labels, f"mnist: the {len(images):,} test digits that ship with jaxgan")
