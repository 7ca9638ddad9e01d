"""Writes the logs and JSON files of a run, and summarizes its records."""

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks, processes, whole_file


def write_log(path: str | os.PathLike, records: Sequence[Mapping[str, object]]) -> None:
    """Writes a log of JSON lines atomically.

    After each new record, pass all records so far. If a write fails, for example on a full disk,
    the next write includes the missing records.

    In a run of several processes, process 0 alone writes the log.

    Use the log for inspection and plots. Save values that a resumed run needs in the `metadata` of
    its checkpoints, because metadata always matches the saved state.

    Args:
      path: the path of the log file.
      records: a list of JSON-serializable dicts, one for each line.

    Raises:
      OSError: If the log cannot be written. An existing file stays unchanged.
      TypeError: If a record is not JSON-serializable.

    Example:
      >>> import pathlib, tempfile
      >>> from jaxgan import runs
      >>> log = pathlib.Path(tempfile.mkdtemp()) / "metrics.jsonl"
      >>> runs.write_log(log, [{"epoch": 1}, {"epoch": 2}])
      >>> print(log.read_text())
      {"epoch": 1}
      {"epoch": 2}
    """
    path = checks.path("path", path)
    fits = isinstance(records, Sequence) and all(isinstance(x, Mapping) for x in records)
    checks.require(fits, "records", "a list of dicts", checks.show(records), error=TypeError)
    lines = [checks.as_json("records", dict(record)) + "\n" for record in records]
    write_text(path, "".join(lines))


def write_json(
    path: str | os.PathLike, contents: Mapping[str, object], indent: int | None = None
) -> None:
    """Writes a JSON file atomically.

    Non-finite numbers become null, because JSON cannot represent them. In a run of several
    processes, process 0 alone writes the file.

    Args:
      path: the path of the file.
      contents: a JSON-serializable dict.
      indent: the number of spaces for each nesting level; None writes a single line.

    Raises:
      OSError: If the file cannot be written. An existing file stays unchanged.
      TypeError: If the contents are not JSON-serializable.

    Example:
      >>> import pathlib, tempfile
      >>> from jaxgan import runs
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "summary.json"
      >>> runs.write_json(path, {"modes": 0, "kl": float("inf")})
      >>> print(path.read_text())
      {"modes": 0, "kl": null}
    """
    text = checks.as_json("contents", contents)
    finite = json.loads(text, parse_constant=lambda constant: None)
    write_text(checks.path("path", path), json.dumps(finite, indent=indent) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file atomically in process 0."""
    if not processes.is_first():
        return
    with whole_file.replace(path) as file:
        file.write(text.encode())


def longest_streak(flags: ArrayLike) -> int:
    """Returns the length of the longest streak of non-zero values, such as skipped training steps.

    Args:
      flags: real numbers or bools, `[steps]`.

    Returns:
      The length, at least 0.

    Raises:
      TypeError: If the flags are neither real numbers nor bools.
      ValueError: If the flags are not `[steps]`.

    Example:
      >>> from jaxgan import runs
      >>> runs.longest_streak([0, 1, 1, 0, 2, 1, 1, 0])
      3
    """
    flags, expected = np.asarray(flags), "numbers or bools [steps]"
    is_real = flags.dtype.kind in "biuf" or not flags.size
    checks.require(is_real, "flags", expected, checks.show(flags), error=TypeError)
    checks.require(flags.ndim == 1, "flags", expected, f"shape {flags.shape}")
    groups = itertools.groupby(flags != 0)
    return max((sum(1 for _ in group) for flag, group in groups if flag), default=0)
