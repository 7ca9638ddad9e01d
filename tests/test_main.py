"""`python -m jaxgan`: tables of networks."""

import os
import subprocess
import sys

import pytest
from scripts import run_here


def run(*arguments):
    return run_here("jaxgan", *arguments)


def test_without_a_name_it_lists_all_networks():
    done = run()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 14
    assert "MLPGenerator           (100,)            130,576 parameters" in lines
    assert "SNGANDiscriminator     (32, 32, 3)     1,053,825 parameters" in lines


def test_a_network_is_shown_layer_by_layer():
    done = run("DCGANGenerator", "features=16", "image_shape=(14, 14, 1)", "--latent-dim", "7")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout  # no colours where nobody looks
    for said in ("float32[1,7]", "UpConv_0", "float32[1,14,14,1]", "[5,5,16,1]"):
        assert said in done.stdout
    labelled = run("SNGANDiscriminator", "features=4", "num_classes=3", "--images", "8", "8", "1")
    assert "int32[1]" in labelled.stdout
    assert "[4,3]" in labelled.stdout


def test_a_terminal_without_unicode_shows_the_table_too():
    command = [sys.executable, "-m", "jaxgan", "MLPGenerator"]
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert "float32[1,100]" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["StyleGAN"], "invalid choice: 'StyleGAN'"),
        (["MLPGenerator", "features"], "'features' is not name=value with a Python literal"),
        (["MLPGenerator", "depth=3"], "unexpected keyword argument 'depth'"),
        (["InfoGANGenerator", "image_shape=(30, 30, 1)"], "image_shape must be multiples of 4"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(arguments, said):
    done = run(*arguments)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
