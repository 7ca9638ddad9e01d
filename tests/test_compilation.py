"""Tests that compiled programs are cached on disk, in the folder that the user chose."""

import os
import subprocess
from pathlib import Path

import jax
import pytest
from conftest import PYTHON

from jaxgan import compilation

START = """
import os, jax
from jaxgan import compilation
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event.endswith("cache_hits")))
folder = compilation.enable_compilation_cache()
jax.jit(lambda x: x + 1)(1.0)
print(folder, sum(hits))
"""


def start(tmp_path, **changes):
    env = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "1", "XDG_CACHE_HOME": str(tmp_path)}
    command = [*PYTHON, "-c", START]
    done = subprocess.run(command, env=env | changes, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_programs_are_cached_between_processes(tmp_path):
    folder, hits = start(tmp_path)
    assert folder.startswith(str(tmp_path / "jaxgan" / "programs"))
    assert Path(folder).stat().st_mode & 0o077 == 0
    assert hits == "0"
    again, hits = start(tmp_path)
    assert again == folder
    assert int(hits) > 0


@pytest.mark.parametrize(
    ("changes", "folder"),
    [
        ({"JAX_ENABLE_COMPILATION_CACHE": "0"}, None),
        ({"JAX_COMPILATION_CACHE_DIR": "chosen"}, "chosen"),
        ({"XDG_CACHE_HOME": "file"}, None),
        ({"XDG_CACHE_HOME": "", "HOME": "~"}, None),
    ],
    ids=["cache disabled", "other folder", "not writable", "no home"],
)
def test_user_settings_of_the_cache_are_kept(tmp_path, monkeypatch, changes, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert start(tmp_path, **changes) == [str(folder), "0"]
    assert not (tmp_path / "jaxgan").exists()


@pytest.fixture
def enable(tmp_path, monkeypatch):
    """Returns `enable_compilation_cache`, with a cache below `tmp_path` that JAX does not use."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compilation, "_option", {"jax_enable_compilation_cache": True}.get)
    monkeypatch.setattr(jax.config, "update", lambda name, value: None)
    compilation._warn_once.cache_clear()
    return compilation.enable_compilation_cache


@pytest.fixture
def umask():
    """Makes new folders writable for all users."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_created_folders_belong_to_the_user_alone(enable, tmp_path, umask, caplog):
    folder = enable()
    created = [tmp_path / "jaxgan", tmp_path / "jaxgan" / "programs", folder]
    assert [path.stat().st_mode & 0o777 for path in created] == [0o700] * 3
    assert (enable(), caplog.text) == (folder, "")


def test_missing_cache_folder_is_created(enable, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a" / "b"))
    assert enable().is_relative_to(tmp_path / "a" / "b" / "jaxgan")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
@pytest.mark.parametrize("level", [0, 1, 2], ids=["jaxgan", "programs", "processor"])
def test_folders_that_others_can_write_are_refused(enable, tmp_path, caplog, level, mode):
    folder = enable()
    path = [folder.parent.parent, folder.parent, folder][level]
    path.chmod(mode)
    assert (enable(), enable()) == (None, None)
    (message,) = caplog.messages
    reason = f"{path} must be a folder that only this user can write; got mode {mode:o}. Delete it."
    assert message == f"Compiled programs are not cached: {reason}"


@pytest.mark.parametrize(("mode", "fits"), [(0o777, False), (0o1777, True), (0o775, True)])
def test_cache_folder_may_be_shared_if_others_cannot_rename(enable, tmp_path, mode, fits, caplog):
    tmp_path.chmod(mode)
    assert (enable() is not None) == fits
    assert (caplog.text == "") == fits


def test_folders_of_another_user_are_refused(enable, tmp_path, monkeypatch, caplog):
    uid = os.geteuid()
    assert enable()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    assert enable() is None
    expected = f"{tmp_path / 'jaxgan'} must be a folder that only this user can write; got owner"
    assert f"{expected} {uid}. Delete it." in caplog.text


@pytest.mark.parametrize("level", ["jaxgan", "jaxgan/programs"])
def test_links_are_refused(enable, tmp_path, caplog, level):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    path = tmp_path / level
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.symlink_to(tmp_path / "elsewhere")
    assert enable() is None
    assert f"{path} must be a folder that only this user can write; got a link." in caplog.text
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_user_without_home_has_no_cache(enable, monkeypatch, caplog):
    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert (enable(), caplog.text) == (None, "")
