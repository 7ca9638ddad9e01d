"""examples/mnist.py with two steps an epoch on the embedded digits."""

import functools
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import PYTHON, QUICKLY, USERS, assert_trees_equal
from PIL import Image
from scripts import run_here

import jaxgan
from jaxgan import checkpoint

EXAMPLES = Path(__file__).parents[2] / "examples"


def arguments(workdir, *options):
    fixed = ["--data-dir", "embedded", "--batch-size", "5000", "--workdir", str(workdir)]
    return [*fixed, *options]


def command(workdir, *options):
    return [*PYTHON, str(EXAMPLES / "mnist.py"), *arguments(workdir, *options)]


def run(workdir, *options, env=USERS):
    return subprocess.run(command(workdir, *options), capture_output=True, text=True, env=env)


def run_quickly(workdir, *options):
    return run_here(EXAMPLES / "mnist.py", *arguments(workdir, *options))


@pytest.fixture
def caching(tmp_path_factory):
    """Returns an environment with a compilation cache, as users have."""
    folder = str(tmp_path_factory.mktemp("cache"))
    return {**USERS, "JAX_ENABLE_COMPILATION_CACHE": "1", "XDG_CACHE_HOME": folder}


@pytest.fixture
def mnist(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("mnist")


def final_state(mnist, workdir):
    args = Namespace(
        networks="mlp", learning_rate=1e-3, beta1=0.5, loss="non_saturating", penalty="none"
    )
    gan = mnist.make_gan((28, 28, 1), args)
    like = jax.eval_shape(gan.init, jax.random.key(0), np.zeros((1, 28, 28, 1), np.float32))
    return checkpoint.restore(workdir / "checkpoints", like=like)


def untimed(workdir):
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in r.items() if not k.startswith("seconds") and k != "steps_per_second"}
        for r in records
    ]


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("two") / "run"
    done = run_quickly(workdir, "--epochs", "2")
    assert done.returncode == 0, done.stderr
    return workdir


def test_workdir_has_all_files(two_epochs):
    assert {path.name for path in two_epochs.iterdir()} == {
        ".lock",
        "checkpoints",
        "config.json",
        "curves.png",
        "frames",
        "metrics.jsonl",
        "samples.png",
        "summary.json",
        "training.gif",
        "traversal.png",
    }
    for name, size in {"samples.png": (448, 448), "traversal.png": (560, 560)}.items():
        with Image.open(two_epochs / name) as picture:
            assert picture.size == size
    with Image.open(two_epochs / "training.gif") as gif:
        assert gif.n_frames == 2
    assert checkpoint.steps(two_epochs / "checkpoints") == [2, 4]


def test_summary_and_metrics_describe_the_run(two_epochs):
    summary = json.loads((two_epochs / "summary.json").read_text())
    assert summary["source"] == "mnist: the 10,000 test digits that ship with jaxgan"
    assert (summary["num_images"], summary["epochs"], summary["steps"]) == (10_000, 2, 4)
    assert summary["steps_per_second"] == pytest.approx(4 / summary["seconds"])
    assert summary["compile_seconds"] > 0
    assert summary["device"] == jax.devices()[0].device_kind
    assert summary["versions"]["jaxgan"] == jaxgan.__version__
    records = untimed(two_epochs)
    assert [(r["epoch"], r["step"]) for r in records] == [(1, 2), (2, 4)]
    for record in records:
        assert 0 < record["fake_probability"] < 1
        assert 0 < record["real_probability"] < 1
        assert record["pixel_diversity"] >= 0
        assert record["generator_skipped"] == record["discriminator_skipped"] == 0
        assert {"generator_loss", "discriminator_loss"} <= set(record)


