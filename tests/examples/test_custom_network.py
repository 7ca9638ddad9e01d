"""examples/custom_network.py: two steps on embedded digits, and two more after --resume."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scripts import run_here

from jaxgan import checkpoint

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*options):
    return run_here(EXAMPLES / "custom_network.py", "--data-dir", "embedded", *options)


def test_two_steps_write_a_picture_and_resume(tmp_path, load_few):
    load_few(200)
    options = ("--batch-size", "100", "--workdir", str(tmp_path / "run"))
    done = run(*options, "--epochs", "1")
    assert done.returncode == 0, done.stderr
    assert "ship with jaxgan" in done.stderr
    with Image.open(tmp_path / "run" / "samples.png") as picture:
        assert picture.size == (448, 448)
        assert np.ptp(np.asarray(picture)) > 0
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [2]
    done = run(*options, "--epochs", "2", "--resume")
    assert done.returncode == 0, done.stderr
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [2, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--batch-size", "10001"), "from 1 to the number of images, 10000; got 10001"),
        (("--epochs", "0"), "--epochs must be at least 1; got 0"),
    ],
)
def test_bad_option_is_rejected_without_a_traceback(options, message, tmp_path):
    done = run(*options, "--workdir", str(tmp_path / "run"))
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
