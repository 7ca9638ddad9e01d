"""Tests that files are written whole or not at all, also through links and after errors."""

import os
import stat

import pytest

from jaxgan._internal import whole_file


def write(path, data=b"new", error=None):
    with whole_file.replace(path) as file:
        file.write(data)
        if error:
            raise error


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_whole_at_the_end(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with whole_file.replace(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        (partial,) = set(names(tmp_path)) - {"a.png"}
        assert whole_file.REMNANT.fullmatch(partial)
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.png"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_error_leaves_the_old_file_alone(tmp_path, error):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        write(path, b"ne", error)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.png"]


@pytest.mark.skipif(os.name == "nt", reason="needs the permissions and links of POSIX")
def test_link_is_replaced_and_its_target_is_kept(tmp_path, monkeypatch):
    target, path = tmp_path / "target", tmp_path / "a.json"
    target.write_bytes(b"precious")
    path.symlink_to(target)
    write(path)
    assert (target.read_bytes(), path.read_bytes()) == (b"precious", b"new")
    assert not path.is_symlink()
    monkeypatch.setattr(whole_file.secrets, "token_hex", lambda num: "0" * 2 * num)
    planted = tmp_path / f".jaxgan-{'0' * 16}.tmp"
    planted.symlink_to(target)
    with pytest.raises(FileExistsError):
        write(path)
    assert planted.is_symlink()
    assert (target.read_bytes(), path.read_bytes()) == (b"precious", b"new")


@pytest.mark.skipif(os.name == "nt", reason="needs the permissions of POSIX")
def test_file_has_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_pipes_and_devices_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link"):
        with pytest.raises(FileExistsError, match=f"path must be a file; got .*{name}, which is"):
            write(tmp_path / name)
    assert names(tmp_path) == ["link", "pipe"]


def test_longest_names_can_be_written(tmp_path):
    path = tmp_path / (250 * "a" + ".json")
    write(path)
    assert path.read_bytes() == b"new"


def test_permissions_of_an_old_file_are_kept(tmp_path):
    path = tmp_path / "a"
    path.touch(mode=0o640)
    path.chmod(0o640)
    with whole_file.replace(path) as file:
        file.write(b"new")
    assert path.stat().st_mode & 0o777 == 0o640
