"""The example of a network of one's own, run as a user runs it: two steps, embedded digits."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import AS_EXAMPLE
from PIL import Image

SCRIPT = Path(__file__).parent.parent / "examples" / "custom_network.py"


def run(*options):
    command = [sys.executable, "-W", "error", str(SCRIPT), "--data-dir", "embedded", *options]
    return subprocess.run(command, capture_output=True, text=True, env=AS_EXAMPLE)


def test_two_steps_leave_a_picture(tmp_path):
    done = run("--epochs", "1", "--batch-size", "5000", "--workdir", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert "ship with jaxgan" in done.stderr
    with Image.open(tmp_path / "run" / "samples.png") as picture:
        assert picture.size == (448, 448)
        assert np.ptp(np.asarray(picture)) > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--batch-size", "10001"), "from 1 to the number of images, 10000; got 10001"),
        (("--epochs", "0"), "--epochs must be at least 1; got 0"),
    ],
)
def test_bad_options_are_told_in_a_line(options, said, tmp_path):
    done = run(*options, "--workdir", str(tmp_path / "run"))
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
