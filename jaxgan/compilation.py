"""Enables JAX's persistent compilation cache, which makes later starts of a script faster."""

import hashlib
import os
import platform
from pathlib import Path

import jax

__all__ = ["enable_compilation_cache"]


def enable_compilation_cache() -> Path | None:
    """Saves compiled programs to disk, so that the next start of a script skips compilation.

    Call this function before the first computation. JAX saves the programs in `jaxgan/programs` in
    the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`). You may delete the folder at any
    time. By default, JAX does not save programs that compile quickly. This function makes JAX save
    them too, because a script compiles many of them at its start.

    Each kind of processor has its own subfolder, because several machines may share a home folder
    and XLA does not check that a program fits the processor.

    If `JAX_COMPILATION_CACHE_DIR` is set, JAX uses that folder instead. If
    `JAX_ENABLE_COMPILATION_CACHE` is 0, the function does nothing.

    Returns:
      The folder of compiled programs, or None if the cache is disabled or the folder is not
      writable.

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
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        folder = caches / "jaxgan" / "programs" / _processor()
        # Programs from this folder are executed, so only the user may read and write it.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: the user has no home folder
        return None
    return folder if os.access(folder, os.W_OK) else None


def _processor() -> str:
    """Returns a hash of the processor's name and features."""
    try:  # only Linux has this file, which has more details than `platform`
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    found = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    text = "\n".join([platform.machine(), *(found or [platform.processor()])])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
