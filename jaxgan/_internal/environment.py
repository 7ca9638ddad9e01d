"""What a run or a benchmark ran on, to be written beside its figures."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

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


def environment() -> dict[str, Any]:
    """Describes this machine and the versions installed on it; all of it fits into JSON.

    Returns:
      `versions` (of the packages that are installed), `python`, `platform`, `processor`, `cpus`
      (that this process may use), `backend`, `device` (the kind of the first), and `devices` (how
      many).

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
        "cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "backend": jax.default_backend(),
        "device": devices[0].device_kind,
        "devices": len(devices),
    }


def _processor() -> str:
    try:  # Linux; elsewhere `platform` knows
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
