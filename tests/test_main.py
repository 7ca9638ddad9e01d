"""Tests the tables of networks that `python -m jaxgan` prints."""

import os
import subprocess
import sys

import pytest
from scripts import run_here


def run(*arguments):
    return run_here("jaxgan", *arguments)


def test_all_networks_are_listed_without_a_name():
    done = run()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 16
    assert "MLPGenerator           (100,)            130,576 parameters" in lines
    assert "SNGANDiscriminator     (32, 32, 3)     1,053,824 parameters" in lines


def test_network_is_shown_layer_by_layer():
    done = run("DCGANGenerator", "features=16", "image_shape=(14, 14, 1)", "--latent-dim", "7")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout  # no color codes without a terminal
    for message in ("float32[1,7]", "UpConv_0", "float32[1,14,14,1]", "[5,5,16,1]"):
        assert message in done.stdout
    labeled = run("SNGANDiscriminator", "features=4", "num_classes=3", "--images", "8", "8", "1")
    assert "int32[1]" in labeled.stdout
    assert "[4,3]" in labeled.stdout


def test_table_is_shown_on_an_ascii_terminal():
    command = [sys.executable, "-m", "jaxgan", "MLPGenerator"]
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert "float32[1,100]" in done.stdout


def test_closed_pipe_ends_without_a_traceback():
    command = [sys.executable, "-m", "jaxgan"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (1, b"")


@pytest.mark.skipif(os.name == "nt", reason="needs the devices of POSIX")
@pytest.mark.parametrize(
    "redirect", [">/dev/full", pytest.param(">&-", marks=pytest.mark.slow)], ids=["full", "closed"]
)
def test_failing_stdout_gives_a_one_line_error(redirect):
    command = ["bash", "-c", f"exec {sys.executable} -m jaxgan {redirect}"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("The table could not be written: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["StyleGAN"], "invalid choice: 'StyleGAN'"),
        (["MLPGenerator", "features"], "must be name=value with a Python literal; got 'features'"),
        (["MLPGenerator", "depth=3"], "unexpected keyword argument 'depth'"),
        (["InfoGANGenerator", "image_shape=(30, 30, 1)"], "image_shape must be multiples of 4"),
    ],
)
def test_invalid_arguments_give_one_line_errors(arguments, message):
    done = run(*arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
