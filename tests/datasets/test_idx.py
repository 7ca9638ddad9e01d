"""IDX files: the real ones that ship, and every way in which a file can be bad."""

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
    """A tiny dataset whose digests are known."""
    digests = {}
    for split in ("train", "test"):
        for kind, array in zip(("images", "labels"), arrays, strict=True):
            path = write(tmp_path / idx.FILES[split, kind], array)
            digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(idx.SHA256, "tiny", digests)
    return tmp_path


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_is_its_two_files(folder, arrays, split):
    images, labels = idx.load("tiny", split, folder)
    np.testing.assert_array_equal(images, arrays[0][..., None])
    np.testing.assert_array_equal(labels, arrays[1])
    assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
    images += 1  # a copy of its own


def test_found(tmp_path, folder):
    assert idx.found(folder)
    assert not idx.found(tmp_path / "nowhere")


def test_a_tilde_is_the_home_folder(folder, arrays, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert idx.found("~")
    np.testing.assert_array_equal(idx.load("tiny", "test", "~")[0], arrays[0][..., None])
    np.testing.assert_array_equal(idx.read(f"~/{LABELS}", rank=1), arrays[1])


DAMAGES = [
    (lambda content: content[:-20], "truncated or no gzip file"),
    (lambda content: content[:6], "truncated or no gzip file"),
    (lambda content: b"", "wrong magic number of no bytes, not 00000803"),
    (lambda content: b"<html>not found</html>", "truncated or no gzip file"),
    (lambda content: content[:30] + bytes((content[30] ^ 8,)) + content[31:], ""),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGES)
def test_a_damaged_file_is_refused_by_name(folder, damage, said):
    path = folder / IMAGES
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"{IMAGES}.*{said}"):
        idx.read(path, rank=3)
    with pytest.raises(ValueError, match=f"{IMAGES}: not the original file.*Fetch it again"):
        idx.load("tiny", "test", folder)


def test_a_wrong_digest_is_refused_by_name(folder, arrays):
    write(folder / LABELS, (arrays[1] + 1) % 10)
    with pytest.raises(ValueError, match=f"{LABELS}: not the original file. Its sha256 is .*, not"):
        idx.load("tiny", "test", folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"magic": bytes((0, 0, 8, 1))}, "number 00000801, not 00000803.*rank 3"),
        ({"magic": bytes((0, 0, 13, 3))}, "wrong magic number 00000d03"),
        ({"sizes": (8, 5, 4)}, "holds fewer bytes than the sizes .*160. Fetch"),
        ({"sizes": (6, 5, 4)}, "holds more bytes than the sizes .*120. Fetch"),
        ({"sizes": (0, 5, 4)}, r"claims sizes \(0, 5, 4\), but .* can be of 1 to \d+ bytes"),
        ({"sizes": (2**31, 2**31, 4)}, "claims sizes"),
        ({"compress": False}, "truncated or no gzip file"),
    ],
)
def test_a_malformed_file_is_refused_by_name(tmp_path, arrays, changes, said):
    path = write(tmp_path / "x.gz", arrays[0], **changes)
    with pytest.raises(ValueError, match=f"x.gz: .*{said}"):
        idx.read(path, rank=3)


def test_a_header_that_ends_early(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes((0, 0, 8, 3, 0, 0))))
    with pytest.raises(ValueError, match=r"ends within its header, after 6 bytes of 16"):
        idx.read(tmp_path / "x.gz", rank=3)


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    header, count = bytes((0, 0, 8, 1)) + struct.pack(">I", 10), 10
    (tmp_path / "x.gz").write_bytes(gzip.compress(header + bytes(20_000_000), 1))
    unpacked, read = [], gzip.GzipFile.read

    def counting_read(self, size=-1):
        data = read(self, size)
        unpacked.append(len(data))
        return data

    monkeypatch.setattr(gzip.GzipFile, "read", counting_read)
    with pytest.raises(ValueError, match="holds more bytes"):
        idx.read(tmp_path / "x.gz", rank=1)
    assert 0 < sum(unpacked) <= len(header) + count + 1


def test_missing_files_names_and_splits(folder):
    (folder / LABELS).unlink()
    for call in (
        lambda: idx.load("tiny", "test", folder),
        lambda: idx.read(folder / LABELS, rank=1),
    ):
        with pytest.raises(FileNotFoundError, match=rf"{LABELS} is missing; .* gzipped IDX file"):
            call()
    with pytest.raises(ValueError, match=r"IDX files are known for .*'mnist'.*; got 'cifar10'"):
        idx.load("cifar10", "train", folder)
    with pytest.raises(ValueError, match="'train' and 'test'; got 'validation'"):
        idx.load("tiny", "validation", folder)
