"""Loads images with tensorflow-datasets, and caches the decoded arrays.

Only tensorflow-datasets imports TensorFlow, to prepare a dataset or to read TFRecords.
"""

import contextlib
import logging
import urllib.error
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from jaxgan._internal import checks, npz, whole_file
from jaxgan.datasets._dataset import Dataset

if TYPE_CHECKING:
    from tensorflow_datasets.core import DatasetBuilder

_CONNECT_SECONDS = 5.0
_logger = logging.getLogger("jaxgan")


class UnavailableError(Exception):
    """Reports that tensorflow-datasets is missing or cannot prepare a dataset."""


def load(name: str, split: str, data_dir: Path | None) -> Dataset:
    """Loads one split of a dataset.

    Args:
      name: the dataset's name, with an optional configuration and version.
      split: the split.
      data_dir: the data folder; None means the default of tensorflow-datasets.

    Raises:
      ValueError: If there is no such dataset or split, or the images are not uint8 of one shape.
      UnavailableError: If tensorflow-datasets is not installed, or cannot prepare the dataset.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        reason = "tensorflow-datasets is not installed (pip install 'jaxgan[examples]')"
        raise UnavailableError(reason) from error
    builder = _prepared(tfds, name, data_dir)
    expected = f"one of {sorted(builder.info.splits)} for {name}"
    checks.require(split in builder.info.splits, "split", expected, checks.show(split))
    shape = (builder.info.splits[split].num_examples, *_image_shape(builder))
    cache = Path(builder.data_dir) / f"jaxgan-{split}.npz"
    arrays = _read_cache(cache, shape)
    if arrays is None:
        arrays = _decode(tfds, builder, split)
        _write_cache(cache, *arrays)
    what = f"{name} {split}: {len(arrays[0]):,} images, {builder.info.full_name}"
    return Dataset(*arrays, f"{what}, TFDS in {builder.data_dir}")


def _prepared(tfds: ModuleType, name: str, data_dir: Path | None) -> "DatasetBuilder":
    """Returns the builder of a dataset, and downloads and prepares the dataset if needed."""
    try:
        # Without `file_format`, because earlier versions of tensorflow-datasets wrote TFRecords.
        builder = tfds.builder(name, data_dir=data_dir, try_gcs=False)
        if _is_prepared(builder):
            return builder
        builder = tfds.builder(name, data_dir=data_dir, try_gcs=False, file_format="array_record")
    except tfds.core.DatasetNotFoundError as error:
        expected = "one of tensorflow_datasets.list_builders(), such as 'mnist'"
        raise ValueError(f"name must be {expected}; got {checks.show(name)}.") from error
    try:
        _request(builder)
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        builder.download_and_prepare(download_config=config)
    except Exception as error:  # an OSError without a network, but any error with a proxy's page
        reason = f"tensorflow-datasets cannot download or prepare {builder.data_dir}"
        raise UnavailableError(f"{reason} ({_in_one_line(error)})") from error
    return builder


def _in_one_line(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        error = error.reason  # such as a failed name resolution
    return f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(":. ")


def _request(builder: "DatasetBuilder") -> None:
    """Raises if the dataset's server does not respond, because a download retries for minutes."""
    for url in list(builder.url_infos or {})[:1]:
        request = urllib.request.Request(url, method="HEAD")
        with contextlib.suppress(urllib.error.HTTPError):  # an error status is a response
            urllib.request.urlopen(request, timeout=_CONNECT_SECONDS).close()


def _is_prepared(builder: "DatasetBuilder") -> bool:
    return (Path(builder.data_dir) / "dataset_info.json").exists()


def _image_shape(builder: "DatasetBuilder") -> tuple[int, ...]:
    """Checks the features of a dataset, and returns the shape of its images."""
    features, expected = builder.info.features, "a dataset of labels and uint8 images of one shape"
    fits = {"image", "label"} <= set(features) and features["image"].np_dtype == np.uint8
    fits = fits and None not in features["image"].shape
    checks.require(fits, builder.info.full_name, expected, f"{features}")
    return features["image"].shape


def _decode(
    tfds: ModuleType, builder: "DatasetBuilder", split: str
) -> tuple[np.ndarray, np.ndarray]:
    """Reads all images and labels of a split."""
    if builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
        records = builder.as_data_source(split)
        images = np.stack([record["image"] for record in records])
        labels = np.array([record["label"] for record in records], np.int32)
    else:  # only TensorFlow reads other formats
        records = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
        images, labels = records["image"], records["label"]
    return images, labels.astype(np.int32)


def _read_cache(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray] | None:
    """Reads images of a shape and their labels from the cache, or returns None."""
    if not path.exists():
        return None
    try:
        shapes = {"images": shape, "labels": shape[:1]}
        arrays = npz.read(path, shapes, [np.uint8, np.int32])
        dtypes = [str(array.dtype) for array in arrays.values()]
        checks.require(dtypes == ["uint8", "int32"], "the dtypes", "uint8 and int32", f"{dtypes}")
    except (OSError, ValueError) as error:
        reason = _in_one_line(error)
        _logger.warning("Decoding again, because the cache %s is corrupted: %s", path, reason)
        return None
    return arrays["images"], arrays["labels"]


def _write_cache(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Writes the decoded arrays to the cache, or logs a warning if that fails."""
    try:
        with whole_file.replace(path) as file:
            np.savez(file, images=images, labels=labels)
    except OSError as error:
        _logger.warning("Cannot cache the decoded images, so each run decodes them: %s", error)
