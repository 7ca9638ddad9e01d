"""Images from tensorflow-datasets, decoded once and cached as arrays.

TensorFlow is imported by tensorflow-datasets alone, and only to prepare a dataset or to read one
that was prepared as TFRecords.
"""

import contextlib
import logging
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from jaxgan._internal import checks, npz
from jaxgan.datasets._dataset import Dataset

_CONNECT_SECONDS = 5.0
_logger = logging.getLogger("jaxgan")


class UnavailableError(Exception):
    """tensorflow-datasets cannot serve; says why and what to do."""


def load(name: str, split: str, data_dir: Path | None) -> Dataset:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UnavailableError(
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
        raise UnavailableError(
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
