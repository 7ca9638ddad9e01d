"""Runs scripts in this process, which has JAX loaded already."""

import contextlib
import io
import logging
import runpy
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

import jax
import pytest

from jaxgan._internal import pending


class Done(NamedTuple):
    """The result of a script, like that of `subprocess.run`."""

    returncode: int
    stdout: str
    stderr: str


def run_here(script: Path | str, *options: str) -> Done:
    """Runs a script or a module as `python script *options` or `python -m module *options` does.

    Imported modules and locked folders stay as the script leaves them. An exception passes through,
    with what the script printed as a note.
    """
    file = lambda: io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    text = lambda file: file.buffer.getvalue().decode()
    printed, errors = file(), file()
    _wait_for_saves()  # of earlier tests
    stop = None
    with (
        pytest.MonkeyPatch.context() as patch,
        jax.numpy_dtype_promotion("standard"),  # tests forbid what users may do
        jax.numpy_rank_promotion("allow"),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(errors),
        _logging_to(errors),
    ):
        patch.setattr(sys, "argv", [str(script), *options])
        try:
            _run(script, patch)
        except SystemExit as ended:
            stop = ended.code
        except Exception as error:
            error.add_note(text(printed) + text(errors))
            raise
        finally:
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
    """Writes warnings to a file, as Python does where no program configures logging."""
    handler = logging.StreamHandler(file)
    handler.setLevel(logging.WARNING)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


def _wait_for_saves() -> None:
    """Waits for all saves of this process. The test that saves checks for errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pending.wait(Path("/"))
