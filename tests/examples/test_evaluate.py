"""examples/evaluate.py, after two steps of examples/mnist.py."""

import importlib
import json
import math
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from scripts import run_here

import jaxgan
from jaxgan import checkpoint, evaluation

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script, *options):
    return run_here(EXAMPLES / script, "--data-dir", "embedded", *options)


def test_report_after_two_steps(tmp_path, load_few):
    load_few(2400)
    workdir = tmp_path / "run"
    options = ["--epochs", "1", "--batch-size", "1200", "--workdir", str(workdir)]
    assert run("mnist.py", *options).returncode == 0
    done = run("evaluate.py", "--checkpoint", str(workdir), "--samples", "1000", "--draws", "2")
    assert done.returncode == 0, done.stderr
    assert "The run trained on the test images, so the scores are too good." in done.stderr
    with Image.open(workdir / "evaluation" / "report.png") as picture:
        assert picture.width > 1000
    report = json.loads((workdir / "evaluation" / "report.json").read_text())
    assert (report["step"], report["num_samples"], report["num_train"]) == (2, 1000, 1200)
    assert done.stdout.count("\n| mnist-v1 | ") == done.stdout.count("\n| random-v1 | ") == 8

    rejected = run("evaluate.py", "--checkpoint", str(workdir), "--samples", "1000", "--draws", "1")
    assert rejected.returncode == 1
    *_, line = rejected.stderr.splitlines()
    assert "The report must be a new file; got" in line
    assert line.endswith(" --overwrite replaces it.")

    for scores in (report["floor"], *report["draws"]):
        assert sum(scores["shares"].values()) == pytest.approx(1.0)
        assert sum(share > 0 for share in scores["shares"].values()) == scores["classes"]["classes"]
    assert report["floor"]["classes"]["classes"] == 10

    # The floor compares two halves of the digits. Generated noise scores far above it.
    digits = jaxgan.datasets.load("mnist", "test", data_dir="embedded").images
    train, test = (
        evaluation.embed(evaluation.random_v1(), x) for x in (digits[0:2000:2], digits[1:2000:2])
    )
    floor = report["floor"]["random-v1"]
    assert floor["frechet"] == pytest.approx(evaluation.frechet(train, test))
    assert floor["nearest_neighbour_accuracy"] == pytest.approx(0.5, abs=0.1)
    assert floor["authenticity"] > 0.1
    for draw in report["draws"]:
        assert draw["random-v1"]["frechet"] > 10 * floor["frechet"]
        assert draw["mnist-v1"]["nearest_neighbour_accuracy"] > 0.9
    assert not np.array_equal(*(list(draw["mnist-v1"].values()) for draw in report["draws"]))


def test_missing_run_is_reported_without_a_traceback(tmp_path):
    done = run("evaluate.py", "--checkpoint", str(tmp_path))
    assert done.returncode == 1
    assert "config.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_without_checkpoints_is_rejected(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(OPTIONS))
    done = run("evaluate.py", "--checkpoint", str(tmp_path))
    assert done.returncode == 1
    *_, line = done.stderr.splitlines()
    assert line == (
        f"{tmp_path} must be a run with checkpoints; got none. "
        "Continue it with examples/mnist.py --resume."
    )


OPTIONS = {"dataset": "mnist", "networks": "mlp", "loss": "hinge", "penalty": "none"}
OPTIONS |= {"learning_rate": 1e-3, "beta1": 0.5, "seed": 0, "images_sha256": "of other images"}


@pytest.mark.parametrize("config", ["{}", "[1]", "{", json.dumps({**OPTIONS, "networks": "none"})])
def test_other_config_is_rejected_without_a_traceback(tmp_path, config):
    (tmp_path / "config.json").write_text(config)
    done = run("evaluate.py", "--checkpoint", str(tmp_path))
    assert done.returncode == 1
    *_, line = done.stderr.splitlines()
    assert "config.json must be from a run of examples/mnist.py; got" in line
    assert "Traceback" not in done.stderr


def test_other_dataset_is_rejected(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**OPTIONS, "dataset": "fashion_mnist"}))
    done = run("evaluate.py", "--checkpoint", str(tmp_path))
    assert done.returncode == 1
    *_, line = done.stderr.splitlines()
    assert "config.json must be 'mnist', because the classifier" in line
    assert line.endswith("got 'fashion_mnist'.")


@pytest.mark.filterwarnings("ignore:.*non-finite values")
def test_non_finite_samples_and_too_many_samples_are_reported(tmp_path, monkeypatch):
    """Reduces --samples to the number of images, and rejects NaN before scoring."""
    monkeypatch.syspath_prepend(EXAMPLES)
    mnist = importlib.import_module("mnist")
    monkeypatch.setattr(sys, "argv", ["mnist.py"])
    args = mnist.parse_arguments()
    gan = mnist.make_gan((28, 28, 1), args)
    state = gan.init(jax.random.key(0), np.zeros((1, 28, 28, 1), np.float32))
    broken = state.replace(params=jax.tree.map(lambda x: x * math.nan, state.params))
    (tmp_path / "config.json").write_text(json.dumps(OPTIONS))
    checkpoint.save(tmp_path / "checkpoints", broken).result()
    done = run("evaluate.py", "--checkpoint", str(tmp_path), "--samples", "20000")
    assert done.returncode == 1
    assert "trained on images other than these training images" in done.stderr
    *_, reduction, line = done.stderr.splitlines()
    assert reduction == "--samples is reduced to 5000, the number of real images."
    assert line.startswith("Samples must be finite; got NaN or infinity in 5000 of 5000 at step 0")
    assert "Traceback" not in done.stderr
