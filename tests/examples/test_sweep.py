"""examples/sweep.py with four members and two steps an epoch on the embedded digits."""

import importlib
import json
from pathlib import Path

import jax
import numpy as np
import optax
from PIL import Image
from scripts import run_here

import jaxgan
from jaxgan import checkpoint, population

EXAMPLES = Path(__file__).parents[2] / "examples"
RATES = ["1e-3", "1e-2"]


def run(*options):
    return run_here(EXAMPLES / "sweep.py", "--data-dir", "embedded", *options)


def test_small_sweep_writes_all_results(tmp_path, monkeypatch, load_few):
    load_few(1000)
    workdir = tmp_path / "run"
    options = ["--batch-size", "500", "--epochs", "2", "--seeds", "2"]
    done = run(*options, "--learning-rates", *RATES, "--workdir", str(workdir))
    assert done.returncode == 0, done.stderr
    check_table_and_files(workdir, done.stdout)
    check_a_member_equals_a_single_run(workdir, monkeypatch)


def check_table_and_files(workdir, printed):
    header, _, *rows = printed.strip().splitlines()
    assert [row.split(" | ")[0].strip("| ") for row in rows] == ["0.001", "0.01"]
    assert all(row.count("|") == header.count("|") for row in rows)
    assert {path.name for path in workdir.iterdir()} == {
        ".lock",
        "checkpoints",
        "config.json",
        "results.jsonl",
        "samples.png",
        "summary.json",
        "sweep.png",
    }
    with Image.open(workdir / "samples.png") as picture:
        assert picture.size == (16 * 28, 4 * 28)
    history = json.loads((workdir / "summary.json").read_text())["history"]
    losses = np.array(history["generator_loss"])
    assert losses.shape == (4, 2)
    median = np.median(np.float32(losses[2:, -1]))  # as the script computes it
    assert f"| 0.01 | {median:.3g} " in rows[1]


def check_a_member_equals_a_single_run(workdir, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    sweep = importlib.import_module("sweep")
    data = jaxgan.datasets.load("mnist", "train", "embedded")
    gan = sweep.make_gan((28, 28, 1), beta1=0.5)
    batch = jaxgan.images.normalize(data.images[:1])
    rates = [float(rate) for rate in RATES]
    like = jax.eval_shape(lambda: sweep.make_population(gan, batch, rates, [0, 1]))
    states = checkpoint.restore(workdir / "checkpoints", like=like)
    member = population.pick(states, 1)
    rate = population.hyperparameters(member)["generator"]["learning_rate"]
    np.testing.assert_allclose(rate, 1e-3, rtol=1e-6)

    adam = optax.adam(1e-3, b1=0.5)
    alone = jaxgan.gan(
        jaxgan.networks.MLPGenerator(),
        jaxgan.networks.MLPDiscriminator(),
        jaxgan.losses.non_saturating(real_label=0.9),
        jaxgan.Pair(adam, adam),
        latents=100,
    )
    state = jax.jit(alone.init)(jax.random.key(1), batch)
    train = lambda s: jaxgan.training.epochs(alone, s, data.images, num_epochs=2, batch_size=500)
    state, _ = jax.jit(train)(state)
    # Adam makes full steps even for tiny gradients, so single weights may differ. The mean
    # difference is 6e-4 for a wrong beta1, and below 1e-5 for other rounding.
    assert distance(member.params, state.params) < 1e-4
    assert distance(population.pick(states, 0).params, state.params) > 1e-2  # another seed


def distance(a, b) -> float:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return max(float(np.abs(x - y).mean()) for x, y in pairs if x.ndim > 1)


def test_population_that_exceeds_the_memory_is_rejected_before_training(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    program = jax.jit(lambda: jax.numpy.zeros(3)).lower().compile()
    monkeypatch.setattr(importlib.import_module("common"), "timed", lambda _: (program, 0.0))
    monkeypatch.setattr(jaxgan.compilation, "_limit_of", lambda devices: 11)
    done = run("--batch-size", "5000", "--seeds", "1", "--workdir", str(tmp_path))
    assert done.returncode == 1
    assert "The program's memory must be at most" in done.stderr.splitlines()[-1]


def test_bad_option_is_rejected_without_a_traceback(tmp_path):
    for options, message in (
        (("--seeds", "0"), "--seeds must be at least 1; got 0"),
        (("--learning-rates", "0"), "--learning-rates must be positive"),
    ):
        fixed = ("--batch-size", "5000", "--seeds", "1")
        done = run("--workdir", str(tmp_path / "new"), *fixed, *options)
        assert done.returncode != 0
        assert message in done.stderr
        assert "Traceback" not in done.stderr
