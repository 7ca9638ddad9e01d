"""Tests that compiled programs are cached on disk, in the folder that the user chose."""

import os
import subprocess
from pathlib import Path

import pytest
from conftest import PYTHON

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
