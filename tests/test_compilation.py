"""Tests the folder of compiled programs, and the check of a program's memory."""

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from conftest import AS_USERS, PYTHON

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


def compiled(function, *shapes, donate=()):
    """Compiles a function of float32 arrays, which do not exist."""
    args = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.jit(function, donate_argnums=donate).lower(*args).compile(AS_USERS)


@pytest.mark.parametrize(("donate", "outputs"), [((), 4 * 1000), ((0,), 0)])
def test_memory_counts_arguments_and_outputs_that_are_not_donated(donate, outputs):
    found = compilation.memory(compiled(lambda x: x + 1, (1000,), donate=donate))
    assert found == (4 * 1000, outputs, 0)
    assert found.total == 4 * 1000 + outputs


@pytest.mark.parametrize(
    ("function", "shape", "largest", "advice"),
    [
        (lambda x: x.max(), (1000,), "arguments", "Pass fewer images"),
        (lambda x: x + 1, (1000,), "outputs", "Donate the state"),
        (lambda x: (x @ x.T) @ x, (300, 4), "temporary", "Use smaller batches"),
    ],
    ids=["arguments", "outputs", "temporary"],
)
def test_program_that_exceeds_the_limit_raises_with_advice(function, shape, largest, advice):
    program = compiled(function, shape)
    needed = compilation.memory(program)
    assert getattr(needed, largest) == max(needed)
    assert compilation.check_memory(program, limit=needed.total) == needed
    with pytest.raises(MemoryError, match=rf"must be at most .* GB; got .*\. {advice}"):
        compilation.check_memory(program, limit=needed.total - 1)


def test_memory_counts_intermediate_arrays():
    product = compilation.memory(compiled(lambda x: (x @ x.T) @ x, (300, 4)))
    assert product.temporary >= 4 * 300 * 300


def test_memory_error_names_the_parts():
    program = compiled(lambda x: x.sum(), (10**9,))
    with pytest.raises(MemoryError) as caught:
        compilation.check_memory(program, limit=1_500_000_000)
    assert str(caught.value).startswith(
        "The program's memory must be at most 1.500 GB; got 4.000 GB (arguments 4.000 GB, outputs"
    )


def test_limit_is_that_of_the_smallest_device(monkeypatch):
    device = lambda stats: SimpleNamespace(memory_stats=lambda: stats)
    devices = [device({"bytes_limit": 7}), device({"bytes_limit": 5}), device({"bytes_in_use": 1})]
    assert compilation._limit_of(devices) == 5
    assert compilation._limit_of([device(None)]) is None  # a CPU
    program = compiled(lambda x: x.sum(), (1000,))
    monkeypatch.setattr(compilation, "_limit_of", lambda devices: 5 if devices else None)
    with pytest.raises(MemoryError, match="Pass fewer images"):
        compilation.check_memory(program)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "8 GB"])
def test_invalid_limits_are_rejected(limit):
    with pytest.raises((TypeError, ValueError), match="limit must be"):
        compilation.check_memory(compiled(lambda x: x, (1,)), limit)


def test_only_compiled_programs_have_a_memory():
    with pytest.raises(TypeError, match="compiled must be a compiled program"):
        compilation.memory(jax.jit(lambda x: x))
