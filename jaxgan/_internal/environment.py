"""Describes the machine and the installed versions, for the records of runs and benchmarks."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import TypedDict

import jax

_PACKAGES = (
    "jaxgan",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "tensorflow",
    "tensorflow-cpu",
    "tensorflow-datasets",
    "torch",
)


class Environment(TypedDict):
    """Describes a machine and the versions installed on it. All values are JSON-serializable.

    Attributes:
      versions: the versions of the installed packages, by name.
      python: the version of Python.
      platform: the operating system and architecture.
      processor: the processor's name.
      cpus: the number of cores that this process may use; None if unknown.
      backend: JAX's default backend.
      device: the kind of the first device.
      devices: the number of devices.
    """

    versions: dict[str, str]
    python: str
    platform: str
    processor: str
    cpus: int | None
    backend: str
    device: str
    devices: int


def environment() -> Environment:
    """Describes this machine and the versions installed on it.

    Returns:
      A JSON-serializable dict: `versions` of the installed packages, `python`, `platform`,
      `processor`, `cpus` (the number of cores that this process may use), `backend`, `device` (the
      kind of the first device) and `devices` (the number of devices).

    Example:
      >>> import jaxgan
      >>> sorted(jaxgan.environment())
      ['backend', 'cpus', 'device', 'devices', 'platform', 'processor', 'python', 'versions']
    """
    devices = jax.devices()
    return {
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cpus": _cpus(),
        "backend": jax.default_backend(),
        "device": devices[0].device_kind,
        "devices": len(devices),
    }


def _cpus() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _processor() -> str:
    try:  # only Linux has this file
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
