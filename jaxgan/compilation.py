"""Caches compiled programs on disk, and checks that a compiled program fits the device's memory."""

import functools
import hashlib
import logging
import os
import platform
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import jax

from jaxgan._internal import checks

__all__ = ["Memory", "check_memory", "enable_compilation_cache", "memory"]

_logger = logging.getLogger("jaxgan")

# What reduces each part of a program's memory.
_ADVICE = {
    "arguments": "Pass fewer images (streaming.stream trains on chunks) or fewer members.",
    "outputs": "Donate the state: jax.jit(train, donate_argnums=0).",
    "temporary": "Use smaller batches, or jax.lax.map instead of jax.vmap over members.",
}


class Memory(NamedTuple):
    """Holds the bytes that a compiled program needs on each device.

    Args:
      arguments: bytes of the arguments that the program uses, such as the state and the images.
      outputs: bytes of the outputs, except those that take the place of donated arguments.
      temporary: bytes of intermediate arrays.
    """

    arguments: int
    outputs: int
    temporary: int

    @property
    def total(self) -> int:
        """The sum of the three parts."""
        return sum(self)


def memory(compiled: jax.stages.Compiled) -> Memory | None:
    """Returns the bytes that a compiled program needs on each device, without running it.

    To find how much memory a larger batch or population needs, lower the program for arrays of
    `jax.ShapeDtypeStruct`, which occupy no memory. Memory grows as a straight line in the number
    of images and members (see docs/performance.md).

    Args:
      compiled: a compiled program, `jax.jit(f).lower(*args).compile()`. XLA plans its temporary
        arrays for the kind of device that it is compiled for. Arrays that the function closes over
        are not counted, so pass images as an argument.

    Returns:
      A `Memory`, or None if XLA does not report the memory of programs for this kind of device.

    Raises:
      TypeError: If `compiled` is not a compiled program.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import compilation
      >>> images = jax.ShapeDtypeStruct((1000, 28, 28, 1), jnp.uint8)
      >>> mean = jax.jit(lambda images: images.sum(axis=0, dtype=jnp.uint32) // 1000)
      >>> needed = compilation.memory(mean.lower(images).compile())
      >>> needed.arguments, needed.outputs  # 784 pixels of 1 byte for 1,000 images, of 4 for one
      (784000, 3136)
    """
    expected = "a compiled program, jax.jit(f).lower(*args).compile()"
    checks.instance("compiled", compiled, jax.stages.Compiled, expected)
    found = compiled.memory_analysis()
    if found is None:
        return None
    outputs = found.output_size_in_bytes - found.alias_size_in_bytes
    return Memory(found.argument_size_in_bytes, outputs, found.temp_size_in_bytes)


def check_memory(compiled: jax.stages.Compiled, limit: int | None = None) -> Memory | None:
    """Checks that a compiled program fits the memory of its devices, before it runs.

    Arrays on the device that are not arguments need memory, too, so a program that passes can
    still exceed the memory.

    Args:
      compiled: a compiled program, `jax.jit(f).lower(*args).compile()`.
      limit: bytes of each device that the program may use, at least 1. By default, the bytes that
        JAX may use on the smallest of the program's devices. A CPU has no such limit: the
        function does not compare the program with the host's memory.

    Returns:
      The result of `memory`.

    Raises:
      TypeError: If `compiled` is not a compiled program, or `limit` is not an integer.
      ValueError: If `limit` is less than 1.
      MemoryError: If the program needs more than `limit`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import compilation
      >>> images = jax.ShapeDtypeStruct((60_000, 28, 28, 1), jnp.uint8)
      >>> program = jax.jit(lambda images: images.max()).lower(images).compile()
      >>> compilation.check_memory(program, limit=40_000_000)
      Traceback (most recent call last):
      ...
      MemoryError: The program's memory must be at most 0.040 GB; got 0.047 GB (arguments 0.047 GB,
      outputs 0.000 GB, temporary 0.000 GB). Pass fewer images (streaming.stream trains on chunks)
      or fewer members.
    """
    needed = memory(compiled)
    if limit is None:
        shardings = jax.tree.leaves((compiled.input_shardings, compiled.output_shardings))
        limit = _limit_of({device for x in shardings for device in x.addressable_devices})
    else:
        checks.integer("limit", limit, maximum=2**63 - 1)
    if needed is not None and limit is not None:
        parts = ", ".join(f"{name} {_gigabytes(n)}" for name, n in needed._asdict().items())
        got, expected = f"{_gigabytes(needed.total)} ({parts})", f"at most {_gigabytes(limit)}"
        fits, advice = needed.total <= limit, _advice(needed)
        checks.require(fits, "The program's memory", expected, got, advice, error=MemoryError)
    return needed


