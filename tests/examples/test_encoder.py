"""examples/encoder.py: two steps on embedded digits write pictures and errors."""

import json
from pathlib import Path

from PIL import Image
from scripts import run_here

SCRIPT = Path(__file__).parents[2] / "examples" / "encoder.py"


def test_two_steps_write_pictures_and_errors(tmp_path, load_few):
    load_few(60)
    options = ("--epochs", "1", "--batch-size", "10", "--held-out", "40")
    done = run_here(SCRIPT, *options, "--workdir", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    sizes = {"samples.png": (448, 448), "reconstructions.png": (560, 448)}
    for name, size in sizes.items():
        with Image.open(tmp_path / "run" / name) as picture:
            assert picture.size == size
    errors = json.loads((tmp_path / "run" / "errors.json").read_text())
    assert 0 < errors["mean_image"] < 0.5 < errors["reconstructions"]
