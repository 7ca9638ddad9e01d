"""examples/compare_losses.py: its parts, and a run of one epoch."""

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
from jaxgan import evaluation

EXAMPLES = Path(__file__).parents[2] / "examples"
NUM = 140  # digits of a class


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


@pytest.mark.parametrize("networks", ["mlp", pytest.param("infogan", marks=pytest.mark.slow)])
def test_all_losses_use_the_same_networks(compare_losses, arguments, networks):
    args, start = arguments("--networks", networks), np.zeros((1, 28, 28, 1), np.float32)
    shapes = set()
    for name in compare_losses.METHODS:
        state = jax.eval_shape(compare_losses.make_gan(name, args).init, jax.random.key(0), start)
        leaves, structure = jax.tree.flatten(state.params)
        shapes.add((structure, tuple(leaf.shape for leaf in leaves)))
    assert len(shapes) == 1


def test_wgan_clips_weights(compare_losses, arguments):
    images = np.random.default_rng(0).uniform(-1, 1, (8, 28, 28, 1)).astype(np.float32)
    gan = compare_losses.make_gan("wgan", arguments("--networks", "mlp"))
    state = gan.init(jax.random.key(0), images)
    largest = lambda: max(abs(leaf).max() for leaf in jax.tree.leaves(state.params.discriminator))
    assert largest() > 0.05
    state, _ = jax.jit(gan.update)(state, images)
    assert largest() <= 0.01 + 1e-6


def test_score_equals_that_of_quantized_images(compare_losses):
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (90, 2, 2, 1), np.uint8)
    flat = lambda images: images.reshape(images.shape[0], -1)
    spaces = {"flat": compare_losses.load_space(flat, real)}
    score = lambda x: compare_losses.score(x, spaces)
    same = (real / 127.5 - 1.0).astype(np.float32)
    assert score(same) == score(real) == pytest.approx({"flat": 0.0, "coverage": 1.0}, abs=1e-9)
    assert score(0.5 * same)["flat"] > 0.1
    same[3, 0, 0] = math.nan
    assert score(same) == {"flat": math.inf, "coverage": 0.0}


@pytest.fixture(scope="module")
def digits():
    return jaxgan.datasets.load("mnist", "test", data_dir="embedded")


@pytest.fixture
def has_collapsed(compare_losses, digits):
    """Returns a function that detects collapse, with other digits as references."""
    features = evaluation.mnist_v1().features
    spaces = {"mnist-v1": compare_losses.load_space(features, digits.images[1::6])}
    references = digits.images[3::6], digits.labels[3::6]
    one_class = compare_losses.score_one_class(*references, spaces, NUM)

    def collapsed(images):
        scores = compare_losses.score(images, spaces)
        return compare_losses.collapsed([scores["mnist-v1"]], [scores["coverage"]], one_class) == 1

    return collapsed


def test_few_kinds_of_images_count_as_collapse(has_collapsed, digits):
    images, labels = digits.images[::6], digits.labels[::6]
    one_of_each = np.stack([images[labels == i][0] for i in range(10)])
    for image in (one_of_each[1], one_of_each[8], np.zeros_like(images[0])):
        assert has_collapsed(np.repeat(image[None], NUM, axis=0))
    assert has_collapsed(np.tile(one_of_each, (NUM // 10, 1, 1, 1)))
    for i in range(10):
        assert has_collapsed(images[labels == i][:NUM])
    assert has_collapsed(np.full((NUM, 28, 28, 1), math.nan, np.float32))
    assert not has_collapsed(images)
    assert not has_collapsed(images[:1000])


def test_table_puts_the_best_first_and_counts_collapses(compare_losses, capsys):
    def make(loss, distances, coverages):
        return {"loss": loss, "a": distances, "coverage": coverages, "skipped_steps": [0, 3]}

    results = [
        make("ns", [30.0, 301.0, 50.0, math.inf], [0.6, 0.7, 0.125, 0.0]),
        make("mm", [40.0, 20.0], [0.5, 0.75]),
    ]
    one_class = {"distance": 301.0, "coverage": 0.125}
    compare_losses.print_table(results, {"a": 1.25, "coverage": 0.96}, one_class)
    header, _, floor, first, second = capsys.readouterr().out.strip().splitlines()
    assert floor == "| *floor: training images* | 1.250 |  |  | 0.960 | | | |"
    assert first == (
        "| mm | 30.000 +- 10.000 | 30.00 | 20.00 to 40.00 | 0.625 +- 0.125 | 0 of 2 | 3 | "
        "9.8 +- 0.9 |"
    )
    assert "| 3 of 4 |" in second
    assert header.count("|") == first.count("|") == floor.count("|") == second.count("|")


@pytest.fixture
def equal_classes(monkeypatch):
    """Limits `datasets.load` to 160 digits of each class, whose features then compile once."""
    load = jaxgan.datasets.load

    def load_equal(*args, **kwargs):
        data = load(*args, **kwargs)
        chosen = np.stack([np.flatnonzero(data.labels == i)[:160] for i in range(10)], axis=1)
        return jaxgan.datasets.Dataset(
            data.images[chosen.ravel()], data.labels[chosen.ravel()], data.source
        )

    monkeypatch.setattr(jaxgan.datasets, "load", load_equal)


@pytest.mark.usefixtures("equal_classes")
def test_small_run_writes_all_results(tmp_path):
    options = ["--data-dir", "embedded", "--networks", "mlp", "--losses", "wgan"]
    options += ["--epochs", "1", "--runs", "2", "--batch-size", "800", "--samples", "1000"]
    options += ["--workdir", str(tmp_path / "run")]
    done = run_here(EXAMPLES / "compare_losses.py", *options)
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
        assert all(0 <= x < summary["floor"]["coverage"] for x in result["coverage"])
    assert rows[0].split(" | ")[6] == "2 of 2"  # after two steps
    assert 0 < summary["one_class"]["coverage"] < 0.3 < 100 < summary["one_class"]["distance"]
    with Image.open(tmp_path / "run" / "samples.png") as picture:
        assert picture.size == (10 * 56, 56)
    assert (tmp_path / "run" / "distances.png").exists()


def test_too_few_samples_are_rejected(arguments, capsys):
    with pytest.raises(SystemExit):
        arguments("--samples", "999")
    assert "--samples must be at least 1000; got 999" in capsys.readouterr().err
