"""examples/pix2pix.py: two steps on embedded digits, its edges and its errors."""

import importlib
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scripts import run_here

import jaxgan

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def pix2pix(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("pix2pix")


@pytest.mark.slow
def test_two_steps_write_edges_output_and_target(tmp_path, load_few):
    load_few(40)
    options = ["--data-dir", "embedded", "--batch-size", "20", "--features", "2", "--epochs", "1"]
    done = run_here(EXAMPLES / "pix2pix.py", *options, "--workdir", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "run" / "samples.png") as picture:
        assert picture.size == (12 * 56, 8 * 56)
        assert np.ptp(np.asarray(picture)[:, 56:112]) > 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert set(summary["result"]) == {"error of output", "error of black", "error of edges"}
    assert summary["last_epoch"]["l1"] > 0
    assert summary["last_epoch"]["generator_skipped"] == 0


def test_edges_of_a_square_are_its_border(pix2pix):
    """Central differences are nonzero in the pixels next to the border, inside and outside."""
    square = np.full((1, 9, 9, 1), -1, np.float32)
    square[:, 2:7, 2:7] = 1
    expected = np.full((9, 9), -1)
    expected[1:8, 2:7] = expected[2:7, 1:8] = 1
    expected[3:6, 3:6] = -1
    np.testing.assert_array_equal(pix2pix.edges(jnp.asarray(square))[0, :, :, 0], expected)


def test_errors_are_shares_of_the_range(pix2pix):
    """A generator of white images has an error of 1 on black digits, which have no edges."""
    white = lambda state, key, condition: jnp.ones_like(condition)
    found = pix2pix.mean_errors(white, None, np.zeros((600, 28, 28, 1), np.uint8))
    expected = {"error of output": 1, "error of black": 0, "error of edges": 0}
    assert found == pytest.approx(expected)


def test_weight_scales_the_distance(pix2pix):
    view = jaxgan.terms.View(images=jnp.ones((2, 3, 3, 1)), samples=jnp.zeros((2, 3, 3, 1)))
    assert float(pix2pix.l1_distance(5.0, view)) == 5


def test_negative_weight_is_rejected(tmp_path):
    done = run_here(EXAMPLES / "pix2pix.py", "--l1", "-1", "--workdir", str(tmp_path / "run"))
    assert done.returncode == 2
    assert "--l1 must be at least 0; got -1" in done.stderr
