"""examples/infogan.py: two steps on embedded digits, its term, and its purity."""

import importlib
import json
import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from PIL import Image
from scripts import run_here

import jaxgan

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def infogan(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("infogan")


@pytest.mark.slow
def test_two_steps_write_a_traversal_of_each_code(tmp_path, load_few):
    load_few(40)
    options = ["--data-dir", "embedded", "--batch-size", "20", "--samples", "2", "--epochs", "1"]
    done = run_here(EXAMPLES / "infogan.py", *options, "--workdir", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "run" / "samples.png") as picture:
        assert picture.size == (3 * 280 + 2 * 8, 280)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert 0 < summary["result"]["mean share"] <= 1
    assert {"codes", "codes_of_generator"} <= set(summary["last_epoch"])
    assert summary["last_epoch"]["generator_skipped"] == 0


def test_information_equals_the_log_likelihood_of_scipy(infogan):
    """A Gaussian density of two codes has the constant log(2 pi variance)."""
    rng = np.random.default_rng(0)
    estimates = rng.normal(size=(3, 12)).astype(np.float32)
    codes, values = np.array([4, 0, 9]), rng.uniform(-1, 1, (3, 2)).astype(np.float32)
    drawn = {"categories": (jnp.eye(10)[codes],), "continuous": jnp.asarray(values)}
    extras = {"codes": jnp.asarray(estimates)}
    found = infogan.information(jaxgan.terms.View(fake_extras=extras, latents=drawn))
    logits = estimates[:, :10].astype(np.float64)
    category = scipy.special.log_softmax(logits, axis=1)[np.arange(3), codes]
    continuous = scipy.stats.norm.logpdf(values, estimates[:, 10:], infogan.VARIANCE**0.5)
    constant = math.log(2 * math.pi * infogan.VARIANCE)
    expected = -(category + continuous.sum(axis=1)) - constant
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_purity_counts_the_most_frequent_digit(infogan):
    """Real test digits take the place of samples: categories 0 and 1 are sixes."""
    digits, labels = jaxgan.datasets.load("mnist", "test", "embedded")

    def sample(state, latents):
        classes = np.asarray(latents["categories"][0]).argmax(axis=1)
        classes = np.where(classes <= 1, 6, classes)
        rows = [np.flatnonzero(labels == label)[i] for i, label in enumerate(classes)]
        return jaxgan.images.normalize(jnp.asarray(digits[rows]))

    found = infogan.purity(sample, None, 20)
    assert found["digits"] == [6, 6, *range(2, 10)]
    assert found["mean share"] == pytest.approx(np.mean(found["shares"]))
    assert found["mean share"] > 0.95
