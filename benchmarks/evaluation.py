"""Measures the metrics on 10,000 real and 10,000 generated samples with 128 features each.

    python benchmarks/evaluation.py --json benchmarks/results/evaluation.json

Times `evaluation.compare` with a training set of the same size. If prdc is installed, compares its
precision, recall, density and coverage with jaxgan's. If SciPy is installed, compares the Frechet
distance with the usual computation by `scipy.linalg.sqrtm`. Features are normally distributed.
Ratios compare processor seconds, summed over all cores, because other programs may run at the same
time.
"""

import argparse
import contextlib
import functools
import importlib
import importlib.util
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np

from jaxgan import evaluation

COLUMNS = {
    "seconds": ("median_seconds", ".2f"),
    "min": ("min_seconds", ".2f"),
    "max": ("max_seconds", ".2f"),
    "processor": ("processor_seconds", ".2f"),
    "ratio": ("ratio_to_ours", ".2f"),
}
K = 5


def jaxgan_prdc(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    found = evaluation.precision_recall(real, fake, k=K)._asdict()
    return {**found, **evaluation.density_coverage(real, fake, k=K)._asdict()}


def reference_prdc(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    prdc: Any = importlib.import_module("prdc")
    with contextlib.redirect_stdout(io.StringIO()):
        return prdc.compute_prdc(real, fake, nearest_k=K)


def scipy_frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """Computes the distance as pytorch-fid does, from features."""
    linalg: Any = importlib.import_module("scipy.linalg")
    s, t = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = linalg.sqrtm(s @ t).real
    means = ((real.mean(axis=0) - fake.mean(axis=0)) ** 2).sum()
    return float(means + np.trace(s) + np.trace(t) - 2 * np.trace(root))


PAIRS: dict[str, tuple[Callable, dict[str, Callable]]] = {
    "precision, recall, density, coverage": (jaxgan_prdc, {"prdc": reference_prdc}),
    "Frechet distance": (evaluation.frechet, {"scipy": scipy_frechet}),
}


def metrics(real: np.ndarray, fake: np.ndarray, train: np.ndarray) -> dict[str, Callable]:
    """Returns the functions to time by name. Each reference follows jaxgan's function."""
    every = functools.partial(evaluation.compare, real, fake, train=train)
    found: dict[str, Callable] = {"all metrics, jaxgan": every}
    for name, (ours, peers) in PAIRS.items():
        peers = {f"{name}, {k}": f for k, f in peers.items() if importlib.util.find_spec(k)}
        for title, metric in {f"{name}, jaxgan": ours, **peers}.items():
            found[title] = functools.partial(metric, real, fake)
    return found


def watched(metric: Callable, spent: list[float]) -> Callable[[], None]:
    """Returns a function that calls `metric` and appends the processor seconds to `spent`."""

    def run() -> None:
        start = time.process_time()
        metric()
        spent.append(time.process_time() - start)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=10_000, help="samples in each set")
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--quick", action="store_true", help="a smoke test: 50 samples, one round")
    parser.add_argument("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    num, dims, rounds = (50, 8, 1) if args.quick else (args.samples, args.dims, args.rounds)

    real, fake, train = np.random.default_rng(0).normal(size=(3, num, dims))
    timed = metrics(real, fake, train)
    spent: dict[str, list[float]] = {name: [] for name in timed}
    arms = [harness.Arm(name, watched(f, spent[name]), 1) for name, f in timed.items()]
    rows = harness.round_robin(arms, rounds)
    ours = rows[0]
    for row in rows:
        ours = row if row["name"].endswith(", jaxgan") else ours
        row |= {f"{key}_seconds": row[f"{key}_us"] / 1e6 for key in ("median", "min", "max")}
        row["processor_seconds"] = statistics.median(spent[row["name"]][1:])  # without the warm-up
        row["ratio_to_ours"] = row["processor_seconds"] / ours["processor_seconds"]
    harness.report(rows, args.json, COLUMNS, samples=num, dims=dims, rounds=rounds)


if __name__ == "__main__":
    main()
