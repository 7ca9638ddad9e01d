"""Tests each form of the original files, on tiny datasets with known digests."""

import gzip
import hashlib
import struct

import numpy as np
import pytest

from jaxgan.datasets import _files as files

IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
KERAS = {"x_train": "train images", "y_train": "train labels"}
KERAS |= {"x_test": "test images", "y_test": "test labels"}
LAYOUTS = {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw", "kmnist": "KMNIST/raw"}


def make_arrays(seed):
    generator = np.random.default_rng(seed)
    return {
        (split, kind): generator.integers(0, 10, shape, dtype=np.uint8)
        for split, num in (("train", 7), ("test", 6))
        for kind, shape in (("images", (num, 5, 4)), ("labels", (num,)))
    }


def content(array):
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def pack(data):
    return gzip.compress(data, mtime=0)


DATA = {name: make_arrays(seed) for seed, name in enumerate(LAYOUTS)}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Replaces the datasets by tiny ones."""
    shapes = {key: array.shape for key, array in DATA["mnist"].items()}
    monkeypatch.setattr(files, "SHAPES", shapes)
    for table, digest in ((files.SHA256, sha256), (files.PACKED_SHA256, lambda x: sha256(pack(x)))):
        for name in table:
            digests = {files.FILES[key]: digest(content(x)) for key, x in DATA[name].items()}
            monkeypatch.setitem(table, name, digests)


def write(folder, name="mnist", convert=pack, ending=".gz", splits=("train", "test")):
    folder.mkdir(parents=True, exist_ok=True)
    for (split, kind), array in DATA[name].items():
        if split in splits:
            path = folder / f"{files.FILES[split, kind]}{ending}"
            path.write_bytes(convert(content(array)))
    return folder


def keras(path, name="mnist"):
    np.savez_compressed(path, **{key: DATA[name][tuple(x.split())] for key, x in KERAS.items()})
    return path


def assert_is(found, name, split):
    np.testing.assert_array_equal(found.images, DATA[name][split, "images"][..., None], strict=True)
    expected = DATA[name][split, "labels"].astype(np.int32)
    np.testing.assert_array_equal(found.labels, expected, strict=True)
    found.images[...] = 0  # a writable copy


FORMS = [(pack, ".gz"), (lambda x: gzip.compress(x, 1, mtime=9), ".gz"), (bytes, ""), (pack, "")]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize(("convert", "ending"), FORMS)
@pytest.mark.parametrize("layout", ["", "torchvision"])
def test_idx_files_are_read_in_any_form(tmp_path, name, convert, ending, layout, caplog):
    folder = write(tmp_path / (layout and LAYOUTS[name]), name, convert, ending)
    for split, num in (("train", 7), ("test", 6)):
        data = files.load(name, split, tmp_path)
        assert_is(data, name, split)
        assert data.source == f"{name} {split}: {num} images, IDX files in {folder}"
    assert not caplog.records


def test_archive_of_keras_is_read(tmp_path):
    path = keras(tmp_path / "mnist.npz")
    for place in (tmp_path, path):
        for split, num in (("train", 7), ("test", 6)):
            data = files.load("mnist", split, place)
            assert_is(data, "mnist", split)
            assert data.source == f"mnist {split}: {num} images, {path}"


def test_archive_is_read_if_the_idx_files_are_of_the_other_split(tmp_path):
    keras(write(tmp_path, splits=["test"]) / "mnist.npz")
    assert files.load("mnist", "train", tmp_path).source.endswith("mnist.npz")


def test_archive_with_pickled_objects_is_rejected(tmp_path):
    arrays = {key: np.array([object()]) for key in KERAS}
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(ValueError, match=r"mnist\.npz is corrupted or not the expected .npz"):
        files.load("mnist", "test", tmp_path)


@pytest.mark.parametrize("cut", [0, 10, 300, -1])
def test_truncated_archive_is_named(tmp_path, cut):
    path = keras(tmp_path / "mnist.npz")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"mnist\.npz is corrupted or not the expected .npz"):
        files.load("mnist", "test", tmp_path)


@pytest.mark.parametrize(("convert", "ending"), [(pack, ".gz"), (bytes, "")])
def test_other_data_is_named(tmp_path, convert, ending):
    path = write(tmp_path, "mnist", convert, ending) / f"{LABELS}{ending}"
    path.write_bytes(convert(content(DATA["mnist"]["test", "labels"] ^ 1)))
    expected = (
        rf"{LABELS}{ending} must be the original {LABELS} of mnist; got other data, of sha256"
    )
    with pytest.raises(ValueError, match=expected):
        files.load("mnist", "test", tmp_path)


def test_changed_archive_is_named(tmp_path):
    path, arrays = tmp_path / "mnist.npz", {}
    with np.load(keras(path)) as archive:
        arrays = dict(archive)
    arrays["y_test"] ^= 1
    np.savez(path, **arrays)
    assert_is(files.load("mnist", "train", tmp_path), "mnist", "train")
    with pytest.raises(ValueError, match=rf"y_test in .*mnist\.npz must be the original {LABELS}"):
        files.load("mnist", "test", tmp_path)


@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist"])
def test_files_of_another_dataset_are_rejected(tmp_path, name):
    with pytest.raises(ValueError, match=rf"{IMAGES}.gz must be .* of {name}; got that of mnist"):
        files.load(name, "test", write(tmp_path, "mnist"))


def test_only_original_packed_files_of_kmnist_are_verified(tmp_path, caplog):
    assert_is(files.load("kmnist", "test", write(tmp_path, "kmnist")), "kmnist", "test")
    assert not caplog.records
    folder = write(tmp_path / LAYOUTS["kmnist"], "kmnist", bytes, "")
    for ending in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        (tmp_path / f"t10k-{ending}.gz").unlink()
    assert_is(files.load("kmnist", "test", tmp_path), "kmnist", "test")
    for record, name in zip(caplog.records, (IMAGES, LABELS), strict=True):
        assert record.getMessage().startswith(f"Cannot verify {folder / name}, because")


def test_missing_split_names_the_file_and_all_forms(tmp_path):
    write(tmp_path, splits=["test"])
    with pytest.raises(FileNotFoundError) as caught:
        files.load("mnist", "train", tmp_path)
    message = str(caught.value)
    for name in files.FILES.values():
        assert name in message
    for place in (tmp_path / "MNIST" / "raw", tmp_path / "mnist.npz", tmp_path / "mnist"):
        assert str(place) in message
    assert f"got {tmp_path}, which has no train-images-idx3-ubyte" in message


def test_unknown_names_and_splits_are_rejected(tmp_path):
    write(tmp_path)
    with pytest.raises(ValueError, match=r"name must be one of .*'mnist'.*; got 'cifar10'"):
        files.load("cifar10", "train", tmp_path)
    with pytest.raises(ValueError, match="'train' or 'test' for original files; got 'validation'"):
        files.load("mnist", "validation", tmp_path)
