"""How every benchmark here measures: arms in turn, medians with their spread, a table and JSON."""

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
    "us a step": ("median_us", ".1f"),
    "min": ("min_us", ".1f"),
    "max": ("max_us", ".1f"),
    "ratio": ("ratio", ".2f"),
}
"""Of the table: a heading, which key of a row stands under it, and how it is written."""


class Arm(NamedTuple):
    """One thing to be timed.

    Args:
      name: what it is called in the table.
      run: does `steps` steps and returns when the device is done.
      steps: how many steps a run makes.
      compile_seconds: what it took to get ready, where that can be told.
    """

    name: str
    run: Callable[[], Any]
    steps: int
    compile_seconds: float | None = None


def timed(function: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    """Returns what `function(*args)` returns, and the seconds it took."""
    start = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - start


def round_robin(arms: Sequence[Arm], rounds: int, warm_up: bool = True) -> list[dict[str, Any]]:
    """Times the arms in turn, so that a machine that slows down slows all of them.

    Args:
      arms: what to time; the first is what the others are compared with.
      rounds: how often each is timed.
      warm_up: whether each arm first runs once untimed.

    Returns:
      For each arm a row: its name, compile seconds, steps a run, and microseconds a step as
      median, minimum and maximum over the rounds, of each round, and the median of the ratios to
      the first arm of the same round.
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
    """Prints the table and, given a path, writes it with everything about the run as JSON.

    Args:
      rows: what `round_robin` returned; a script may add keys.
      path: the JSON file, or None.
      columns: what the table shows of a row.
      **about: settings of the benchmark, to be written beside the figures.
    """
    print(f"{'':38}" + "".join(f" {heading:>11}" for heading in columns))
    for row in rows:
        cells = [_cell(row.get(key), spec) for key, spec in columns.values()]
        print(f"{row['name']:38}" + "".join(f" {cell:>11}" for cell in cells))
    if path is not None:
        contents = {"command": ["python", *sys.argv], **about, **jaxgan.environment()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**contents, "rows": list(rows)}, indent=2) + "\n")


def _cell(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)
