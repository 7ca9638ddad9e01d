"""Images as arrays: tensorflow-datasets, the original IDX files, and a small sample that ships.

Every source ends in the same two numpy arrays, so training does not know where they came from.
TensorFlow is imported by tensorflow-datasets alone, and only to prepare a dataset or to read one
that was prepared as TFRecords.
"""

import contextlib
import dataclasses
import logging
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxgan import checks, idx, npz

EMBEDDED = "embedded"
"""As `data_dir`: use the digits that ship with jaxgan, and look nowhere else."""

_EMBEDDED_DIR = Path(__file__).parent / "data" / "mnist"
_CONNECT_SECONDS = 5.0
# A dataset of tensorflow-datasets, with its configuration and version if need be. What is a path
# would be one: the folder of a dataset is named after it.
_NAME = re.compile(r"[a-z]\w*(/\w[\w.+-]*)?(:[\d*]+(\.[\d*]+){0,2})?", re.ASCII | re.IGNORECASE)
_logger = logging.getLogger("jaxgan")


@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no single ==
class Dataset:
    """Images, their labels, and where they came from. Unpacks as `images, labels`.

    Attributes:
      images: uint8 `[num, height, width, channels]`, a numpy array.
      labels: int32 `[num]`, a numpy array.
      source: one line, for people: what was read, from which folder.
    """

    images: np.ndarray
    labels: np.ndarray
    source: str

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.images, self.labels))


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
    if folder is not None and idx.found(folder):
        images, labels = idx.load(name, split, folder)
        source = f"{name} {split}: {len(images):,} images, IDX files in {folder}"
        return Dataset(images, labels, source)
    try:
        return _from_tfds(name, split, folder)
    except _UnavailableError as error:
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
    images, labels = idx.load(name, "test", _EMBEDDED_DIR)
    return Dataset(images, labels, f"mnist: the {len(images):,} test digits that ship with jaxgan")


class _UnavailableError(Exception):
    """tensorflow-datasets cannot serve; says why and what to do."""


def _from_tfds(name: str, split: str, data_dir: Path | None) -> Dataset:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise _UnavailableError(
            "tensorflow-datasets is not installed (pip install 'jaxgan[examples]')."
        ) from error
    builder = _prepared(tfds, name, data_dir)
    if split not in builder.info.splits:
        known = sorted(builder.info.splits)
        raise ValueError(f"{name} has no split {checks.show(split)}; it has {known}.")
    shape = (builder.info.splits[split].num_examples, *_image_shape(builder))
    cache = Path(builder.data_dir) / f"jaxgan-{split}.npz"
    arrays = _read_cache(cache, shape)
    if arrays is None:
        arrays = _decode(tfds, builder, split)
        _write_cache(cache, *arrays)
    what = f"{name} {split}: {len(arrays[0]):,} images, {builder.info.full_name}"
    return Dataset(*arrays, f"{what}, TFDS in {builder.data_dir}")


def _prepared(tfds: Any, name: str, data_dir: Path | None) -> Any:
    try:
        # Without its format named: it may have been prepared as TFRecords, long ago.
        builder = tfds.builder(name, data_dir=data_dir, try_gcs=False)
        if _is_prepared(builder):
            return builder
        builder = tfds.builder(name, data_dir=data_dir, try_gcs=False, file_format="array_record")
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(
            f"tensorflow-datasets knows no dataset {checks.show(name)}; name must be one that "
            "tensorflow_datasets.list_builders() lists, such as 'mnist'."
        ) from error
    try:
        _ask_whether_anyone_answers(builder)
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        builder.download_and_prepare(download_config=config)
    except Exception as error:  # a dead network is an OSError; a proxy's page can be anything
        raise _UnavailableError(
            f"{builder.data_dir} holds no prepared dataset and preparing failed "
            f"({_in_one_line(error)})."
        ) from error
    return builder


def _in_one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(":. ")


def _ask_whether_anyone_answers(builder: Any) -> None:
    """Raises if nobody does; the download itself would be retried for minutes first."""
    for url in list(builder.url_infos or {})[:1]:
        request = urllib.request.Request(url, method="HEAD")
        with contextlib.suppress(urllib.error.HTTPError):  # an answer, whatever it says
            urllib.request.urlopen(request, timeout=_CONNECT_SECONDS).close()


def _is_prepared(builder: Any) -> bool:
    return (Path(builder.data_dir) / "dataset_info.json").exists()


def _image_shape(builder: Any) -> tuple[int, ...]:
    name, features = builder.info.full_name, builder.info.features
    if (
        not {"image", "label"} <= set(features)
        or None in features["image"].shape
        or features["image"].np_dtype != np.uint8
    ):
        raise ValueError(
            f"{name} needs a label and uint8 images of one shape; it has {features}. Give another "
            "dataset, or make such arrays of this one yourself."
        )
    return features["image"].shape


def _decode(tfds: Any, builder: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
    if builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
        records = builder.as_data_source(split)
        images = np.stack([record["image"] for record in records])
        labels = np.array([record["label"] for record in records], np.int32)
    else:  # other formats are read by TensorFlow alone
        records = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
        images, labels = records["image"], records["label"]
    return images, labels.astype(np.int32)


def _read_cache(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray] | None:
    """Images of that shape and their labels, or None: then they have to be decoded."""
    if not path.exists():
        return None
    try:
        shapes = {"images": shape, "labels": shape[:1]}
        arrays = npz.read(path, shapes, [np.uint8, np.int32])
        found = [a.dtype for a in arrays.values()]
        if found != [np.uint8, np.int32]:
            raise ValueError(f"it holds {found}, not uint8 images and int32 labels")
        return arrays["images"], arrays["labels"]
    except (OSError, ValueError) as error:
        reason = _in_one_line(error)
    _logger.warning("Decoding again, because the cached %s is damaged: %s", path, reason)
    return None


def _write_cache(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    partial = path.with_name(f"{path.stem}.{os.getpid()}.tmp")
    try:
        with open(partial, "wb") as file:
            np.savez(file, images=images, labels=labels)
        partial.replace(path)  # whole or not at all
    except OSError as error:
        partial.unlink(missing_ok=True)
        _logger.warning("Cannot keep the decoded images, so every run decodes anew: %s", error)
