"""examples/mixtures.py: its parts, and a run of two small epochs."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scripts import run_here

from jaxgan import evaluation

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def mixtures(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("mixtures")


@pytest.mark.parametrize(("mixture", "num"), [("ring", 8), ("grid", 25)])
def test_training_points_cover_all_modes(mixtures, mixture, num):
    means, sigma = mixtures.MIXTURES[mixture]
    found = evaluation.mixture_coverage(mixtures.draw_points(mixture, 20_000, seed=0), means, sigma)
    assert found.modes == len(means) == num
    assert found.high_quality == pytest.approx(0.989, abs=0.003)
    assert found.kl < 10 * found.kl_floor


def test_killed_and_resumed_run_writes_all_results(mixtures, tmp_path, monkeypatch):
    sizes = {"epochs": 2, "runs": 2, "points": 40, "batch-size": 4, "samples": 50}
    sizes |= {"generator-width": 4, "discriminator-width": 3}
    options = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    some = ["--mixtures", "ring", "--methods", "pacgan2", "--workdir", str(tmp_path / "run")]
    kills = iter([False, True])  # during the save of the second epoch
    save = mixtures.experiments.checkpoint.save
    with monkeypatch.context() as patch:
        killed = lambda *args, **named: 1 / 0 if next(kills) else save(*args, **named)
        patch.setattr(mixtures.experiments.checkpoint, "save", killed)
        with pytest.raises(ZeroDivisionError):
            run_here(EXAMPLES / "mixtures.py", *options, *some, "--save-every", "0")
    done = run_here(EXAMPLES / "mixtures.py", *options, *some, "--resume")
    assert done.returncode == 0, done.stderr
    assert "1/2" in done.stderr  # the bar starts after the first epoch
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ring")]
    assert [row.split(" | ")[1] for row in rows] == ["*perfect sampler*", "pacgan2"]
    assert rows[1].endswith("| 7.9 / 95.6% / 0.07 |")
    assert (tmp_path / "run" / "points.png").exists()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    for result in summary["results"]:
        assert [run["num_samples"] for run in result["runs"]] == [50, 50]
        assert all(0 <= run["modes"] <= 8 for run in result["runs"])
        assert result["skipped_steps"] == [0, 0]


def test_only_runs_of_high_quality_count_as_collapsed(mixtures):
    """Uniformly random points reach many modes, but are not of high quality."""
    means = mixtures.MIXTURES["grid"][0].astype(np.float32)
    uniform = np.random.default_rng(0).uniform(-5, 5, (2500, 2)).astype(np.float32)
    in_one_mode = np.tile(means[7], (2500, 1))
    runs = [uniform, in_one_mode, mixtures.draw_points("grid", 2500, seed=4), uniform * np.nan]
    found = [mixtures.count("grid", np.asarray(run)) for run in runs]
    assert [run.modes for run in found][1:] == [1, 25, 0]
    assert found[0].modes > 12
    cells = [cell.strip() for cell in mixtures.row("grid", "gan", found, 3).split("|")]
    assert cells[7:10] == ["2 of 4", "1 of 2", "3"]  # not converged, collapsed, skipped steps
    assert cells[5].endswith("(3 of 4 runs)")  # the mean KL is over runs with a KL


@pytest.mark.parametrize(
    "options",
    [("--learning-rate", "-1"), ("--gamma", "nan"), ("--generator-width", "0"), ("--runs", "0")],
)
def test_bad_options_are_rejected(mixtures, monkeypatch, capsys, options):
    monkeypatch.setattr(sys, "argv", ["mixtures.py", *options])
    with pytest.raises(SystemExit):
        mixtures.parse_arguments()
    assert options[0] in capsys.readouterr().err


def test_defaults_equal_the_paper(mixtures, monkeypatch):
    """PacGAN's appendix has 100,000 points, 400 epochs, Adam 1e-4, batch 100 and 10 runs."""
    monkeypatch.setattr(sys, "argv", ["mixtures.py"])
    args = mixtures.parse_arguments()
    assert (args.points, args.epochs, args.batch_size, args.runs) == (100_000, 400, 100, 10)
    assert (args.learning_rate, args.samples) == (1e-4, 2500)
    assert (args.generator_width, args.discriminator_width) == (400, 200)
    assert mixtures.make_gan("rpgan", args) is not None


def test_epoch_has_as_many_steps_as_without_packing(mixtures, monkeypatch):
    """A step trains on one batch of packs, so that an epoch uses each point twice with pairs."""
    options = "--points 16 --batch-size 4 --runs 2 --generator-width 4 --discriminator-width 3"
    monkeypatch.setattr(sys, "argv", ["mixtures.py", *options.split()])
    args = mixtures.parse_arguments()
    training = mixtures.make_training("ring", "pacgan2", mixtures.draw_points("ring", 16, 0), args)
    states, record = training.advance(training.init(), 0)
    assert states.step.tolist() == [4, 4]
    assert record == {"skipped": [0, 0]}
