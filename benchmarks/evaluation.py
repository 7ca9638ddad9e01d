"""How long do all metrics take, 10,000 against 10,000 samples of 128 features?

    python benchmarks/evaluation.py --json benchmarks/results/evaluation.json

Times `evaluation.compare` with a training set of as many, and beside their peers, where those are
installed, the metrics that have one: precision, recall, density and coverage beside prdc's, and the
Frechet distance beside the usual one by SciPy's `sqrtm`. Features are normal, and given. Seconds of
the processor, of all its cores together, are told too, and are compared: they count where other
programs run.
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
    "to ours": ("ratio_to_ours", ".2f"),
}
K = 5


def prdc_of_ours(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    found = evaluation.precision_recall(real, fake, k=K)._asdict()
    return {**found, **evaluation.density_coverage(real, fake, k=K)._asdict()}


def prdc_of_peer(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    prdc: Any = importlib.import_module("prdc")
    with contextlib.redirect_stdout(io.StringIO()):
        return prdc.compute_prdc(real, fake, nearest_k=K)


def frechet_of_peer(real: np.ndarray, fake: np.ndarray) -> float:
    """As pytorch-fid computes it, from features."""
    linalg: Any = importlib.import_module("scipy.linalg")
    s, t = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = linalg.sqrtm(s @ t).real
    means = ((real.mean(axis=0) - fake.mean(axis=0)) ** 2).sum()
    return float(means + np.trace(s) + np.trace(t) - 2 * np.trace(root))


PAIRS: dict[str, tuple[Callable, dict[str, Callable]]] = {
    "precision, recall, density, coverage": (prdc_of_ours, {"prdc": prdc_of_peer}),
    "Frechet distance": (evaluation.frechet, {"scipy": frechet_of_peer}),
}


def metrics(real: np.ndarray, fake: np.ndarray, train: np.ndarray) -> dict[str, Callable]:
    """What is timed, by name; a peer stands below ours."""
    every = functools.partial(evaluation.compare, real, fake, train=train)
    found: dict[str, Callable] = {"all metrics, jaxgan": every}
    for name, (ours, peers) in PAIRS.items():
        there = {f"{name}, {k}": f for k, f in peers.items() if importlib.util.find_spec(k)}
        for title, metric in {f"{name}, jaxgan": ours, **there}.items():
            found[title] = functools.partial(metric, real, fake)
    return found


def watched(metric: Callable, spent: list[float]) -> Callable[[], None]:
    """Notes the processor's seconds of each call."""

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
    parser.add_argument("--samples", type=int, default=10_000, help="of either set")
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--quick", action="store_true", help="50 samples, one round: does it run?")
    parser.add_argument("--json", type=Path, help="where to write the figures")
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
        row["processor_seconds"] = statistics.median(
            spent[row["name"]][1:]
        )  # the first is not timed
        row["ratio_to_ours"] = row["processor_seconds"] / ours["processor_seconds"]
    harness.report(rows, args.json, COLUMNS, samples=num, dims=dims, rounds=rounds)


if __name__ == "__main__":
    main()
