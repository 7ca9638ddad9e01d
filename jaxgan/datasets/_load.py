"""Where images come from: an embedded sample, the original IDX files or tensorflow-datasets."""

import logging
import os
import re
from pathlib import Path

from jaxgan._internal import checks
from jaxgan.datasets import _idx, _tfds
from jaxgan.datasets._dataset import Dataset

EMBEDDED = "embedded"
"""As `data_dir`: use the digits that ship with jaxgan, and look nowhere else."""

_EMBEDDED_DIR = Path(__file__).parent.parent / "data" / "mnist"
# A dataset of tensorflow-datasets, with its configuration and version if need be. A path is
# refused: the folder of a dataset has the dataset's name.
_NAME = re.compile(r"[a-z]\w*(/\w[\w.+-]*)?(:[\d*]+(\.[\d*]+){0,2})?", re.ASCII | re.IGNORECASE)
_logger = logging.getLogger("jaxgan")


def load(name: str, split: str = "train", data_dir: str | os.PathLike | None = None) -> Dataset:
    """Loads a whole split of an image dataset into memory.

    Where it looks, in this order:

    1. `data_dir="embedded"`: the 10,000 digits of the MNIST test set that ship with jaxgan.
    2. A `data_dir` with IDX files (`train-images-idx3-ubyte.gz` and so on): those, their sha256
       checked against the original's.
    3. tensorflow-datasets, in `data_dir` or its own default folder: what is prepared there, else it
       is downloaded and prepared. Decoded arrays are kept beside the records, because decoding
       takes up to 20 s.
    4. For "mnist" without `data_dir`, when there is neither: the embedded digits, with one line of
       warning. **They are MNIST's test set, for either split**: fine to look at a GAN learn,
       wrong to evaluate one against.

    Args:
      name: a dataset with one `image` (of one shape) and one `label`: "mnist", "fashion_mnist",
        "kmnist", "cifar10", or any other of tensorflow-datasets; IDX files serve the first three.
      split: one of the dataset's splits, usually "train" or "test".
      data_dir: a folder with IDX files, a data folder of tensorflow-datasets, or "embedded". A
        leading `~` is the home folder.

    Returns:
      A `Dataset`, which unpacks as `images`, uint8 `[num, height, width, channels]`, and `labels`,
      int32 `[num]`.

    Raises:
      TypeError: a name or split is no text, or `data_dir` no path.
      ValueError: there is no such dataset or split, or none can have that name, or its images are
        not uint8 of a single shape; a file is damaged or not the original. The message names it.
      FileNotFoundError: some of the IDX files are missing.
      RuntimeError: tensorflow-datasets is missing, or cannot download and prepare.

    Example:
      >>> import jaxgan
      >>> images, labels = jaxgan.datasets.load("mnist", "test", data_dir="embedded")
      >>> images.shape, images.dtype, labels[:3]
      ((10000, 28, 28, 1), dtype('uint8'), array([7, 2, 1], dtype=int32))
    """
    for what, value in (("name", name), ("split", split)):
        if not isinstance(value, str):
            raise TypeError(f"{what} must be text; got {checks.show(value)}.")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"name must be that of a dataset, such as 'mnist', not a path; got {checks.show(name)}."
        )
    folder = None if data_dir is None else checks.path("data_dir", data_dir)
    if data_dir == EMBEDDED:
        return _embedded(name, split)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ValueError(
            f"data_dir must be a folder; {folder} is a file. Give the folder that has the dataset."
        )
    if folder is not None and _idx.found(folder):
        images, labels = _idx.load(name, split, folder)
        source = f"{name} {split}: {len(images):,} images, IDX files in {folder}"
        return Dataset(images, labels, source)
    try:
        return _tfds.load(name, split, folder)
    except _tfds.UnavailableError as error:
        if name != "mnist" or folder is not None:
            raise RuntimeError(
                f"Cannot load {name!r}: {error} A data_dir where it was prepared needs no network."
            ) from error
        _logger.warning(
            "Using the 10,000 MNIST test digits that ship with jaxgan, because %s For all 70,000, "
            "give data_dir (--data-dir): a folder with the four original IDX files.",
            error,
        )
        return _embedded(name, split)


def _embedded(name: str, split: str) -> Dataset:
    if name != "mnist" or split not in ("train", "test"):
        raise ValueError(
            "Only mnist, train or test, ships with jaxgan; got "
            f"{checks.show(name)}, {checks.show(split)}. For another give another data_dir."
        )
    images, labels = _idx.load(name, "test", _EMBEDDED_DIR)
    return Dataset(images, labels, f"mnist: the {len(images):,} test digits that ship with jaxgan")
