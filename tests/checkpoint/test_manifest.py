"""Tests that the checkpoint manifest detects changed files and a changed manifest."""

import errno
import hashlib
import json
import os

import pytest

from jaxgan import checkpoint
from jaxgan.checkpoint import _manifest as manifest


def encode_manifest(contents):
    return json.dumps({"sha256": manifest._digest_json(contents), "contents": contents}).encode()


GOOD = {"format": 1, "step": 0, "metadata": None, "saved_by": {"versions": {}}}
GOOD |= {"files": {}, "leaves": {}}


@pytest.mark.parametrize(
    "contents",
    [
        b"[" * 100_000,
        b"\xff",
        b"null",
        b'{"sha256": 3}',
        encode_manifest([]),
        *(encode_manifest({k: v for k, v in GOOD.items() if k != name}) for name in GOOD),
        *(encode_manifest({**GOOD, name: 3.5}) for name in GOOD if name != "metadata"),
        encode_manifest({**GOOD, "leaves": {".step": {"dtype": "int32"}}}),
    ],
)
def test_malformed_manifest_is_reported_as_damaged(tmp_path, state, contents):
    checkpoint.save(tmp_path, state).result()
    (tmp_path / "0" / "seal.json").write_bytes(contents)
    with pytest.raises(checkpoint.DamagedCheckpointError, match=r"step 0: seal\.json"):
        checkpoint.restore(tmp_path, like=state)
    with pytest.raises(checkpoint.DamagedCheckpointError, match=r"step 0: seal\.json"):
        checkpoint.info(tmp_path)
    assert "seal.json" in checkpoint.verify(tmp_path, 0)
    assert checkpoint.latest(tmp_path) is None


def test_folder_that_cannot_be_listed_fails_the_write(tmp_path, monkeypatch):
    """A manifest without these files would not detect their damage. `Path.rglob` skips them."""
    (tmp_path / "arrays").mkdir()
    (tmp_path / "arrays" / "data").touch()
    scan = os.scandir

    def fail(path):
        if str(path).endswith("arrays"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    header = {"step": 0, "metadata": None, "saved_by": {"versions": {}}}
    with monkeypatch.context() as disk:
        disk.setattr(os, "scandir", fail)
        with pytest.raises(PermissionError):
            manifest.write(tmp_path, header, {})
    manifest.write(tmp_path, header, {})
    assert manifest.read(tmp_path)["files"].keys() == {"arrays/data"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_manifest_that_is_a_pipe_does_not_block(tmp_path, state):
    checkpoint.save(tmp_path, state).result()
    (tmp_path / "0" / "seal.json").unlink()
    os.mkfifo(tmp_path / "0" / "seal.json")
    assert checkpoint.verify(tmp_path, 0) == "seal.json is missing"


HEADER = {"step": 3, "metadata": {"a": [1]}, "saved_by": {"versions": {"jaxgan": "1"}}}
SPECS = {".w": {"dtype": "float32", "shape": [2], "sha256": "0" * 64}}


@pytest.fixture
def folder(tmp_path):
    """Writes a folder with two files and their manifest."""
    (tmp_path / "arrays").mkdir()
    (tmp_path / "arrays" / "data").write_bytes(b"abc")
    (tmp_path / "more").write_bytes(b"")
    manifest.write(tmp_path, HEADER, SPECS)
    return tmp_path


def test_format_on_disk_does_not_change(folder):
    """The format is fixed, because other versions of jaxgan and other programs read it."""
    sha256 = lambda data: hashlib.sha256(data).hexdigest()
    stored = json.loads((folder / "seal.json").read_text())
    assert list(stored) == ["sha256", "contents"]
    assert stored["contents"] == {
        **HEADER,
        "leaves": SPECS,
        "format": 1,
        "files": {"arrays/data": sha256(b"abc"), "more": sha256(b"")},
    }
    assert stored["sha256"] == sha256(json.dumps(stored["contents"], sort_keys=True).encode())
    assert manifest.verify(folder) == manifest.read(folder) == stored["contents"]


def test_every_changed_and_missing_file_is_named(folder):
    (folder / "arrays" / "data").write_bytes(b"xyz")
    (folder / "more").unlink()
    (folder / "new").touch()  # a file outside the checkpoint is ignored
    with pytest.raises(manifest.DamagedCheckpointError) as caught:
        manifest.verify(folder)
    assert str(caught.value) == "more is missing; arrays/data is corrupted"
    assert manifest.read(folder)["step"] == 3  # reads no other file


def test_unknown_format_is_not_reported_as_damaged(folder):
    contents = {"format": 2, "saved_by": {"versions": {"jaxgan": "9.1"}}, "all": "new"}
    (folder / "seal.json").write_bytes(encode_manifest(contents))
    with pytest.raises(ValueError, match=r"got format 2\. Install jaxgan 9\.1, which") as caught:
        manifest.read(folder)
    assert not isinstance(caught.value, manifest.DamagedCheckpointError)
