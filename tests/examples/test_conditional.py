"""examples/conditional.py: two steps on embedded digits, and its share of recognized digits."""

import importlib
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scripts import run_here

import jaxgan
from jaxgan import checkpoint

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def conditional(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("conditional")


def test_two_steps_write_a_row_for_each_class(tmp_path, load_few):
    load_few(40)
    options = ["--data-dir", "embedded", "--batch-size", "20", "--samples", "2", "--epochs", "1"]
    done = run_here(EXAMPLES / "conditional.py", *options, "--workdir", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("all recognized: 0.")
    with Image.open(tmp_path / "run" / "samples.png") as picture:
        assert picture.size == (16 * 28, 10 * 28)
        assert np.ptp(np.asarray(picture)) > 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert len(summary["result"]) == 11
    assert summary["last_epoch"]["discriminator_skipped"] == 0
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [2]


def test_share_of_real_digits_is_high_only_for_their_class(conditional):
    """Real test digits take the place of samples. Half of the ones are sevens."""
    digits, labels = jaxgan.datasets.load("mnist", "test", "embedded")

    def sample(state, key, condition):
        classes = np.asarray(condition).copy()
        classes[::2] = np.where(classes[::2] == 1, 7, classes[::2])
        rows = [np.flatnonzero(labels == label)[i] for i, label in enumerate(classes)]
        return jaxgan.images.normalize(jnp.asarray(digits[rows]))

    shares = conditional.recognized(sample, None, 20)
    assert shares[1] == pytest.approx(0.5)
    assert min(shares[:1] + shares[2:]) >= 0.9


def test_every_setting_builds_a_gan(conditional, monkeypatch):
    monkeypatch.setattr(conditional.sys, "argv", ["conditional.py", "--networks", "dcgan"])
    args = conditional.parse_arguments()
    assert args.epochs == conditional.SETTINGS["dcgan"].epochs
    assert conditional.make_gan(args).num_classes == 10
