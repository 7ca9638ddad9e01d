"""Runs examples/mnist.py in two processes."""

import json
import os
import signal
import subprocess
import sys
import time

import clusters
import pytest
from test_mnist import EXAMPLES, arguments, run, untimed

from jaxgan import checkpoint
from jaxgan._internal import launch

pytestmark = pytest.mark.slow
LAUNCH = f"""
import runpy, sys
sys.exit(runpy.run_path({launch.__file__!r})["launch"](2, sys.argv[1:]))
"""
PROGRAM = """
import os, runpy, sys, jaxgan
number, load = int(os.environ["JAX_PROCESS_ID"]), jaxgan.datasets.load

def load_changed(*args):
    data = load(*args)
    images = data.images.copy()
    images[-1, 0, 0] = number
    return jaxgan.datasets.Dataset(images, data.labels, data.source)

if "{differing}" == "seed":
    sys.argv += ["--seed", f"{{number}}"]
if "{differing}" == "data":
    jaxgan.datasets.load = load_changed
sys.path.insert(0, os.path.dirname("{script}"))
runpy.run_path("{script}", run_name="__main__")
"""


def train(workdir, *options):
    done = clusters.run(EXAMPLES / "mnist.py", *arguments(workdir, *options))
    codes = [process.returncode for process in done]
    return codes, [process.output for process in done]


def train_alone(workdir, *options):
    """Trains in one process, with as many devices as two processes have."""
    done = run(workdir, *options, env=clusters.environments(1, devices=2)[0])
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("one") / "run"
    train_alone(workdir, "--epochs", "2", "--mesh")
    return workdir


def test_two_processes_write_one_run(tmp_path, one_process):
    codes, outputs = train(tmp_path / "two", "--epochs", "2", "--mesh")
    assert codes == [0, 0], outputs
    assert "2 epochs done" in outputs[0]
    assert "epoch" not in outputs[1]  # process 0 alone prints
    names = [{path.name for path in folder.iterdir()} for folder in (one_process, tmp_path / "two")]
    assert names[0] == names[1]
    assert untimed(tmp_path / "two") == untimed(one_process)


def test_run_of_two_processes_continues_in_one_with_the_same_bits(tmp_path, one_process):
    codes, outputs = train(tmp_path, "--epochs", "1", "--mesh")
    assert codes == [0, 0], outputs
    train_alone(tmp_path, "--epochs", "2", "--mesh", "--resume")
    assert untimed(tmp_path) == untimed(one_process)


def test_processes_without_a_mesh_are_refused(tmp_path):
    codes, outputs = train(tmp_path / "run")
    assert codes == [1, 1]
    assert all("--mesh must be given to 2 processes" in output for output in outputs), outputs
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("differing", "expected"),
    [
        ("seed", "config must be the same in all processes; got seed 1 in process 1, 0 in process"),
        ("data", "config must be the same in all processes; got images_sha256 "),
    ],
)
def test_different_options_or_data_are_refused(tmp_path, differing, expected):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(script=EXAMPLES / "mnist.py", differing=differing))
    start = time.monotonic()
    done = clusters.run(program, *arguments(tmp_path / "run", "--mesh"))
    assert time.monotonic() < start + 30
    assert [process.returncode for process in done] == [1, 1]
    for process in done:
        assert expected in process.output
    assert not (tmp_path / "run").exists()


def test_signal_to_the_launcher_stops_and_saves_the_run(tmp_path):
    workdir = tmp_path / "run"
    script = [str(EXAMPLES / "mnist.py"), *arguments(workdir, "--epochs", "1000", "--mesh")]
    env = {**os.environ, **clusters.environments(1)[0]}
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, *script], env=env, stderr=subprocess.PIPE, text=True
    )
    try:
        log = workdir / "metrics.jsonl"
        deadline = time.monotonic() + 60
        while not log.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        launcher.send_signal(signal.SIGTERM)
        _, printed = launcher.communicate(timeout=60)
    finally:
        launcher.kill()
    assert launcher.returncode == 143, printed
    epochs = len(log.read_text().splitlines())
    step = checkpoint.latest(workdir / "checkpoints")
    assert json.loads(log.read_text().splitlines()[-1])["step"] == step
    assert f"Stopped after epoch {epochs}, which is saved." in printed
