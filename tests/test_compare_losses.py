"""examples/compare_losses.py: what it compares, and an epoch of it, run as a user runs it."""

import functools
import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from jaxgan import evaluation

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def compare_losses(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("compare_losses")


@pytest.fixture
def arguments(compare_losses, monkeypatch):
    def parse(*options):
        monkeypatch.setattr(sys, "argv", ["compare_losses.py", *options])
        return compare_losses.parse_arguments()

    return parse


@pytest.mark.parametrize("networks", ["mlp", "infogan"])
def test_every_loss_plays_with_the_same_networks(compare_losses, arguments, networks):
    args, start = arguments("--networks", networks), np.zeros((1, 28, 28, 1), np.float32)
    shapes = set()
    for name in compare_losses.METHODS:
        state = jax.eval_shape(compare_losses.make_gan(name, args).init, jax.random.key(0), start)
        leaves, structure = jax.tree.flatten(state.params)
        shapes.add((structure, tuple(leaf.shape for leaf in leaves)))
    assert len(shapes) == 1


def test_the_weights_of_wgan_stay_clipped(compare_losses, arguments):
    images = np.random.default_rng(0).normal(size=(8, 28, 28, 1)).astype(np.float32)
    gan = compare_losses.make_gan("wgan", arguments("--networks", "mlp"))
    state = gan.init(jax.random.key(0), images)
    largest = lambda: max(abs(leaf).max() for leaf in jax.tree.leaves(state.params.discriminator))
    assert largest() > 0.05
    state, _ = jax.jit(gan.update)(state, images)
    assert largest() <= 0.01 + 1e-6


def test_the_distance_is_of_what_a_file_would_hold(compare_losses):
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (90, 2, 2, 1), np.uint8)
    flat = lambda images: images.reshape(images.shape[0], -1)
    moments = evaluation.moments(evaluation.embed(flat, real))
    same = (real / 127.5 - 1.0).astype(np.float32)
    assert compare_losses.distance(moments, same, flat) == pytest.approx(0.0, abs=1e-9)
    assert compare_losses.distance(moments, 0.5 * same, flat) > 0.1
    same[3, 0, 0] = math.nan
    assert compare_losses.distance(moments, same, flat) == math.inf


def test_the_best_stands_first_and_the_collapsed_are_counted(compare_losses, capsys):
    make = lambda loss, *values: {"loss": loss, "a": values, "skipped_steps": [0, 3]}
    results = [make("ns", 30.0, 301.0, math.inf), make("mm", 40.0, 20.0)]
    compare_losses.print_table(results, {"a": 1.25})
    header, _, floor, first, second = capsys.readouterr().out.strip().splitlines()
    assert floor.startswith("| *floor: training images* | 1.250 |")
    assert first == ("| mm | 30.000 +- 10.000 | 30.00 | 20.00 to 40.00 | 0 of 2 | 3 | 9.8 +- 0.9 |")
    assert "| 2 of 3 |" in second
    assert header.count("|") == first.count("|") == floor.count("|") == second.count("|")


def test_a_loss_in_small(tmp_path):
    script = [sys.executable, "-W", "error", str(EXAMPLES / "compare_losses.py")]
    script += ["--data-dir", "embedded", "--networks", "mlp", "--losses", "wgan"]
    script += ["--epochs", "1", "--runs", "2", "--batch-size", "5000", "--samples", "1000"]
    environment = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # it compiles, above all
    run = functools.partial(subprocess.run, capture_output=True, text=True, env=environment)
    done = run([*script, "--workdir", str(tmp_path / "run")])
    assert done.returncode == 0, done.stderr
    header, _, floor, *rows = done.stdout.strip().splitlines()
    assert [row.split(" | ")[0] for row in rows] == ["| wgan"]
    assert all(row.count("|") == header.count("|") for row in [floor, *rows])
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [result["loss"] for result in summary["results"]] == ["wgan"]
    for result in summary["results"]:
        assert result["skipped_steps"] == [0, 0]
        for space in ("mnist-v1", "random-v1"):
            assert len(set(result[space])) == 2
            assert min(result[space]) > summary["floor"][space]
    with Image.open(tmp_path / "run" / "samples.png") as picture:
        assert picture.size == (10 * 56, 56)
    assert (tmp_path / "run" / "distances.png").exists()
    refused = run([*script, "--workdir", str(tmp_path / "run")])
    assert refused.returncode == 1
    assert "is not empty" in refused.stderr


def test_too_few_samples_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        arguments("--samples", "999")
    assert "--samples must be at least 1000; got 999" in capsys.readouterr().err
