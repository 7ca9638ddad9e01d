"""Tests tensorflow-datasets with small prepared datasets and a local server."""

import http.server
import logging
import pathlib
import re
import threading
import urllib.error
import urllib.request

import jax
import numpy as np
import pytest

from jaxgan import datasets, streaming
from jaxgan.datasets import _tfds

tfds = pytest.importorskip("tensorflow_datasets")


class TinyDigits(tfds.core.GeneratorBasedBuilder):
    """Defines a dataset with twelve images of 6 x 5 x 3 in its split "train"."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = pathlib.Path(__file__).parent  # the folder of its metadata

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(6, 5, 3)),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(12), "test": self._generate_examples(4)}

    def _generate_examples(self, num):
        for i in range(num):
            yield i, {"image": tiny_image(i), "label": i % 10}


class UnevenDigits(TinyDigits):
    """Defines images of several shapes, which do not fit in one array."""

    def _info(self):
        features = {
            "image": tfds.features.Image(),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))


class FloatDigits(TinyDigits):
    """Defines float images."""

    def _info(self):
        features = {
            "image": tfds.features.Tensor(shape=(6, 5, 3), dtype=np.float32),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, num):
        for i in range(num):
            yield i, {"image": tiny_image(i).astype(np.float32), "label": i % 10}


def tiny_image(i):
    return np.full((6, 5, 3), 20 * i, np.uint8) + np.arange(5, dtype=np.uint8)[None, :, None]


@pytest.fixture(scope="module", params=["array_record", "tfrecord"])
def prepared(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    TinyDigits(data_dir=folder, file_format=request.param).download_and_prepare()
    return folder


def assert_is_tiny(data, num):
    order = np.argsort(data.images[:, 0, 0, 0])  # tensorflow-datasets shuffles images
    np.testing.assert_array_equal(data.images[order], np.stack([tiny_image(i) for i in range(num)]))
    np.testing.assert_array_equal(data.labels[order], np.arange(num) % 10)
    assert (data.images.dtype, data.labels.dtype) == (np.uint8, np.int32)


@pytest.mark.parametrize(("split", "num"), [("train", 12), ("test", 4)])
def test_prepared_dataset_is_read_and_cached(prepared, split, num, monkeypatch):
    data = datasets.load("tiny_digits", split, prepared)
    assert_is_tiny(data, num)
    expected = f"tiny_digits {split}: {num} images, tiny_digits/1.0.0, TFDS in"
    assert data.source == f"{expected} {prepared / 'tiny_digits' / '1.0.0'}"
    monkeypatch.setattr("jaxgan.datasets._tfds._decode", None)  # the cache needs no decoding
    again = datasets.load("tiny_digits", split, str(prepared))
    np.testing.assert_array_equal(again.images, data.images)
    np.testing.assert_array_equal(again.labels, data.labels)


def test_prepared_dataset_can_be_streamed(tmp_path):
    builder = tfds.builder("tiny_digits", data_dir=tmp_path, file_format="array_record")
    builder.download_and_prepare()
    read = streaming.chunks(
        builder.as_data_source("train"),
        6,
        key=jax.random.key(0),
        element=lambda record: (record["image"], record["label"]),
    )
    images, labels = (np.concatenate(parts) for parts in zip(next(read), next(read), strict=True))
    order = np.argsort(images[:, 0, 0, 0])
    np.testing.assert_array_equal(images[order], np.stack([tiny_image(i) for i in range(12)]))
    np.testing.assert_array_equal(labels[order], np.arange(12) % 10)


def test_unprepared_dataset_is_prepared(tmp_path):
    data = datasets.load("tiny_digits", "train", tmp_path)
    assert_is_tiny(data, 12)
    info = tfds.builder("tiny_digits", data_dir=tmp_path).info
    assert info.file_format == tfds.core.FileFormat.ARRAY_RECORD


@pytest.mark.parametrize(
    "damage", [lambda b: b[:100], lambda b: b[:200] + b"!" + b[201:], lambda b: b""]
)
def test_corrupted_cache_is_rebuilt(tmp_path, damage, caplog):
    first = datasets.load("tiny_digits", "train", tmp_path)
    (cache,) = tmp_path.rglob("jaxgan-train.npz")
    cache.write_bytes(damage(cache.read_bytes()))
    with caplog.at_level(logging.WARNING, "jaxgan"):
        again = datasets.load("tiny_digits", "train", tmp_path)
    np.testing.assert_array_equal(again.images, first.images)
    assert f"Decoding again, because the cache {cache} is corrupted" in caplog.text
    assert _tfds._read_cache(cache, (12, 6, 5, 3)) is not None


@pytest.mark.parametrize("flip", [0x02, 0xFF])
def test_flipped_byte_in_a_cache_never_gives_wrong_values(tmp_path, flip):
    # Larger than the 4 KiB that zipfile reads at once, so that the first read ends before the CRC.
    images = np.random.default_rng(0).integers(0, 256, (3000, 1, 2, 1), dtype=np.uint8)
    labels = np.arange(3000, dtype=np.int32)
    cache = tmp_path / "jaxgan-train.npz"
    _tfds._write_cache(cache, images, labels)
    whole = cache.read_bytes()
    assert _tfds._read_cache(cache, images.shape) is not None
    for start in (0, whole.index(b"labels.npy") - 30, len(whole) - 400):  # headers, and the end
        for i in range(start, start + 400):
            cache.write_bytes(whole[:i] + bytes((whole[i] ^ flip,)) + whole[i + 1 :])
            arrays = _tfds._read_cache(cache, images.shape)
            if arrays is not None:  # an irrelevant byte, such as one of a date
                np.testing.assert_array_equal(arrays[0], images, err_msg=f"byte {i}", strict=True)
                np.testing.assert_array_equal(arrays[1], labels, err_msg=f"byte {i}", strict=True)


def test_cache_of_wrong_length_is_rebuilt(tmp_path, caplog):
    datasets.load("tiny_digits", "train", tmp_path)
    (cache,) = tmp_path.rglob("jaxgan-train.npz")
    np.savez(cache, images=np.zeros((3, 6, 5, 3), np.uint8), labels=np.zeros(3, np.int32))
    assert_is_tiny(datasets.load("tiny_digits", "train", tmp_path), 12)
    assert "3, 6, 5, 3" in caplog.text


def test_unknown_splits_and_datasets_are_rejected(prepared, tmp_path):
    expected = r"split must be one of \['test', 'train'\] for tiny_digits; got 'training'"
    with pytest.raises(ValueError, match=expected):
        datasets.load("tiny_digits", "training", prepared)
    with pytest.raises(ValueError, match=r"name must be one of .*list_builders.*'no_such_digits'"):
        datasets.load("no_such_digits", "train", tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("uneven_digits", r"shape=\(None, None, 3\)"), ("float_digits", "dtype=float32")],
)
def test_images_of_several_shapes_or_floats_are_rejected(tmp_path, name, expected):
    with pytest.raises(
        ValueError,
        match=f"{name}/1.0.0 must be a dataset of .* uint8 images (?s:.*){expected}",
    ):
        datasets.load(name, "train", tmp_path)


def test_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "tfds").mkdir()
    data = datasets.load("tiny_digits", "test", "~/tfds")
    assert data.source.endswith(f"TFDS in {tmp_path / 'tfds' / 'tiny_digits' / '1.0.0'}")


@pytest.fixture
def no_network(monkeypatch):
    """Fails each request."""

    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


FORBIDDEN = b"HTTP/1.0 403 Forbidden\r\n\r\n"
LOGIN_PAGE = b"HTTP/1.0 200 OK\r\n\r\n<html>please log in</html>"
NO_HTTP = b"220 smtp at your service\r\n"


@pytest.fixture
def mnist_server(request, tmp_path, monkeypatch):
    """Serves one response to all MNIST downloads, from a local server."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(request.param)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args):
            pass

    mnist = tfds.builder_cls("mnist")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        infos = {url + pathlib.Path(old).name: info for old, info in mnist.url_infos.items()}
        monkeypatch.setattr(mnist, "URL", url)
        monkeypatch.setattr(mnist, "url_infos", infos)
        monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        threading.Thread(target=server.serve_forever).start()
        yield
        server.shutdown()


