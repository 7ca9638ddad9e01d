"""Tests folders of checkpoints: which belong to jaxgan, which are deleted, and loading."""

import contextlib
import errno
import os
import shutil
import stat
import threading
import time

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.checkpoint import DamagedCheckpointError
from jaxgan.checkpoint import _arrays as arrays
from jaxgan.checkpoint import _manifest as manifest
from jaxgan.checkpoint import _storage as storage

LEAVES = {
    name: arrays.to_host(leaf)
    for name, leaf in {
        ".w": jnp.arange(6.0).reshape(2, 3),
        ".none": jnp.zeros((0, 2)),
        ".n": np.int8(-3),
    }.items()
}


def header(step):
    return {"step": step, "metadata": None, "saved_by": {"versions": {}}}


def stubs(folder, *steps):
    """Creates checkpoints of jaxgan without arrays."""
    for step in steps:
        (folder / str(step) / "arrays").mkdir(parents=True)
        (folder / str(step) / ".jaxgan").touch()
        manifest.write(folder / str(step), header(step), {})


def mark(folder, *names):
    """Creates folders that only the mark shows to be jaxgan's."""
    for name in names:
        (folder / name).mkdir()
        (folder / name / ".jaxgan").touch()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_steps_are_folders_with_decimal_names(tmp_path):
    arabic_3 = "\u0663"
    for name in ("0", "10", "9", "007", "-1", "1.saving", "2.damaged", arabic_3, "x"):
        (tmp_path / name).mkdir()
    (tmp_path / "5").touch()
    assert storage.steps(tmp_path) == [0, 9, 10]
    assert storage.steps(tmp_path / "missing") == storage.steps(tmp_path / "5") == []


def test_scan_during_renames_is_repeated(tmp_path, monkeypatch):
    """The first scan misses step 1, which is deleted, and step 2, which is new."""
    stubs(tmp_path, 2)
    scans = [[], [2], [2]]
    monkeypatch.setattr(storage, "_scan", lambda folder: scans.pop(0))
    assert storage.steps(tmp_path) == [2]
    assert not scans


def test_one_flipped_bit_names_the_member(tmp_path):
    """Random bits cannot be compressed, so that the file contains them unchanged."""
    noise = np.random.default_rng(0).integers(0, 2**32, (5, 9000), np.uint32)
    leaves = {".step": np.full(5, 4, np.int32), ".noise": noise}
    copies = {name: arrays.to_host(leaf) for name, leaf in leaves.items()}
    storage.write(tmp_path, copies, header(4))
    pattern = noise[3, 4000:4008].tobytes()
    files = [path for path in (tmp_path / "4").rglob("*") if path.is_file()]
    [path] = [path for path in files if pattern in path.read_bytes()]
    data = bytearray(path.read_bytes())
    data[data.find(pattern)] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedCheckpointError, match=r" is corrupted, which changes member 3$"):
        storage.verify(tmp_path / "4")


def test_written_arrays_are_loaded_unchanged(tmp_path):
    storage.write(tmp_path, LEAVES, header(4))
    contents = storage.verify(tmp_path / "4")
    loaded = storage.load(tmp_path / "4", contents["leaves"])
    assert loaded.keys() == LEAVES.keys()
    for name, leaf in LEAVES.items():
        assert loaded[name].dtype == leaf.data.dtype
        np.testing.assert_array_equal(loaded[name], leaf.data)
    part = {".n": contents["leaves"][".n"]}
    assert storage.load(tmp_path / "4", part) == {".n": np.int8(-3)}
    assert storage.load(tmp_path / "4", {}) == {}


def test_array_with_wrong_digest_is_named(tmp_path):
    storage.write(tmp_path, LEAVES, header(4))
    specs = storage.verify(tmp_path / "4")["leaves"]
    other = {**specs, ".w": {**specs[".w"], "sha256": "0" * 64}}
    with pytest.raises(DamagedCheckpointError, match=r"\.w differs from the saved values"):
        storage.load(tmp_path / "4", other)
    for spec in ({**specs[".w"], "dtype": "nonsense"}, {**specs[".w"], "shape": [-1]}):
        with pytest.raises(DamagedCheckpointError, match="Orbax cannot read the arrays"):
            storage.load(tmp_path / "4", {".w": spec})


