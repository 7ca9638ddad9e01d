"""examples/stacked_mnist.py: its images and modes, and a run of two steps."""

import functools
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


@pytest.fixture
def stacked(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("stacked_mnist")


@pytest.fixture(scope="module")
def data():
    return jaxgan.datasets.load("mnist", "test", "embedded")


def test_stack_puts_a_digit_in_each_channel(stacked, data):
    triples = stacked.stack(data.images, np.array([[5, 0, 7], [2, 2, 1]]))
    assert triples.shape == (2, 28, 28, 3)
    assert triples.dtype == np.uint8
    np.testing.assert_array_equal(triples[0, :, :, 2], data.images[7, :, :, 0])
    np.testing.assert_array_equal(triples[1, :, :, 0], data.images[2, :, :, 0])
    np.testing.assert_array_equal(triples[1, :, :, 1], data.images[2, :, :, 0])


def test_triples_are_reproducible_and_reach_all_modes(stacked):
    digits = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    triples = stacked.draw_triples(digits, 30_000, seed=1)
    np.testing.assert_array_equal(triples, stacked.draw_triples(digits, 30_000, seed=1))
    modes = triples.reshape(-1, 3).astype(int) @ [100, 10, 1]
    found = evaluation.mode_coverage(modes, 1000)
    assert found.modes == 1000
    assert found.kl == pytest.approx(found.kl_floor, rel=0.2)


def test_mode_is_the_three_digit_number(stacked, data):
    indices = np.random.default_rng(0).integers(0, 1000, (100, 3))
    pictures = jaxgan.images.normalize(stacked.stack(data.images, indices))
    read = functools.partial(stacked.read_modes, evaluation.mnist_v1())
    expected = data.labels[indices] @ [100, 10, 1]
    assert (np.asarray(read(pictures)) == expected).mean() > 0.95  # the classifier can err
    np.testing.assert_array_equal(read(pictures.at[3, 5, 5, 1].set(math.nan))[2:4] >= 0, [1, 0])


def test_non_finite_run_reaches_no_mode(stacked):
    found = stacked.count(lambda rows: rows, np.array([7, 7, -1, 9]))
    assert (found.modes, found.kl, found.num_samples) == (0, math.inf, 4)
    found = stacked.count(lambda rows: rows, np.arange(2500) % 1000)  # in several batches
    assert (found.modes, found.num_samples) == (1000, 2500)
    failed = found._replace(modes=0, kl=math.inf)
    row = stacked.row("veegan", "dcgan", [found._replace(kl=0.5), failed], 9)
    assert row == (
        "| dcgan | 500.0 +- 500.0 | 0.500 (1 of 2 runs) | 1 of 2 | 9 | 78.9 +- 6.5 / 4.50 |"
    )
    row = stacked.row("veegan", "rpgan", [failed], 9)
    assert row == "| rpgan | 0.0 | none | 1 of 1 | 9 |  |"


def test_latents_of_dcgan_are_uniform(stacked):
    drawn = stacked.common.fixed_latents(stacked.LATENTS["veegan"], 200)
    even = np.linspace(-1, 1, drawn.size)
    assert drawn.shape == (200, 100)
    assert np.abs(np.sort(drawn, axis=None) - even).max() < 0.03  # Kolmogorov-Smirnov: p = 1e-4


@pytest.mark.parametrize(("setting", "method"), [("veegan", "rpgan"), ("unrolled-half", "dcgan")])
def test_every_setting_builds_a_gan(stacked, monkeypatch, setting, method):
    monkeypatch.setattr(sys, "argv", ["stacked_mnist.py", "--setting", setting, "--features", "2"])
    args = stacked.parse_arguments()
    sizes = (args.steps, args.runs, args.batch_size, args.samples)
    assert sizes == stacked.SETTINGS[setting]
    gan = stacked.make_gan(method, args)
    state = jax.eval_shape(gan.init, jax.random.key(0), np.zeros((1, 28, 28, 3), np.float32))
    count = sum(x.size for x in jax.tree.leaves(state.params.discriminator))
    assert setting == "veegan" or count == 1861


def test_small_run_writes_all_results(tmp_path):
    sizes = {"steps": 2, "runs": 2, "triples": 64, "batch-size": 8, "samples": 40}
    options = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    some = ["--data-dir", "embedded", "--setting", "unrolled-quarter"]
    some += ["--methods", "pacdcgan2", "--workdir", str(tmp_path / "run")]
    done = run_here(EXAMPLES / "stacked_mnist.py", *options, *some)
    assert done.returncode == 0, done.stderr
    header, _, *rows = done.stdout.strip().splitlines()
    assert [row.split(" | ")[0] for row in rows] == ["| *triples of test digits*", "| pacdcgan2"]
    assert all(row.count("|") == header.count("|") for row in rows)
    assert rows[1].endswith("| 484.5 / 2.61 |")
    with Image.open(tmp_path / "run" / "pacdcgan2.png") as picture:
        assert (picture.size, picture.mode) == ((7 * 56, 6 * 56), "RGB")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["real"]["num_samples"] == 40
    assert summary["real"]["modes"] > 30
    assert [result["method"] for result in summary["results"]] == ["pacdcgan2"]
    for result in summary["results"]:
        assert [run["num_samples"] for run in result["runs"]] == [40, 40]
        assert all(1 <= run["modes"] <= 40 for run in result["runs"])
        assert result["skipped_steps"] == [0, 0]


@pytest.mark.parametrize(
    ("setting", "steps", "runs", "batch_size", "samples", "rates"),
    [
        ("veegan", 100_000, 10, 64, 26_000, (2e-4, 2e-4)),
        ("unrolled-half", 500_000, 50, 128, 25_600, (1e-4, 2e-4)),
    ],
)
def test_defaults_equal_the_papers(
    stacked, monkeypatch, setting, steps, runs, batch_size, samples, rates
):
    """50 epochs of 128,000 triples are 100,000 steps. A stand-in for Adam records the rates."""
    monkeypatch.setattr(sys, "argv", ["stacked_mnist.py", "--setting", setting])
    args = stacked.parse_arguments()
    assert (args.steps, args.runs, args.batch_size, args.samples) == (
        steps,
        runs,
        batch_size,
        samples,
    )
    assert (args.triples, args.features) == (128_000, 64)
    used = []
    monkeypatch.setattr(stacked.optax, "adam", lambda rate, **betas: used.append(rate) or rate)
    monkeypatch.setattr(stacked.jaxgan, "gan", lambda **made: made)
    stacked.make_gan("dcgan", args)
    assert tuple(used) == rates


def test_too_few_triples_are_rejected(stacked, monkeypatch, capsys):
    options = ["--setting", "unrolled-half", "--methods", "pacdcgan4", "--triples", "511"]
    monkeypatch.setattr(sys, "argv", ["stacked_mnist.py", *options])
    with pytest.raises(SystemExit):
        stacked.parse_arguments()
    assert "--triples must be at least one batch of packs; got 511" in capsys.readouterr().err
