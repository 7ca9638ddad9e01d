"""Compares the reader of `.npz` files with numpy. tests/torture tests hostile files."""

import zipfile

import numpy as np
import pytest

from jaxgan._internal import npz


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8, np.int64, np.bool_])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4), (70_000,)])
def test_arrays_are_read_bit_identically(tmp_path, save, dtype, shape):
    values = (np.random.default_rng(0).normal(size=shape) * 100).astype(dtype)
    save(tmp_path / "a.npz", a=values)
    found = npz.read(tmp_path / "a.npz", {"a": shape}, [dtype])
    np.testing.assert_array_equal(found["a"], values, strict=True)


def test_arrays_are_writable_and_contiguous(tmp_path):
    values = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.savez(tmp_path / "a.npz", a=values)
    found = npz.read(tmp_path / "a.npz", {"a": (2, 3)}, [np.float64])["a"]
    np.testing.assert_array_equal(found, values)
    assert found.flags.c_contiguous
    found += 1


def test_all_arrays_are_read_in_the_expected_order(tmp_path):
    np.savez(tmp_path / "a.npz", **{"layer/b": np.ones(2, np.float16), "a": np.zeros(3)})
    shapes = {"a": (3,), "layer/b": (2,)}
    found = npz.read(tmp_path / "a.npz", shapes, [np.float64, np.float16])
    assert list(found) == ["a", "layer/b"]
    assert [x.dtype for x in found.values()] == [np.float64, np.float16]


def test_npy_format_version_2_is_read(tmp_path):
    values = np.arange(3.0)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file, file.open("a.npy", "w") as member:
        np.lib.format.write_array(member, values, version=(2, 0))
    found = npz.read(tmp_path / "a.npz", {"a": (3,)}, [np.float64])["a"]
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    ("shapes", "dtypes", "message"),
    [
        ({"a": (3,)}, [np.float64], r"members must be \['a.npy'\]; got \['a.npy', 'b.npy'\]"),
        ({"a": (3,), "c": (2,)}, [np.float64], r"must be \['a.npy', 'c.npy'\]; got"),
        ({"a": (4,), "b": (2,)}, [np.float64], r"a must be float64 of .*\(4,\); got .*\(3,\)"),
        ({"a": (3, 1), "b": (2,)}, [np.float64], r"of shape \(3, 1\); got float64 of .*\(3,\)"),
        ({"a": (3,), "b": (2,)}, [np.float32], r"a must be float32 of .*; got float64 of shape"),
        ({"a": (3,), "b": (2,)}, [">f8"], r"a must be >f8 of .*; got float64 of shape"),
    ],
)
def test_unexpected_arrays_are_rejected(tmp_path, shapes, dtypes, message):
    np.savez(tmp_path / "x.npz", a=np.zeros(3), b=np.ones(2))
    with pytest.raises(
        ValueError, match=rf"x\.npz is corrupted or not the expected .*: .*{message}"
    ):
        npz.read(tmp_path / "x.npz", shapes, dtypes)


@pytest.mark.parametrize("kept", [0, 10, 100, -10])
def test_truncated_file_is_rejected(tmp_path, kept):
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    (tmp_path / "x.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"x\.npz is corrupted"):
        npz.read(tmp_path / "x.npz", {"a": (3,)}, [np.float64])


def test_paths_are_checked(tmp_path, monkeypatch):
    read = lambda path: npz.read(path, {"a": (3,)}, [np.float64])
    with pytest.raises(FileNotFoundError, match=r"path must be an existing file; got .*missing"):
        read(tmp_path / "missing.npz")
    with pytest.raises(FileNotFoundError, match="path must be an existing file"):
        read(tmp_path)  # a folder
    with pytest.raises(TypeError, match="path must be the path of a file or folder; got None"):
        read(None)
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    monkeypatch.setenv("HOME", str(tmp_path))
    np.testing.assert_array_equal(read("~/a.npz")["a"], np.zeros(3))