def test_write_renames_later_steps_and_removes_remnants(tmp_path):
    mark(tmp_path, "3", "4", "6", "2.saving", "1.0a1b2c3d.deleting", "6.damaged")
    (tmp_path / "my.saving").mkdir()
    storage.write(tmp_path, LEAVES, header(4))
    assert names(tmp_path) == ["3", "4", "4.damaged", "6.damaged", "my.saving"]


def test_write_replaces_no_checkpoint_that_another_thread_saved(tmp_path):
    stubs(tmp_path, 6)
    with pytest.raises(OSError, match=r"Step 4 could not be saved .*: step 6 exists\."):
        storage.write(tmp_path, LEAVES, header(4))
    assert names(tmp_path) == ["6"]


def test_files_of_the_user_are_not_deleted(tmp_path):
    """Folders with the names of checkpoints and remnants, added files, and links are kept."""
    stubs(tmp_path, 2, 3, 4, 5)
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "4").rename(elsewhere)
    (tmp_path / "4").symlink_to(elsewhere)
    mine = [f"{name}/mine" for name in ("5.saving", "9.deleting", "0/arrays", "1/arrays", "3")]
    mine += ["2/arrays/mine", "elsewhere/arrays", "elsewhere/seal.json", "4"]
    for name in mine[:6]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    storage.write(tmp_path, LEAVES, header(7))
    storage.prune(tmp_path, 1, None)
    assert all((tmp_path / name).exists() for name in mine)
    assert "5" not in names(tmp_path)


def test_damaged_checkpoints_do_not_count(tmp_path):
    stubs(tmp_path, 1, 2, 3, 4)
    (tmp_path / "3" / "seal.json").write_text("{}")
    storage.prune(tmp_path, 2, None)
    assert storage.steps(tmp_path) == [2, 3, 4]


def test_intact_checkpoints_are_read_once(tmp_path, monkeypatch):
    stubs(tmp_path, 1, 2)
    storage.prune(tmp_path, 2, None)
    with monkeypatch.context() as unread:
        unread.setattr(manifest, "verify", None)
        storage.prune(tmp_path, 2, None)
    (tmp_path / "2" / "seal.json").write_text("{}")
    assert not storage._is_intact(tmp_path / "2")


