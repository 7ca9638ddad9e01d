"""Enables JAX's persistent compilation cache, which makes later starts of a script faster."""

import functools
import hashlib
import logging
import os
import platform
import stat
from pathlib import Path

import jax

__all__ = ["enable_compilation_cache"]

_logger = logging.getLogger("jaxgan")


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
