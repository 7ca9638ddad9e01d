"""Describes the machine and the installed versions, for the records of runs and benchmarks."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any, TypedDict

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

_OPTIONS = ("jax_enable_x64", "jax_threefry_partitionable", "jax_default_matmul_precision")


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
      settings: options of JAX and XLA that can change results. `NPROC` is the number of threads on
        a CPU, if set.
    """

    versions: dict[str, str]
    python: str
    platform: str
    processor: str
    cpus: int | None
    backend: str
    device: str
    devices: int
    settings: dict[str, str | int | bool | None]


def environment() -> Environment:
    """Describes this machine and the versions installed on it.

    Returns:
      A JSON-serializable dict: `versions` of the installed packages, `python`, `platform`,
      `processor`, `cpus` (the number of cores that this process may use), `backend`, `device` (the
      kind of the first device), `devices` (the number of devices) and `settings` (options of JAX
      and XLA that can change results).

    Example:
      >>> import jaxgan
      >>> jaxgan.environment()["settings"]["jax_enable_x64"]
      False
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
        "settings": _settings(),
    }


def default_platform() -> str:
    """Returns the platform on which JAX runs programs by default."""
    device: Any = getattr(jax.config, "jax_default_device", None)  # or the name of a platform
    return jax.default_backend() if device is None else getattr(device, "platform", device)


def _settings() -> dict[str, str | int | bool | None]:
    flags = sorted(os.environ.get("XLA_FLAGS", "").split())
    nproc = os.environ.get("NPROC", "")
    return {
        **{name: getattr(jax.config, name) for name in _OPTIONS},
        "XLA_FLAGS": " ".join(flag for flag in flags if not flag.startswith("--xla_dump")),
        **({"NPROC": int(nproc)} if nproc.isdecimal() else {}),
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
