"""jaxgan rejects malicious files (bombs, false headers, pickles) without much memory or time."""

import ast
import contextlib
import gzip
import io
import pickle
import shutil
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import jaxgan
from jaxgan import datasets, evaluation, images
from jaxgan._internal import npz
from jaxgan.datasets import _idx as idx
from jaxgan.datasets import _tfds
from jaxgan.datasets._files import FILES

MEBIBYTE = 2**20
SOURCES = sorted(Path(jaxgan.__file__).parent.rglob("*.py"))
PACKED = gzip.compress(bytes((0, 0, 8, 1)) + struct.pack(">I", 40) + bytes(range(40)), mtime=0)


@contextlib.contextmanager
def little_memory():
    """Fails if the block allocates more than 8 MiB."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MEBIBYTE


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("loaded a pickle",))


def members(path, **contents):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in contents.items():
            file.writestr(f"{name}.npy", content)
    return path


def false_sizes(path, content, compression):
    """Writes an `.npz` with the size and CRC of `content` that unpacks to 64 MiB more."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("a.npy", content + bytes(64 * MEBIBYTE))
        info = file.getinfo("a.npy")
    packed, sizes = path.read_bytes(), struct.pack("<LL", info.compress_size, info.file_size)
    assert packed.count(sizes) == 2  # in the member's header and in the directory
    crcs = [struct.pack("<L", crc) for crc in (info.CRC, zlib.crc32(content))]
    false = struct.pack("<LL", info.compress_size, len(content))
    path.write_bytes(packed.replace(sizes, false).replace(*crcs))
    return path


def saved(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def header_only(shape, descr="|u1"):
    header = io.BytesIO()
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


@pytest.mark.parametrize("examples", [30, pytest.param(500, marks=pytest.mark.slow)])
def test_corrupted_idx_file_is_rejected_by_name(tmp_path, examples):
    path = tmp_path / "corrupted.gz"
    cut = st.integers(0, len(PACKED) - 1).map(lambda n: PACKED[:n])
    more = st.binary(min_size=1, max_size=50).filter(any).map(lambda tail: PACKED + tail)
    other = st.binary(max_size=100)
    headers = st.binary(min_size=8, max_size=8).filter(lambda h: h != gzip.decompress(PACKED)[:8])
    false_header = headers.map(lambda header: gzip.compress(header + bytes(range(40)), mtime=0))

    @hypothesis.settings(max_examples=examples, derandomize=True, database=None, deadline=None)
    @hypothesis.given(st.one_of(cut, more, other, false_header))
    def check(content):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"corrupted\.gz must be .*; got"):
            idx.read(path, (40,))

    check()


@pytest.mark.parametrize("sizes", [(2**31,), (2**32 - 1,), (10,)])
def test_gzip_bomb_is_not_unpacked(tmp_path, sizes):
    with gzip.open(tmp_path / "bomb.gz", "wb", 1) as file:
        file.write(bytes((0, 0, 8, 1)) + struct.pack(">I", *sizes))
        for _ in range(64):
            file.write(bytes(MEBIBYTE))
    message = r"bomb\.gz must be .*; got (shape \(\d+,\)|more)"
    with little_memory(), pytest.raises(ValueError, match=message):
        idx.read(tmp_path / "bomb.gz", (10,))
    for kind in ("images", "labels"):
        shutil.copy(tmp_path / "bomb.gz", tmp_path / f"{FILES['test', kind]}.gz")
    with little_memory(), pytest.raises(ValueError, match="images-idx3-ubyte"):
        datasets.load("mnist", "test", tmp_path)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"a": saved(np.array([Evil()]))}, "object"),
        ({"a": saved(np.array(["text"] * 3))}, "must be float32"),
        ({"a": saved(np.zeros(4, np.float32))}, r"shape \(4,\)"),
        ({"a": header_only((2**50,))}, r"shape \(1125899906842624,\)"),
        ({"a": header_only((3,), "<f4")}, "a must be 12 bytes; got 0"),
        ({"a": pickle.dumps(Evil())}, ""),
        ({"a": bytes(64 * MEBIBYTE)}, "at most 16396 bytes, unpacked; got 67108864"),
        ({"b": saved(np.zeros(3, np.float32))}, r"must be \['a.npy'\]; got \['b.npy'\]"),
        ({"../a": saved(np.zeros(3, np.float32))}, r"'../a.npy'"),
        ({}, r"must be \['a.npy'\]; got \[\]"),
    ],
)
def test_malicious_npz_file_is_rejected_by_name(tmp_path, contents, message):
    path = members(tmp_path / "malicious.npz", **contents)
    message = rf"malicious\.npz is corrupted.*{message}"
    with little_memory(), pytest.raises(ValueError, match=message):
        npz.read(path, {"a": (3,)}, [np.float32])


