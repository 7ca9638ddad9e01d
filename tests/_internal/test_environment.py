"""Compares the description of the machine with other sources."""

import importlib.metadata
import json
import os
import platform
import sys
import types

import jax
import numpy as np

import jaxgan
from jaxgan._internal import environment


def test_description_is_json():
    about = jaxgan.environment()
    assert json.loads(json.dumps(about, allow_nan=False)) == about


def test_all_fields_are_present_and_correct():
    about = jaxgan.environment()
    assert set(about) == set(environment.Environment.__annotations__)
    assert about["python"] == ".".join(map(str, sys.version_info[:3]))
    assert about["platform"] == f"{os.uname().sysname} {os.uname().machine}"
    assert about["backend"] == jax.default_backend()
    assert about["device"] == jax.local_devices()[0].device_kind
    assert about["devices"] == jax.device_count()
    assert 1 <= about["cpus"] <= os.cpu_count()


def test_versions_are_those_of_the_installed_packages():
    versions = jaxgan.environment()["versions"]
    modules = {"jax": jax, "numpy": np, "jaxgan": jaxgan}
    assert {name: versions[name] for name in modules} == {
        name: module.__version__ for name, module in modules.items()
    }


def test_missing_package_has_no_version(monkeypatch):
    version = importlib.metadata.version

    def without_numpy(name):
        if name == "numpy":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_numpy)
    versions = jaxgan.environment()["versions"]
    assert "numpy" not in versions
    assert "jax" in versions


def test_cpus_are_those_available_to_the_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert jaxgan.environment()["cpus"] == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert jaxgan.environment()["cpus"] == os.cpu_count()


CPUINFO = """processor\t: 0
model name\t: Some CPU: 2.5 GHz
processor\t: 1
model name\t: Another CPU
"""


def pretend(monkeypatch, read_text):
    """Replaces the text of /proc/cpuinfo."""
    monkeypatch.setattr(
        environment, "Path", lambda path: types.SimpleNamespace(read_text=read_text)
    )


def test_processor_is_the_first_of_cpuinfo(monkeypatch):
    pretend(monkeypatch, lambda: CPUINFO)
    assert jaxgan.environment()["processor"] == "Some CPU: 2.5 GHz"


def test_processor_without_cpuinfo_comes_from_platform(monkeypatch):
    def missing():
        raise FileNotFoundError

    monkeypatch.setattr(platform, "processor", lambda: "arm")
    for read_text in (missing, lambda: "processor\t: 0\n"):
        pretend(monkeypatch, read_text)
        assert jaxgan.environment()["processor"] == "arm"