def test_mnist_falls_back_without_network_and_logs_it(tmp_path, monkeypatch, no_network, caplog):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    data = datasets.load("mnist", "train")
    assert len(data.images) == 10_000
    (record,) = [r for r in caplog.records if r.name == "jaxgan"]
    assert "10,000 MNIST test digits" in record.message
    assert "no network" in record.message
    assert "For all 70,000" in record.message
    assert "\n" not in record.message
    assert not list(tmp_path.rglob("*.tmp*"))


@pytest.mark.parametrize(
    ("mnist_server", "expected"),
    [
        pytest.param(FORBIDDEN, "DownloadError: Failed to get url .* HTTP code: 403", id="403"),
        pytest.param(LOGIN_PAGE, "NonMatchingChecksumError", id="login page"),
        pytest.param(NO_HTTP, "BadStatusLine: 220 smtp", id="no HTTP"),
    ],
    indirect=["mnist_server"],
)
def test_mnist_falls_back_on_invalid_responses(mnist_server, expected, tmp_path, caplog):
    data = datasets.load("mnist", "train")
    assert data.source == "mnist: the 10,000 test digits that ship with jaxgan"
    (record,) = [r for r in caplog.records if r.name == "jaxgan"]
    assert re.search(expected, record.message)
    assert "\n" not in record.message
    expected = f"data_dir must be a folder with mnist: .*; got {tmp_path}, and .*{expected}"
    with pytest.raises(FileNotFoundError, match=expected):
        datasets.load("mnist", "train", data_dir=tmp_path)


def test_folder_without_the_dataset_names_the_failed_download(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError(OSError("Name or service not known"))

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    expected = r"got .*, and tensorflow-datasets cannot download or prepare .*/\d\.\d\.\d \(OSError"
    for name in ("mnist", "cifar10"):
        with pytest.raises(FileNotFoundError, match=f"{expected}: Name or service") as caught:
            datasets.load(name, "train", tmp_path)
        assert f"{tmp_path / name} of tensorflow-datasets; got" in str(caught.value)
        assert "URLError" not in str(caught.value)


def test_other_datasets_without_network_name_the_accepted_files(tmp_path, monkeypatch, no_network):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    expected = "Cannot load 'kmnist', because .*no network.*Set data_dir to a folder with kmnist: "
    with pytest.raises(RuntimeError, match=f"{expected}train-images.*data_dir/KMNIST/raw"):
        datasets.load("kmnist", "train")
