"""The benchmarks run, for two steps; how fast is for the benchmarks to say."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_step_time_runs_and_reports(tmp_path):
    path = tmp_path / "out" / "step_time.json"
    script = str(BENCHMARKS / "step_time.py")
    done = subprocess.run(
        [sys.executable, script, "--quick", "--json", str(path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(path.read_text())
    names = [row["name"] for row in report["rows"]]
    assert names[:3] == [
        "jaxgan, one scan an epoch",
        "jaxgan, one jit a step, host batches",
        "its matrix products alone",
    ]
    assert ("torch, eager, fused Adam" in names) == bool(importlib.util.find_spec("torch"))
    for row in report["rows"]:
        assert row["name"] in done.stdout
        assert row["steps"] == 2
        assert 0 < row["min_us"] <= row["median_us"] <= row["max_us"]
    assert report["rows"][0]["ratio"] == 1.0
    assert {"versions", "device", "command", "rounds"} <= set(report)


@pytest.mark.parametrize(
    ("options", "num"),
    [(["--only", "R1"], 2), pytest.param([], 24, marks=pytest.mark.slow)],
    ids=["one", "all"],
)
def test_objectives_runs_and_reports(tmp_path, options, num):
    path = tmp_path / "objectives.json"
    script = [str(BENCHMARKS / "objectives.py"), "--quick", "--json", str(path)]
    done = subprocess.run([sys.executable, *script, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text())["rows"]
    assert rows[0]["name"] == "non-saturating"
    assert len(rows) == num
    assert all(row["median_us"] > 0 for row in rows)


def test_convolutions_runs_and_reports(tmp_path):
    path = tmp_path / "convolutions.json"
    script = [str(BENCHMARKS / "convolutions.py"), "--quick", "--json", str(path)]
    done = subprocess.run([sys.executable, *script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text())["rows"]
    assert [row["name"] for row in rows][:2] == ["strided", "strided, in a loop"]
    assert len(rows) == 9
    assert all(row["median_us"] > 0 for row in rows)


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import harness
    import step_time

    return harness, step_time


def test_the_floor_is_all_the_products_of_a_step(modules):
    """XLA must neither drop, merge nor hoist any of them: there are as many as in the epoch."""
    _, step_time = modules
    images = np.zeros((200, 28, 28, 1), np.uint8)
    epoch, _ = step_time.lower_epoch(step_time.recipe(), images)
    floor, _ = step_time.lower_products(num_steps=2)
    products = re.compile(r" dot\(|custom-call\(.*(matmul|gemm)")
    counts = [len(products.findall(lowered.compile().as_text())) for lowered in (epoch, floor)]
    # Three of the 30 are outer products with one logit's gradient, which XLA may multiply out.
    assert counts[0] == counts[1] >= 27


def test_arms_take_turns(modules):
    harness, _ = modules
    calls = []
    arms = [harness.Arm(name, lambda name=name: calls.append(name), 1) for name in "ab"]
    rows = harness.round_robin(arms, rounds=2)
    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert [row["name"] for row in rows] == ["a", "b"]
