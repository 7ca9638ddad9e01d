"""Tests the choice of the source: the embedded digits, IDX files or tensorflow-datasets."""

import sys
from pathlib import Path

import numpy as np
import pytest

import jaxgan
from jaxgan import datasets

EMBEDDED_DIR = Path(jaxgan.__file__).parent / "data" / "mnist"


def test_embedded_digits_are_the_mnist_test_set():
    for split in ("train", "test"):
        images, labels = data = datasets.load("mnist", split, data_dir="embedded")
        assert images.shape == (10_000, 28, 28, 1)
        assert images is data.images
        # Known counts of the digits 0 to 9 in the MNIST test set.
        counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
        np.testing.assert_array_equal(np.bincount(labels), counts)
        assert data.source == "mnist: the 10,000 test digits that ship with jaxgan"


def test_only_mnist_is_embedded():
    with pytest.raises(ValueError, match=r"for the embedded digits; got 'cifar10' and 'train'"):
        datasets.load("cifar10", "train", data_dir="embedded")
    with pytest.raises(ValueError, match=r"got 'mnist' and 'validation'"):
        datasets.load("mnist", "validation", data_dir="embedded")


def test_idx_files_are_read_from_their_folder():
    data = datasets.load("mnist", "test", EMBEDDED_DIR)
    assert data.source == f"mnist test: 10,000 images, IDX files in {EMBEDDED_DIR}"
    with pytest.raises(FileNotFoundError, match="which has no train-images-idx3-ubyte"):
        datasets.load("mnist", "train", EMBEDDED_DIR)


def test_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "digits").symlink_to(EMBEDDED_DIR)
    data = datasets.load("mnist", "test", "~/digits")
    assert data.source == f"mnist test: 10,000 images, IDX files in {tmp_path / 'digits'}"


def test_file_as_data_dir_is_rejected(tmp_path):
    (tmp_path / "a.gz").touch()
    with pytest.raises(ValueError, match=r"data_dir must be a folder or .*; got the file .*a\.gz"):
        datasets.load("mnist", "train", tmp_path / "a.gz")


@pytest.mark.parametrize("place", ["missing", "missing.npz"])
def test_missing_data_dir_lists_the_accepted_files(tmp_path, place):
    with pytest.raises(FileNotFoundError) as caught:
        datasets.load("fashion_mnist", "train", tmp_path / place)
    folder = tmp_path / "missing" if place == "missing" else tmp_path
    assert str(caught.value) == (
        "data_dir must be a folder with fashion_mnist: train-images-idx3-ubyte, "
        "train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (unpacked or "
        f".gz) in {folder} or {folder}/FashionMNIST/raw, {folder}/fashion_mnist.npz of Keras, or "
        f"{folder}/fashion_mnist of tensorflow-datasets; got {tmp_path / place}, which does not "
        "exist."
    )


def test_archive_of_keras_can_be_the_data_dir(tmp_path):
    (tmp_path / "keras.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"keras\.npz is corrupted or not the expected \.npz file"):
        datasets.load("mnist", "train", tmp_path / "keras.npz")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_folder_without_the_dataset_lists_the_accepted_files(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    expected = rf"data_dir must be .*{tmp_path}/{name} of tensorflow-datasets; got {tmp_path}, and "
    with pytest.raises(FileNotFoundError, match=f"{expected}tensorflow-datasets is not installed"):
        datasets.load(name, "train", tmp_path)


@pytest.mark.parametrize("name", ["", "../mnist", "/mnist", "mnist/..", "c:\\mnist", "mnist\n"])
def test_path_as_name_is_rejected(name):
    with pytest.raises(ValueError, match="name must be a dataset's name, such as 'mnist'; got"):
        datasets.load(name)


@pytest.mark.parametrize("arguments", [(3,), ("mnist", None), ("mnist", "test", 3)])
def test_arguments_of_wrong_type_are_rejected(arguments):
    with pytest.raises(TypeError, match=r"must be (text|the path .*); got (3|None)"):
        datasets.load(*arguments)


def test_datasets_compare_by_identity():
    one, other = (datasets.load("mnist", "test", data_dir="embedded") for _ in range(2))
    assert one == one
    assert one != other
    assert len({one, other}) == 2


def test_mnist_falls_back_without_tensorflow_datasets(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert len(datasets.load("mnist", "train").images) == 10_000
    assert "pip install 'jaxgan[examples]'" in caplog.text
    expected = "tensorflow-datasets is not installed .* Set data_dir to a folder with kmnist: train"
    with pytest.raises(RuntimeError, match=expected):
        datasets.load("kmnist", "train")
