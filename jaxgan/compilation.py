"""Compiled programs that later starts of a script reuse: JAX's persistent compilation cache."""

import hashlib
import os
import platform
from pathlib import Path
from typing import Any

import jax

__all__ = ["enable_compilation_cache"]


def enable_compilation_cache() -> Path | None:
    """Keeps compiled programs on disk, so that the next start of a script need not compile them.

    To be called before anything is computed. They go to `jaxgan/programs` in the user's cache
    folder (`XDG_CACHE_HOME`, else `~/.cache`), all of them, however small: a start compiles many
    that JAX, by default, would think too small to keep. That folder may be deleted at any time. It
    has a subfolder for each kind of processor, because homes are shared between machines, and XLA
    runs what was compiled for another one.

    A cache that the user chose for himself (`JAX_COMPILATION_CACHE_DIR`) stays as it is, and with
    `JAX_ENABLE_COMPILATION_CACHE=0` nothing is kept.

    Returns:
      Where they are kept; None if that folder cannot be written, or nothing is to be kept.

    Example:
      >>> from jaxgan import compilation
      >>> folder = compilation.enable_compilation_cache()
    """
    config: Any = jax.config  # whose options type checkers do not see
    if not config.jax_enable_compilation_cache:
        return None
    if config.jax_compilation_cache_dir is not None:
        return Path(config.jax_compilation_cache_dir)
    try:  # for the user's eyes and hands alone, because what lies there is run
        caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        folder = caches / "jaxgan" / "programs" / _processor()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: the user has no home folder
        return None
    if not os.access(folder, os.W_OK):
        return None
    config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    config.update("jax_compilation_cache_dir", str(folder))
    return folder


def _processor() -> str:
    """A digest of the processor's name and abilities."""
    try:  # Linux; elsewhere `platform` knows, if less
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    told = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    text = "\n".join([platform.machine(), *(told or [platform.processor()])])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