@pytest.mark.parametrize(
    ("compression", "message"),
    [
        (zipfile.ZIP_STORED, "as declared; got more"),
        (zipfile.ZIP_DEFLATED, "as declared; got more"),
        (zipfile.ZIP_BZIP2, "stored or deflated; got compression"),
        (zipfile.ZIP_LZMA, "stored or deflated; got compression"),
    ],
)
def test_npz_bomb_with_a_false_size_is_not_unpacked(tmp_path, compression, message):
    for module in {zipfile.ZIP_BZIP2: ["bz2"], zipfile.ZIP_LZMA: ["lzma"]}.get(compression, []):
        pytest.importorskip(module)  # some Python builds lack the module
    path = false_sizes(tmp_path / "bomb.npz", saved(np.zeros(3, np.float32)), compression)
    message = rf"bomb\.npz is corrupted.*{message}"
    with little_memory(), pytest.raises(ValueError, match=message):
        npz.read(path, {"a": (3,)}, [np.float32])


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_checksum_detects_a_flipped_bit_in_a_member(tmp_path, compression):
    values = np.random.default_rng(0).normal(size=5000)  # more than one block
    with zipfile.ZipFile(tmp_path / "a.npz", "w", compression) as file:
        file.writestr("a.npy", saved(values))
    intact = (tmp_path / "a.npz").read_bytes()
    found = npz.read(tmp_path / "a.npz", {"a": (5000,)}, [np.float64])["a"]
    np.testing.assert_array_equal(found, values)
    for at in range(1000, 36_000, 1234):
        flipped = intact[:at] + bytes((intact[at] ^ 1,)) + intact[at + 1 :]
        (tmp_path / "a.npz").write_bytes(flipped)
        with pytest.raises(ValueError, match=r"a\.npz is corrupted"):
            npz.read(tmp_path / "a.npz", {"a": (5000,)}, [np.float64])


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"\x93NUMPY", b"\x80\x04K\x01.", saved(np.ones(3))]
)
def test_file_that_is_not_npz_is_rejected(tmp_path, content):
    (tmp_path / "weights.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"weights\.npz is corrupted"):
        evaluation.load_classifier(tmp_path / "weights.npz", name="x")
    assert _tfds._read_cache(tmp_path / "weights.npz", (3, 2, 2, 1)) is None


def test_pickled_or_non_finite_weights_are_rejected(tmp_path):
    shipped = Path(jaxgan.__file__).parent / "data" / "classifiers" / "mnist-v1.npz"
    with np.load(shipped, allow_pickle=False) as file:
        weights = dict(file)
    for wrong, message in (
        (np.array([Evil()] * 10), "object"),
        (np.full(10, np.nan, "f"), "is nan at"),
    ):
        np.savez(tmp_path / "w.npz", **{**weights, "Dense_1/bias": wrong})
        with pytest.raises(ValueError, match=message):
            evaluation.load_classifier(tmp_path / "w.npz", name="x")


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + bytes(40), b"\x80\x04K\x01."]
)
def test_corrupted_picture_is_rejected(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.png must be a picture; got a corrupted file"):
        images.animate(tmp_path / "a.gif", [tmp_path / "a.png"])


def test_stream_rejects_a_chunk_of_none():
    stream = jaxgan.streaming.stream(lambda *x: x, None, iter([None]))
    with pytest.raises(
        TypeError, match="Chunk 0 must be an array, or a tuple or dict of arrays; got"
    ):
        next(stream)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_module_reads_a_pickle(source):
    tree = ast.parse(source.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            readers = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
            assert not readers & {part for name in names for part in name.split(".")}
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            assert called not in ("np.load", "numpy.load", "jnp.load", "jax.numpy.load"), called
