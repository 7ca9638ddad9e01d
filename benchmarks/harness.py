"""Times functions (arms) in turn, and reports medians and ranges as a table and as JSON."""

import concurrent.futures
import importlib
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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


def attempt(name: str, make: Callable[..., Arm], *args: Any, **kwargs: Any) -> Arm:
    """Returns `make(*args, **kwargs)`, or an arm that raises the error of that call."""
    try:
        return make(*args, **kwargs)
    except Exception as failure:  # such as too little device memory, or an unknown XLA option
        error = failure

    def run() -> None:
        raise error

    return Arm(name, run, 1)


def arms_in_child(module: str, *args: Any, function: str = "arms", **kwargs: Any) -> list[Arm]:
    """Returns the arms of `module.function(*args, **kwargs)`, which run in a child process.

    Two frameworks in one process would share CUDA libraries, and an error of the device would end
    all arms of the process. The child process ends with this process.
    """
    spawn = multiprocessing.get_context("spawn")
    child = concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn)

    def remote(i: int, found: tuple[str, int, float | None]) -> Arm:
        name, steps, seconds = found
        return Arm(name, lambda: child.submit(_run_in_child, i).result(), steps, seconds)

    made = child.submit(_make_in_child, module, function, args, kwargs).result()
    return [remote(i, found) for i, found in enumerate(made)]


_arms_of_child: list[Arm] = []


def _make_in_child(
    module: str, function: str, args: tuple, kwargs: dict
) -> list[tuple[str, int, float | None]]:
    _arms_of_child[:] = getattr(importlib.import_module(module), function)(*args, **kwargs)
    return [(arm.name, arm.steps, arm.compile_seconds) for arm in _arms_of_child]


def _run_in_child(i: int) -> None:
    _arms_of_child[i].run()


def round_robin(arms: Sequence[Arm], rounds: int, warm_up: bool = True) -> list[dict[str, Any]]:
    """Times the arms in turn, so that a machine that slows down affects all of them.

    Args:
      arms: the arms; ratios are relative to the first.
      rounds: number of times to run each arm.
      warm_up: whether to run each arm once before the timing.

    Returns:
      A row for each arm: its name, compile seconds, steps, and microseconds per step (of each
      round, and the median, minimum and maximum). The row's ratio to the first arm is the median
      over rounds. The row of an arm that failed has its name and `error` instead.
    """
    times: list[list[float]] = [[] for _ in arms]
    errors: dict[int, str] = {}
    for number in range(-1 if warm_up else 0, rounds):
        for i, arm in enumerate(arms):
            if i in errors:
                continue
            try:
                seconds = timed(arm.run)[1]
            except Exception as error:  # the results of the other arms are worth keeping
                errors[i] = f"{type(error).__name__}: {error}"
                continue
            if number >= 0:
                times[i].append(seconds / arm.steps * 1e6)
    first = None if 0 in errors else times[0]
    return [
        {"name": arm.name, "error": errors[i]} if i in errors else _row(arm, times[i], first)
        for i, arm in enumerate(arms)
    ]


def _row(arm: Arm, times: Sequence[float], first: Sequence[float] | None) -> dict[str, Any]:
    ratios = [mine / its for mine, its in zip(times, first or (), strict=False)]
    return {
        "name": arm.name,
        "compile_seconds": arm.compile_seconds,
        "steps": arm.steps,
        "median_us": statistics.median(times),
        "min_us": min(times),
        "max_us": max(times),
        "rounds_us": times,
        "ratio": statistics.median(ratios) if ratios else None,
    }


def succeeded(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the rows of the arms that ran without an error."""
    return [row for row in rows if "error" not in row]


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
    print_table(rows, columns)
    if path is not None:
        contents = {"command": ["python", *sys.argv], **about, **jaxgan.environment()}
        path.parent.mkdir(parents=True, exist_ok=True)
        jaxgan.runs.write_json(path, {**contents, "rows": list(rows)}, indent=2)


def print_table(
    rows: Sequence[dict[str, Any]], columns: Mapping[str, tuple[str, str]] = COLUMNS
) -> None:
    """Prints a row for each name, with columns like `COLUMNS`."""
    print(f"{'':42}" + "".join(f" {heading:>11}" for heading in columns))
    for row in rows:
        if "error" in row:
            print(f"{row['name']:42} failed: {row['error'].splitlines()[0]}")
            continue
        cells = [_cell(row.get(key), spec) for key, spec in columns.values()]
        print(f"{row['name']:42}" + "".join(f" {cell:>11}" for cell in cells))


def _cell(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)
