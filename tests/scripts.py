"""Runs scripts of `examples/` and `benchmarks/` in this process, which has JAX loaded already."""

import contextlib
import io
import runpy
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import pytest

from jaxgan._internal import pending


class Done(NamedTuple):
    """What `subprocess.run` returns of a script that has ended."""

    returncode: int
    stdout: str
    stderr: str


def run_here(script: Path, *options: str) -> Done:
    """Runs a script to its end, as `python script *options` does."""
    printed, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in "12")
    stop = None
    with (
        pytest.MonkeyPatch.context() as patch,
        jax.numpy_dtype_promotion("standard"),  # as it is for users
        jax.numpy_rank_promotion("allow"),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(errors),
    ):
        patch.setattr(sys, "argv", [str(script), *options])
        patch.syspath_prepend(script.parent)
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as ended:
            stop = ended.code
        pending.wait(Path("/"))  # for saves, as the end of a process does
    if isinstance(stop, str):
        errors.write(stop + "\n")
    returncode = stop if isinstance(stop, int) else int(stop is not None)
    return Done(returncode, *(file.buffer.getvalue().decode() for file in (printed, errors)))
