"""examples/mixtures.py: what it draws, and two small epochs of it, run as a user runs it."""

import functools
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxgan import evaluation

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def mixtures(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("mixtures")


@pytest.mark.parametrize(("mixture", "num"), [("ring", 8), ("grid", 25)])
def test_the_training_points_are_a_perfect_sampler(mixtures, mixture, num):
    means, sigma = mixtures.MIXTURES[mixture]
    found = evaluation.mixture_coverage(mixtures.draw_points(mixture, 20_000), means, sigma)
    assert found.modes == len(means) == num
    assert found.high_quality == pytest.approx(0.989, abs=0.003)
    assert found.kl < 10 * found.kl_floor


def test_a_method_in_small(tmp_path):
    sizes = {"epochs": 2, "runs": 2, "points": 40, "batch-size": 4, "samples": 50}
    sizes |= {"generator-width": 4, "discriminator-width": 3}
    options = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    script = [sys.executable, "-W", "error", str(EXAMPLES / "mixtures.py")]
    some = [
        "--mixtures",
        "ring",
        "--methods",
        "pacgan2",
        "--workdir",
        str(tmp_path / "run"),
    ]
    environment = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # it compiles, above all
    run = functools.partial(subprocess.run, capture_output=True, text=True, env=environment)
    done = run([*script, *options, *some])
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ring")]
    assert [row.split(" | ")[1] for row in rows] == ["pacgan2"]
    assert rows[0].endswith("| 7.9 / 95.6% / 0.07 |")
    assert (tmp_path / "run" / "points.png").exists()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    for result in summary["results"]:
        assert [run["num_samples"] for run in result["runs"]] == [50, 50]
        assert all(0 <= run["modes"] <= 8 for run in result["runs"])
        assert result["skipped_steps"] == [0, 0]
    refused = run([*script, *options, *some])
    assert refused.returncode == 1
    assert "is not empty" in refused.stderr


def test_an_epoch_shows_each_point_once_to_a_single_gan(mixtures):
    """Nothing is skipped or repeated: a stand-in GAN adds up what it is shown."""
    import jax
    import jax.numpy as jnp

    import jaxgan

    points = jnp.arange(12.0).reshape(6, 2)

    def update(state, batch):
        zero = jnp.zeros((), jnp.int32)
        skipped = {"generator_skipped": zero, "discriminator_skipped": zero}
        return state.replace(step=state.step + 1, params=state.params + batch.sum(axis=0)), skipped

    gan = jaxgan.GAN(init=None, update=update, sample=None)
    state = jaxgan.TrainState(
        step=jnp.zeros((), jnp.int32),
        key=jax.random.key(0),
        params=jnp.zeros(2),
        opt_state=(),
        model_state=(),
        ema_params=None,
        game_state=(),
    )
    epoch = mixtures.make_epoch(gan, 6, 2, packing=1)
    state, skipped = jax.jit(epoch)(state, points)
    np.testing.assert_array_equal(state.params, points.sum(axis=0))
    assert (int(state.step), int(skipped)) == (3, 0)
