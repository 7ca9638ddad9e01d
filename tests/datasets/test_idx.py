"""Tests valid and corrupted IDX files."""

import gzip
import struct

import numpy as np
import pytest

from jaxgan.datasets import _idx as idx

SHAPE = (7, 5, 4)
ARRAY = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


def content(array=ARRAY, *, magic=None, sizes=None):
    header = magic or bytes((0, 0, 8, array.ndim))
    return header + struct.pack(f">{array.ndim}I", *(sizes or array.shape)) + array.tobytes()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda data: gzip.compress(data, 1)])
@pytest.mark.parametrize("name", ["x", "x.gz"])
def test_file_is_read_packed_or_unpacked(tmp_path, pack, name):
    (tmp_path / name).write_bytes(pack(content()))
    found = idx.read(tmp_path / name, SHAPE)
    np.testing.assert_array_equal(found, ARRAY, strict=True)
    found += 1  # a writable copy


CORRUPTIONS = [
    (lambda data: data[:-20], "a complete gzip file; got"),
    (lambda data: data[:6], "a complete gzip file; got"),
    (lambda data: data[:30] + bytes((data[30] ^ 8,)) + data[31:], ""),
    (lambda data: b"", "magic number 00000803 .*; got no bytes"),
    (lambda data: b"<html>not found</html>", r"magic number 00000803 .*; got 3c68746d\."),
    (lambda data: gzip.decompress(data)[:-1], "140 bytes of data .*; got 139. Download"),
    (lambda data: gzip.decompress(data)[:9], "a header of 16 bytes; got 9. Download"),
]


@pytest.mark.parametrize(("damage", "message"), CORRUPTIONS)
def test_corrupted_file_is_named(tmp_path, damage, message):
    (tmp_path / "x.gz").write_bytes(damage(gzip.compress(content())))
    with pytest.raises(ValueError, match=rf"x\.gz must be .*{message}"):
        idx.read(tmp_path / "x.gz", SHAPE)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"magic": bytes((0, 0, 8, 1))}, r"00000803 \(unsigned bytes, 3 axes\); got 00000801"),
        ({"magic": bytes((0, 0, 13, 3))}, "got 00000d03"),
        ({"array": ARRAY[:6]}, r"of shape \(7, 5, 4\); got shape \(6, 5, 4\)"),
        ({"sizes": (2**31, 2**31, 4)}, r"got shape \(2147483648, "),
        (
            {"array": ARRAY[:6], "sizes": SHAPE},
            r"140 bytes .* \(7, 5, 4\); got 120",
        ),
        ({"array": ARRAY.repeat(2, 0), "sizes": SHAPE}, "140 bytes of data .*; got more"),
    ],
)
def test_malformed_file_is_named(tmp_path, changes, message, pack):
    (tmp_path / "x").write_bytes(pack(content(**changes)))
    with pytest.raises(ValueError, match=rf"x must be .*{message}"):
        idx.read(tmp_path / "x", SHAPE)


def test_gzip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    header, count = bytes((0, 0, 8, 1)) + struct.pack(">I", 10), 10
    (tmp_path / "x.gz").write_bytes(gzip.compress(header + bytes(20_000_000), 1))
    unpacked, read = [], gzip.GzipFile.read

    def counting_read(self, size=-1):
        data = read(self, size)
        unpacked.append(len(data))
        return data

    monkeypatch.setattr(gzip.GzipFile, "read", counting_read)
    with pytest.raises(ValueError, match=r"10 bytes of data .*; got more"):
        idx.read(tmp_path / "x.gz", (10,))
    assert 0 < sum(unpacked) <= len(header) + count + 1


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="train-labels"):
        idx.read(tmp_path / "train-labels", (3,))
