"""examples/common.py: `train`, with which conditional, infogan and pix2pix train."""

import importlib
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from conftest import SHAPE, assert_trees_equal

from jaxgan import checkpoint

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def common(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("common")


@pytest.fixture
def train(common, gan, tmp_path):
    """Returns a function that trains for a number of epochs of two steps."""
    data = np.random.default_rng(0).integers(0, 256, (8, *SHAPE), np.uint8)
    draw = lambda state: np.full((1, 1, 1), state.step, np.uint8)

    def train(name, epochs, *, resume=False):
        args = Namespace(workdir=tmp_path / name, epochs=epochs, seed=0, batch_size=4)
        args.resume, args.overwrite = resume, False
        return common.train(args, gan, data, draw)

    return train


def test_resumed_training_equals_an_uninterrupted_one(train, tmp_path):
    train("resumed", 1)
    state, history = train("resumed", 2, resume=True)
    assert checkpoint.steps(tmp_path / "resumed" / "checkpoints") == [2, 4]
    expected_state, expected_history = train("whole", 2)
    assert_trees_equal(state, expected_state)
    for record in (*history, *expected_history):
        assert record.pop("seconds") > 0
    assert history == expected_history


def test_finished_run_is_drawn_again(train, tmp_path):
    """A run can stop between a save and its picture."""
    from PIL import Image

    train("run", 1)
    (tmp_path / "run" / "samples.png").unlink()
    train("run", 1, resume=True)
    with Image.open(tmp_path / "run" / "samples.png") as picture:
        assert np.asarray(picture).tolist() == [[2]]
