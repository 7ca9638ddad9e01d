"""Measures the time from the start of `examples/mnist.py` to the end of its first epoch.

    python benchmarks/start_up.py --json benchmarks/results/start_up.json

Starts the example with an empty compilation cache, then again with the filled cache, and reports
the time of each part. The first epoch, of the embedded digits, is two steps.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness

HERE = Path(__file__).parent
EXAMPLE = HERE.parent / "examples" / "mnist.py"
PARTS = ("imports", "data", "init", "lowering", "compiling", "training")
COLUMNS = {
    "seconds": ("median_seconds", ".2f"),
    "min": ("min_seconds", ".2f"),
    "max": ("max_seconds", ".2f"),
    "ratio": ("ratio", ".2f"),
    **{part: (part, ".2f") for part in PARTS},
}


def start(cache: Path, workdir: Path) -> dict[str, float]:
    """Starts the example with this cache folder, and returns the seconds of each part."""
    watched = [sys.executable, str(HERE / "watch_start.py"), str(time.monotonic()), str(EXAMPLE)]
    options = ["--data-dir", "embedded", "--batch-size", "5000", "--workdir", str(workdir)]
    env = {**os.environ, "XDG_CACHE_HOME": str(cache), "JAX_ENABLE_COMPILATION_CACHE": "1"}
    env.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run([*watched, *options], env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def arm(name: str, folder: Path, seconds: list[dict[str, float]]) -> harness.Arm:
    """Returns an arm that appends to `seconds`. Both arms of a round share a cache."""

    def run() -> None:
        number = len(seconds)
        seconds.append(start(folder / f"cache-{number}", folder / f"{name}-{number}"))

    return harness.Arm(f"{name} start", run, 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a smoke test: one round, no warm-up")
    parser.add_argument("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    rounds = 1 if args.quick else args.rounds

    seconds: dict[str, list] = {"first": [], "second": []}
    with tempfile.TemporaryDirectory() as folder:
        arms = [arm(name, Path(folder), parts) for name, parts in seconds.items()]
        rows = harness.round_robin(arms, rounds, warm_up=not args.quick)
    for row, parts in zip(rows, seconds.values(), strict=True):
        counted = parts[-rounds:]  # without the warm-up
        row |= {part: statistics.median(each[part] for each in counted) for part in PARTS}
        row |= {f"{name}_seconds": row[f"{name}_us"] / 1e6 for name in ("median", "min", "max")}
    harness.report(rows, args.json, COLUMNS, rounds=rounds)


if __name__ == "__main__":
    main()
