"""How every benchmark here measures: arms in turn, medians with their spread, a table and JSON."""

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jaxgan


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


def round_robin(arms: Sequence[Arm], rounds: int) -> list[dict[str, Any]]:
    """Times the arms in turn, so that a machine that slows down slows all of them.

    Args:
      arms: what to time; the first is what the others are compared with.
      rounds: how often each is timed, after one run that does not count.

    Returns:
      For each arm a row: its name, compile seconds, steps a run, and microseconds a step as
      median, minimum and maximum over the rounds, and the median of the ratios to the first arm
      of the same round.
    """
    for arm in arms:
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
                "ratio": statistics.median(sample[i] / sample[0] for sample in samples),
            }
        )
    return rows


def report(rows: Sequence[dict[str, Any]], path: Path | None, **about: Any) -> None:
    """Prints the table and, given a path, writes it with everything about the run as JSON.

    Args:
      rows: what `round_robin` returned.
      path: the JSON file, or None.
      **about: settings of the benchmark, to be written beside the figures.
    """
    print(f"{'':38} {'compile s':>9} {'us a step':>10} {'min':>9} {'max':>9} {'ratio':>6}")
    for row in rows:
        compiled = "-" if row["compile_seconds"] is None else f"{row['compile_seconds']:.2f}"
        print(
            f"{row['name']:38} {compiled:>9} {row['median_us']:10.1f} {row['min_us']:9.1f} "
            f"{row['max_us']:9.1f} {row['ratio']:6.2f}"
        )
    if path is not None:
        contents = {"command": ["python", *sys.argv], **about, **jaxgan.environment()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**contents, "rows": list(rows)}, indent=2) + "\n")