def check_resume(mnist, whole, workdir, run):
    """Compares a run that was resumed after one epoch of two with an uninterrupted run."""
    assert run(workdir, "--epochs", "1").returncode == 0
    # The resumed run must replace a line that was logged after the checkpoint.
    with (workdir / "metrics.jsonl").open("a") as log:
        log.write('{"epoch": 2, "lost": true}\n')
    resumed = run(workdir, "--epochs", "2", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert_trees_equal(final_state(mnist, workdir), final_state(mnist, whole))
    assert untimed(workdir) == untimed(whole)
    for name in ("samples.png", "traversal.png", "training.gif"):
        assert (workdir / name).read_bytes() == (whole / name).read_bytes()


def test_resumed_run_is_bit_identical(mnist, two_epochs, tmp_path):
    check_resume(mnist, two_epochs, tmp_path, run_quickly)


@pytest.mark.slow
def test_resume_in_a_new_process_is_bit_identical(mnist, tmp_path, caching):
    """The resumed run loads programs from the cache. The uninterrupted run compiles its own.

    In the default suite, tests/torture/test_torture.py resumes a killed run in new processes.
    """
    assert run(tmp_path / "whole", "--epochs", "2").returncode == 0
    resumable = functools.partial(run, env=caching)
    check_resume(mnist, tmp_path / "whole", tmp_path / "resumed", resumable)


def test_resume_rejects_other_options(two_epochs):
    rejected = run_quickly(two_epochs, "--epochs", "1")
    assert rejected.returncode == 1
    assert "must be empty or missing" in rejected.stderr
    rejected = run_quickly(two_epochs, "--epochs", "2", "--resume", "--seed", "3")
    assert rejected.returncode == 1
    solution = "Use the saved values. --overwrite replaces it; --workdir selects another folder."
    assert f"saved configuration; got seed 3, saved 0. {solution}\n" in rejected.stderr


@pytest.mark.parametrize(
    "signum", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_signal_ends_the_epoch_saves_and_prints_how_to_resume(mnist, tmp_path, signum):
    endless = command(tmp_path, "--epochs", "100000")
    with subprocess.Popen(endless, stderr=subprocess.PIPE, text=True, env=QUICKLY) as process:
        try:
            while not (tmp_path / "metrics.jsonl").exists() or not untimed(tmp_path):
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signum)
            _, errors = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 128 + signum
    assert f"{signum.name} received. The run stops after this epoch and saves it. " in errors
    assert "which is saved. To continue: python " in errors
    assert errors.rstrip().endswith("--resume")
    last = untimed(tmp_path)[-1]
    assert int(final_state(mnist, tmp_path).step) == last["step"] == 2 * last["epoch"]
    assert json.loads((tmp_path / "summary.json").read_text())["epochs"] == last["epoch"]


def test_signal_during_compilation_stops_before_training(mnist, tmp_path, monkeypatch):
    def interrupted(compile_program):
        os.kill(os.getpid(), signal.SIGTERM)
        return None, 0.0

    monkeypatch.setattr(mnist.common, "timed", interrupted)
    for options in ((), ("--resume",), ("--seed", "1")):
        done = run_quickly(tmp_path, *options)
        assert done.returncode == 128 + signal.SIGTERM
        *_, received, last = done.stderr.splitlines()
        assert "SIGTERM received. The run stops after compilation, before train" in received
        assert last.startswith("Stopped before epoch 1. To continue: python ")
        assert {path.name for path in tmp_path.iterdir()} == {".lock", "config.json"}


def test_signal_during_the_drawing_is_announced(mnist, tmp_path, monkeypatch):
    draw = mnist.common.draw_run

    def interrupted(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        draw(*args)

    before = signal.signal(signal.SIGTERM, lambda *_: None)  # instead of ending the process
    try:
        monkeypatch.setattr(mnist.common, "draw_run", interrupted)
        done = run_quickly(tmp_path, "--epochs", "1")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert done.returncode == 0  # the run is complete
    assert "SIGTERM received. " in done.stderr
    assert done.stderr.endswith(f"1 epochs done; results are in {tmp_path}\n")


def test_program_that_exceeds_the_memory_stops_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(jaxgan.compilation, "_limit_of", lambda devices: 1_000_000)
    done = run_quickly(tmp_path)
    assert done.returncode == 1
    *_, line = done.stderr.splitlines()
    assert line.startswith("The program's memory must be at most 0.001 GB; got ")
    assert "metrics.jsonl" not in {path.name for path in tmp_path.iterdir()}


@pytest.mark.slow
def test_signal_during_compilation_is_announced_at_once(tmp_path):
    slow = [*command(tmp_path, "--networks", "dcgan"), "--batch-size", "500"]
    with subprocess.Popen(slow, stderr=subprocess.PIPE, text=True, env=USERS) as process:
        try:
            while "Compiling" not in process.stderr.readline():
                assert process.poll() is None
            time.sleep(1)  # for the handlers
            process.send_signal(signal.SIGINT)
            assert process.stderr.readline() == "\n"
            assert "before training. Press Ctrl-C again" in process.stderr.readline()
            time.sleep(0.5)  # an earlier repetition does not count
            process.send_signal(signal.SIGINT)
            assert process.communicate() == (None, "")
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGINT
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "config.json"}


def test_diverged_run_names_options(tmp_path):
    done = run_quickly(tmp_path, "--learning-rate", "1e30")
    assert done.returncode == 1
    *_, line = done.stderr.splitlines()
    assert line.startswith("Stopped in epoch 1: the generator's loss or gradient was not finite")
    options = "a lower --learning-rate, or another --loss or --penalty"
    assert line.endswith(f"--resume would stop again. Train with --overwrite and {options}.")
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "config.json"}
    rejected = run_quickly(tmp_path, "--resume", "--learning-rate", "1e-4")
    assert "saved 1e+30. Use the saved values. --overwrite replaces it" in rejected.stderr


