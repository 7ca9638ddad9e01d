"""JAX's persistent compilation cache, which later starts of a script reuse."""

import hashlib
import os
import platform
from pathlib import Path

import jax

__all__ = ["enable_compilation_cache"]


def enable_compilation_cache() -> Path | None:
    """Keeps compiled programs on disk, so that the next start of a script need not compile them.

    Call it before the first computation. The programs go to `jaxgan/programs` in the user's cache
    folder (`XDG_CACHE_HOME`, else `~/.cache`). A start compiles many small programs, so the cache
    keeps them too, unlike JAX's default. You may delete the folder at any time. It has a subfolder
    for each kind of processor, because machines share home folders, and XLA does not check that a
    program fits the processor.

    The function respects `JAX_COMPILATION_CACHE_DIR`, and does nothing if
    `JAX_ENABLE_COMPILATION_CACHE` is 0.

    Returns:
      The folder of the programs. None if it cannot be written, or the cache is disabled.

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
    """Reads an option of `jax.config`, whose type declares none of them."""
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
    """Digests the processor's name and features."""
    try:  # only Linux has this file; `platform` knows less
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    found = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    text = "\n".join([platform.machine(), *(found or [platform.processor()])])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