@pytest.mark.parametrize("code", [errno.EIO, errno.EINVAL])
def test_failed_flush_of_a_folder_fails_the_save(tmp_path, monkeypatch, code):
    """EINVAL means that the file system has no such operation."""
    flush = os.fsync

    def fail(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    expected = pytest.raises(OSError, match=r"Step 4 could not be saved .*Input/output error")
    with expected if code == errno.EIO else contextlib.nullcontext():
        storage.write(tmp_path, LEAVES, header(4))
    assert storage.steps(tmp_path) == ([] if code == errno.EIO else [4])


def test_killed_deletion_keeps_the_mark(tmp_path, monkeypatch):
    stubs(tmp_path, 1, 2)

    def die(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(shutil, "rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            storage.prune(tmp_path, 1, None)
    storage.write(tmp_path, LEAVES, header(3))
    assert names(tmp_path) == ["2", "3"]


def test_killed_removal_of_a_failed_save_keeps_the_mark(tmp_path, monkeypatch):
    def fill(path, leaves):
        path.mkdir()
        raise OSError("No space left on device")

    def die(path, **options):
        (path / ".jaxgan").unlink(missing_ok=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(storage.ocp, "save", fill)
        killed.setattr(shutil, "rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            storage.write(tmp_path, LEAVES, header(3))
    [left] = tmp_path.glob("3.*.saving")
    assert names(left) == [".jaxgan", "arrays"]


def test_write_removes_empty_remnants(tmp_path):
    """A kill between the creation of a folder and its mark leaves an empty folder."""
    for name in ("4.0a1b2c3d.saving", "3.0a1b2c3d.deleting", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "5.0a1b2c3d.saving").symlink_to(tmp_path / "mine")
    storage.write(tmp_path, LEAVES, header(4))
    assert names(tmp_path) == ["4", "5.0a1b2c3d.saving", "mine"]


def test_failed_write_removes_files_that_a_thread_adds_later(tmp_path, monkeypatch):
    threads = []

    def fail(path, leaves):
        def write_late():
            time.sleep(0.2)
            path.mkdir(parents=True)

        threads.append(threading.Thread(target=write_late))
        threads[0].start()
        raise OSError("No space left on device")

    monkeypatch.setattr(storage.ocp, "save", fail)
    with pytest.raises(OSError, match=r"Step 4 could not be saved .*No space left"):
        storage.write(tmp_path, LEAVES, header(4))
    threads[0].join()
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("keep", "keep_every", "left"),
    [
        (1, None, [12]),
        (2, None, [9, 12]),
        (9, None, [0, 3, 4, 8, 9, 12]),
        (1, 4, [0, 4, 8, 12]),
        (2, 3, [0, 3, 9, 12]),
    ],
)
def test_pruning_keeps_the_newest_and_the_multiples(tmp_path, keep, keep_every, left):
    stubs(tmp_path, 0, 3, 4, 8, 9, 12)
    (tmp_path / "5").mkdir()  # a folder of the user
    storage.prune(tmp_path, keep, keep_every)
    assert storage.steps(tmp_path) == sorted([5, *left])
    assert not list(tmp_path.glob("*.deleting"))


def test_checkpoint_that_cannot_be_deleted_is_named(tmp_path, monkeypatch):
    stubs(tmp_path, 1, 2)

    def fail(path):
        raise PermissionError(f"no right to delete {path}")

    with monkeypatch.context() as disk:
        disk.setattr(shutil, "rmtree", fail)
        with pytest.raises(OSError, match=r"Step 2 is saved .*, but step 1 could not be deleted"):
            storage.prune(tmp_path, 1, None)
    assert storage.steps(tmp_path) == [2]


def test_links_and_folders_in_a_checkpoint_are_kept(tmp_path):
    """A link to a folder, a link to nothing, and an empty folder belong to the user."""
    stubs(tmp_path, 1, 2, 3, 4, 5)
    (tmp_path / "1" / "link").symlink_to(tmp_path)
    (tmp_path / "2" / "broken").symlink_to(tmp_path / "nothing")
    (tmp_path / "3" / "arrays" / "mine").mkdir()
    mark(tmp_path, "9.saving")
    (tmp_path / "9.saving" / "link").symlink_to(tmp_path / "1")
    storage.write(tmp_path, LEAVES, header(7))
    storage.prune(tmp_path, 1, None)
    assert storage.steps(tmp_path) == [1, 2, 3, 7]
    assert not (tmp_path / "9.saving").exists()


def test_checkpoint_without_its_mark_is_intact(tmp_path):
    """Copies often lack hidden files."""
    storage.write(tmp_path, LEAVES, header(4))
    (tmp_path / "4" / ".jaxgan").unlink()
    storage.verify(tmp_path / "4")
    storage.write(tmp_path, LEAVES, header(5))
    storage.prune(tmp_path, 1, None)
    assert storage.steps(tmp_path) == [5]


def test_files_of_the_user_in_a_damaged_checkpoint_are_kept(tmp_path):
    for name in ("4.damaged/notes", "4.damaged.2/notes"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "4.damaged" / ".jaxgan").touch()
    mark(tmp_path, "4")
    storage.write(tmp_path, LEAVES, header(4))
    assert names(tmp_path) == ["4", "4.damaged", "4.damaged.2", "4.damaged.3"]
    assert all((tmp_path / name / "notes").exists() for name in ("4.damaged", "4.damaged.2"))