def _limit_of(devices: Iterable[jax.Device]) -> int | None:
    """Returns the bytes that JAX may use on each device, or None if no device has a limit."""
    limits = [(device.memory_stats() or {}).get("bytes_limit") for device in devices]
    return min((limit for limit in limits if limit is not None), default=None)


def _advice(needed: Memory) -> str:
    """Returns the advice for the largest part."""
    # If the state is not donated, it is in the arguments and in the outputs.
    parts = needed._asdict() | {"arguments": needed.arguments - needed.outputs}
    return _ADVICE[max(parts, key=lambda name: parts[name])]


def _gigabytes(num: int) -> str:
    return f"{num / 1e9:,.3f} GB"


def enable_compilation_cache() -> Path | None:
    """Saves compiled programs to disk, so that the next start of a script skips compilation.

    Call this function before the first computation. JAX saves the programs in `jaxgan/programs` in
    the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`). You may delete the folder at any
    time. By default, JAX does not save programs that compile quickly. This function makes JAX save
    them too, because a script compiles many of them at its start.

    Each kind of processor has its own subfolder, because several machines may share a home folder
    and XLA does not check that a program fits the processor.

    The cache contains programs, so another user who can write to it can run code as this user. The
    function therefore refuses folders in the cache folder that are links, belong to another user or
    are writable for the group or others. It also refuses a cache folder in which every user can
    rename folders. It logs the reason once.

    If `JAX_COMPILATION_CACHE_DIR` is set, JAX uses that folder instead. If
    `JAX_ENABLE_COMPILATION_CACHE` is 0, the function does nothing.

    Returns:
      The folder of compiled programs, or None if the cache is disabled, the user has no home
      folder, or the folder is not writable or is refused.

    Example:
      >>> from jaxgan import compilation
      >>> folder = compilation.enable_compilation_cache()
    """
    if not _option("jax_enable_compilation_cache"):
        return None
    if (chosen := _option("jax_compilation_cache_dir")) is not None:
        return Path(str(chosen))
    folder = _make_folder()
    if folder is not None:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        jax.config.update("jax_compilation_cache_dir", str(folder))
    return folder


def _option(name: str) -> object:
    """Returns an option of `jax.config`, whose type does not declare its options."""
    return getattr(jax.config, name)


def _make_folder() -> Path | None:
    """Creates the folder of compiled programs, or logs why it is refused."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        problem = _problem_of_root(folder)
        for name in ("jaxgan", "programs", _processor()):
            folder = folder / name
            if not problem:
                folder.mkdir(mode=0o700, exist_ok=True)
                problem = _problem(folder)
    except (OSError, RuntimeError):  # RuntimeError: the user has no home folder
        return None
    if problem:
        _warn_once(problem)
        return None
    return folder if os.access(folder, os.W_OK) else None


def _problem_of_root(folder: Path) -> str:
    """Returns why other users could replace the folders in a folder, or an empty text."""
    mode = folder.stat().st_mode
    if os.name == "nt" or not mode & stat.S_IWOTH or mode & stat.S_ISVTX:
        return ""
    return f"{folder} must not be writable for all users; got mode {stat.S_IMODE(mode):o}."


def _problem(folder: Path) -> str:
    """Returns why another user could have written to a folder, or an empty text."""
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode):
        got = "a link"
    elif os.name != "nt" and found.st_uid != os.geteuid():
        got = f"owner {found.st_uid}"
    elif os.name != "nt" and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        got = f"mode {stat.S_IMODE(found.st_mode):o}"
    else:
        return ""
    return f"{folder} must be a folder that only this user can write; got {got}. Delete it."


@functools.cache
def _warn_once(problem: str) -> None:
    _logger.warning("Compiled programs are not cached: %s", problem)


def _processor() -> str:
    """Returns a hash of the processor's name and features."""
    try:  # only Linux has this file, which has more details than `platform`
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    found = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    text = "\n".join([platform.machine(), *(found or [platform.processor()])])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
