"""Runs scripts in this process, to avoid importing JAX again."""

import contextlib
import io
import logging
import runpy
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

import jax
import pytest

from jaxgan._internal import pending


class Done(NamedTuple):
    """Holds the result of a script, like `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


def run_here(script: Path | str, *options: str) -> Done:
    """Runs a script or a module like `python script *options` or `python -m module *options`.

    Imported modules, JAX's caches and locked folders remain after the script. An exception
    propagates, with the script's output as a note.
    """
    file = lambda: io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    text = lambda file: file.buffer.getvalue().decode()
    printed, errors = file(), file()
    _wait_for_saves()  # of earlier tests
    stop, on_interrupt = None, signal.getsignal(signal.SIGINT)
    with (
        pytest.MonkeyPatch.context() as patch,
        jax.numpy_dtype_promotion("standard"),  # JAX's defaults, as for users
        jax.numpy_rank_promotion("allow"),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(errors),
        _logging_to(errors),
    ):
        patch.setattr(sys, "argv", [str(script), *options])
        patch.setattr(jax, "clear_caches", lambda: None)  # later tests would trace everything again
        try:
            _run(script, patch)
        except SystemExit as ended:
            stop = ended.code
        except Exception as error:
            error.add_note(text(printed) + text(errors))
            raise
        finally:
            signal.signal(signal.SIGINT, on_interrupt)
            _wait_for_saves()
    if isinstance(stop, str):
        errors.write(stop + "\n")
    returncode = stop if isinstance(stop, int) else int(stop is not None)
    return Done(returncode, text(printed), text(errors))


def _run(script: Path | str, patch: pytest.MonkeyPatch) -> None:
    if isinstance(script, str):
        runpy.run_module(script, run_name="__main__", alter_sys=True)
        return
    patch.syspath_prepend(script.parent)
    runpy.run_path(str(script), run_name="__main__")


@contextlib.contextmanager
def _logging_to(file: TextIO) -> Iterator[None]:
    """Writes log records from level WARNING on to a file, as Python does by default."""
    handler = logging.StreamHandler(file)
    handler.setLevel(logging.WARNING)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


def _wait_for_saves() -> None:
    """Waits for all saves of this process and ignores their errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pending.wait(Path("/"))