def test_exception_in_the_loop_keeps_the_saved_epoch(mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist.images, "grid", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_quickly(tmp_path, "--epochs", "3")
    assert int(final_state(mnist, tmp_path).step) == 2
    assert [record["epoch"] for record in untimed(tmp_path)] == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--epochs", "0"), "--epochs must be at least 1; got 0"),
        (("--batch-size", "0"), "--batch-size must be at least 1; got 0"),
        (("--batch-size", "10001"), "from 1 to the number of images, 10000; got 10001"),
        (("--learning-rate", "0"), "--learning-rate must be positive; got 0.0"),
        (("--beta1", "1"), "--beta1 must be in [0, 1); got 1.0"),
        (("--resume",), "must be the folder of a run"),
        (("--dataset", "kmnist"), "must be 'mnist'"),
    ],
)
def test_bad_option_creates_no_folder(mnist, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.setattr(sys, "argv", ["mnist.py", *arguments(tmp_path / "run", *options)])
    with pytest.raises(SystemExit) as stopped:
        mnist.main()
    assert stopped.value.code not in (0, None)
    assert message in f"{stopped.value.code} {capsys.readouterr().err}"
    assert not (tmp_path / "run").exists()  # a corrected command needs no --overwrite


def test_resume_without_log_and_frames(two_epochs, tmp_path):
    shutil.copytree(two_epochs, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "frames")
    (tmp_path / "metrics.jsonl").write_text("{oops")  # the checkpoint has all records
    done = run_quickly(tmp_path, "--epochs", "2", "--resume")
    assert done.returncode == 0, done.stderr
    lost = "2 of 2 frames, which are missing or corrupted: 00001.png, 00002.png."
    assert f"{tmp_path / 'training.gif'} lacks {lost}\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert untimed(tmp_path) == untimed(two_epochs)


def test_corrupted_frame_costs_only_that_frame(mnist, two_epochs, tmp_path, capsys):
    frames = sorted((two_epochs / "frames").iterdir())
    picture = frames[0].read_bytes()
    for name, content in (("empty.png", b""), ("half.png", picture[: len(picture) // 2])):
        (tmp_path / name).write_bytes(content)
        gif = tmp_path / "training.gif"
        mnist.common.animate(gif, [*frames, tmp_path / name])
        assert gif.read_bytes() == (two_epochs / "training.gif").read_bytes()
        line = f"{gif} lacks 1 of 3 frames, which are missing or corrupted: {name}.\n"
        assert capsys.readouterr().err == line


def test_loss_and_penalty_options(tmp_path):
    options = ("--epochs", "1", "--loss", "relativistic", "--penalty", "r1_r2")
    done = run_quickly(tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert untimed(tmp_path)[0]["penalty"] > 0
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["loss"], config["penalty"]) == ("relativistic", "r1_r2")


def test_too_many_skipped_steps_stop_the_run(mnist):
    fine = {"generator_skipped": np.array([1, 0] * 300), "discriminator_skipped": np.zeros(600)}
    check = functools.partial(mnist.common.check_epoch, Namespace(), number=3)
    check(fine)
    bad = {**fine, "discriminator_skipped": np.arange(600) >= 500}
    with pytest.raises(SystemExit, match=r"epoch 3: the discriminator's .* in 100 steps in a row"):
        check(bad)


def test_invalid_labels_stop_the_run(mnist):
    metrics = {"generator_skipped": np.zeros(3), "discriminator_skipped": np.zeros(3)}
    check = functools.partial(mnist.common.check_epoch, Namespace(), number=3)
    check({**metrics, "invalid_labels": np.zeros((1, 3), np.int32)})
    message = r"in \[0, num_classes\); got 5 invalid labels in epoch 3\."
    with pytest.raises(SystemExit, match=message):
        check({**metrics, "invalid_labels": np.array([[0, 2, 3]])})


@pytest.mark.slow
def test_ten_epochs_learn_digits_without_collapse(tmp_path):
    """Samples are as diverse as real digits, and the discriminator is not certain."""
    assert run(tmp_path, "--epochs", "10", "--batch-size", "100").returncode == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    last = summary["last_epoch"]
    assert last["pixel_diversity"] > 0.7 * summary["pixel_diversity_of_real_images"]
    assert 0.1 < last["fake_probability"] < last["real_probability"] < 0.9


@pytest.mark.parametrize("names", [["logit_gap"], ["real_probability", "fake_probability"]])
def test_curves_need_no_probabilities(mnist, names, tmp_path):
    """The metrics of losses without a boundary, such as `wasserstein`, have no probabilities."""
    names = ["generator_loss", "discriminator_loss", "pixel_diversity", "logit_gap", *names]
    mnist.common.draw_curves(tmp_path / "curves.png", [dict.fromkeys(names, 0.5)] * 2, 0.4)
    assert (tmp_path / "curves.png").exists()
