"""Tests valid and corrupted IDX files."""

import gzip
import hashlib
import struct

import numpy as np
import pytest

from jaxgan.datasets import _idx as idx

IMAGES, LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"


def write(path, array, *, magic=None, sizes=None, compress=True):
    header = magic or bytes((0, 0, 8, array.ndim))
    content = header + struct.pack(f">{array.ndim}I", *(sizes or array.shape)) + array.tobytes()
    path.write_bytes(gzip.compress(content) if compress else content)
    return path


@pytest.fixture
def arrays():
    generator = np.random.default_rng(0)
    return (
        generator.integers(0, 256, (7, 5, 4), dtype=np.uint8),
        generator.integers(0, 10, 7, dtype=np.uint8),
    )


@pytest.fixture
def folder(tmp_path, arrays, monkeypatch):
    """Writes a tiny dataset with known digests."""
    digests = {}
    for split in ("train", "test"):
        for kind, array in zip(("images", "labels"), arrays, strict=True):
            path = write(tmp_path / idx.FILES[split, kind], array)
            digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(idx.SHA256, "tiny", digests)
    return tmp_path


@pytest.mark.parametrize("split", ["train", "test"])
def test_split_is_read_from_its_two_files(folder, arrays, split):
    images, labels = idx.load("tiny", split, folder)
    np.testing.assert_array_equal(images, arrays[0][..., None])
    np.testing.assert_array_equal(labels, arrays[1])
    assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
    images += 1  # a writable copy


def test_found_detects_idx_files(tmp_path, folder):
    assert idx.found(folder)
    assert not idx.found(tmp_path / "nowhere")


CORRUPTIONS = [
    (lambda content: content[:-20], "must be a complete gzip file; got"),
    (lambda content: content[:6], "must be a complete gzip file; got"),
    (lambda content: b"", "magic number 00000803 .*; got no bytes"),
    (lambda content: b"<html>not found</html>", "must be a complete gzip file; got"),
    (lambda content: content[:30] + bytes((content[30] ^ 8,)) + content[31:], ""),
]


@pytest.mark.parametrize(("damage", "message"), CORRUPTIONS)
def test_corrupted_file_is_named(folder, damage, message):
    path = folder / IMAGES
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"{IMAGES}.*{message}"):
        idx.read(path, rank=3)
    with pytest.raises(ValueError, match=f"{IMAGES} must be the original file.*Download it again"):
        idx.load("tiny", "test", folder)


def test_file_with_wrong_digest_is_named(folder, arrays):
    write(folder / LABELS, (arrays[1] + 1) % 10)
    with pytest.raises(ValueError, match=f"{LABELS} must be the original .* sha256 .*; got sha256"):
        idx.load("tiny", "test", folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"magic": bytes((0, 0, 8, 1))},
            r"00000803 \(unsigned bytes, 3 axes\); got 00000801",
        ),
        ({"magic": bytes((0, 0, 13, 3))}, "got 00000d03"),
        (
            {"sizes": (8, 5, 4)},
            r"160 bytes of data for the sizes \(8, 5, 4\); got 140",
        ),
        ({"sizes": (6, 5, 4)}, r"120 bytes of data for the sizes \(6, 5, 4\); got more. Down"),
        ({"sizes": (0, 5, 4)}, r"of 1 to \d+ bytes; got sizes \(0, 5, 4\)"),
        ({"sizes": (2**31, 2**31, 4)}, "got sizes"),
        ({"compress": False}, "a complete gzip file; got"),
    ],
)
def test_malformed_file_is_named(tmp_path, arrays, changes, message):
    path = write(tmp_path / "x.gz", arrays[0], **changes)
    with pytest.raises(ValueError, match=rf"x\.gz must be .*{message}"):
        idx.read(path, rank=3)


def test_truncated_header_is_rejected(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes((0, 0, 8, 3, 0, 0))))
    with pytest.raises(ValueError, match=r"must be an IDX file with a header of 16 bytes; got 6"):
        idx.read(tmp_path / "x.gz", rank=3)


def test_gzip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    header, count = bytes((0, 0, 8, 1)) + struct.pack(">I", 10), 10
    (tmp_path / "x.gz").write_bytes(gzip.compress(header + bytes(20_000_000), 1))
    unpacked, read = [], gzip.GzipFile.read

    def counting_read(self, size=-1):
        data = read(self, size)
        unpacked.append(len(data))
        return data

    monkeypatch.setattr(gzip.GzipFile, "read", counting_read)
    with pytest.raises(ValueError, match=r"for the sizes .*; got more"):
        idx.read(tmp_path / "x.gz", rank=1)
    assert 0 < sum(unpacked) <= len(header) + count + 1


def test_missing_files_and_unknown_names_are_rejected(folder):
    (folder / LABELS).unlink()
    with pytest.raises(FileNotFoundError, match=rf"test labels must be an existing .*{LABELS}"):
        idx.load("tiny", "test", folder)
    with pytest.raises(FileNotFoundError, match=LABELS):
        idx.read(folder / LABELS, rank=1)
    with pytest.raises(ValueError, match=r"name must be one of .*'mnist'.*; got 'cifar10'"):
        idx.load("cifar10", "train", folder)
    with pytest.raises(ValueError, match="'train' or 'test' for IDX files; got 'validation'"):
        idx.load("tiny", "validation", folder)
