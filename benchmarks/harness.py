"""Times functions (arms) in turn, and reports medians and ranges as a table and as JSON."""

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jaxgan

COLUMNS = {
    "compile s": ("compile_seconds", ".2f"),
    "us/step": ("median_us", ".1f"),
    "min": ("min_us", ".1f"),
    "max": ("max_us", ".1f"),
    "ratio": ("ratio", ".2f"),
}
"""The columns of the table: heading, key of a row, and number format."""


class Arm(NamedTuple):
    """Names a function to time.

    Args:
      name: label in the table.
      run: runs `steps` steps and returns when the device has finished.
      steps: number of steps in a run.
      compile_seconds: seconds of compilation, or None if unknown.
    """

    name: str
    run: Callable[[], Any]
    steps: int
    compile_seconds: float | None = None


def timed(function: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    """Returns the result of `function(*args)` and the seconds of the call."""
    start = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - start


def round_robin(arms: Sequence[Arm], rounds: int, warm_up: bool = True) -> list[dict[str, Any]]:
    """Times the arms in turn, so that a machine that slows down affects all of them.

    Args:
      arms: the arms; ratios are relative to the first.
      rounds: number of times to run each arm.
      warm_up: whether to run each arm once before the timing.

    Returns:
      A row for each arm: its name, compile seconds, steps, and microseconds per step (of each
      round, and the median, minimum and maximum). The row's ratio to the first arm is the median
      over rounds.
    """
    for arm in arms if warm_up else ():
        arm.run()
    samples = [[timed(arm.run)[1] / arm.steps * 1e6 for arm in arms] for _ in range(rounds)]
    rows = []
    for i, arm in enumerate(arms):
        times = [sample[i] for sample in samples]
        rows.append(
            {
                "name": arm.name,
                "compile_seconds": arm.compile_seconds,
                "steps": arm.steps,
                "median_us": statistics.median(times),
                "min_us": min(times),
                "max_us": max(times),
                "rounds_us": times,
                "ratio": statistics.median(sample[i] / sample[0] for sample in samples),
            }
        )
    return rows


def report(
    rows: Sequence[dict[str, Any]],
    path: Path | None,
    columns: Mapping[str, tuple[str, str]] = COLUMNS,
    **about: Any,
) -> None:
    """Prints a table and, if `path` is given, writes the rows and settings as JSON.

    Args:
      rows: the rows of `round_robin`; a script may add keys.
      path: the JSON file, or None.
      columns: the columns of the table, like `COLUMNS`.
      **about: settings of the benchmark, which the JSON file includes.
    """
    print(f"{'':42}" + "".join(f" {heading:>11}" for heading in columns))
    for row in rows:
        cells = [_cell(row.get(key), spec) for key, spec in columns.values()]
        print(f"{row['name']:42}" + "".join(f" {cell:>11}" for cell in cells))
    if path is not None:
        contents = {"command": ["python", *sys.argv], **about, **jaxgan.environment()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**contents, "rows": list(rows)}, indent=2) + "\n")


def _cell(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)
