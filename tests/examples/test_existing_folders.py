"""All examples treat an existing folder the same way (runs of two steps)."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest
from scripts import run_here

EXAMPLES = Path(__file__).parents[2] / "examples"
DIGITS = "--data-dir embedded"
ONE_EPOCH = "--epochs 1 --batch-size 100"
OPTIONS = {  # two steps of each
    "minimal": ONE_EPOCH,
    "from_scratch": f"{DIGITS} {ONE_EPOCH}",
    "mnist": f"{DIGITS} {ONE_EPOCH}",
    "custom_network": f"{DIGITS} {ONE_EPOCH}",
    "conditional": f"{DIGITS} {ONE_EPOCH} --samples 2",
    "infogan": f"{DIGITS} {ONE_EPOCH} --samples 2",
    "pix2pix": f"{DIGITS} {ONE_EPOCH} --features 2",
    "sweep": f"{DIGITS} {ONE_EPOCH} --seeds 1 --learning-rates 1e-3",
    "mixtures": "--epochs 1 --runs 1 --points 40 --batch-size 10 --samples 50 --mixtures ring "
    "--methods gan --generator-width 4 --discriminator-width 3",
    "compare_losses": f"{DIGITS} {ONE_EPOCH} --networks mlp --losses ns --runs 1 --samples 1000",
    "stacked_mnist": f"{DIGITS} --setting unrolled-quarter --methods dcgan --steps 2 --runs 1 "
    "--triples 64 --batch-size 8 --samples 40",
}


@pytest.fixture(autouse=True)
def few_digits(request, load_few):
    """Limits the digits to two batches. compare_losses needs more digits than samples."""
    load_few(2500 if "compare_losses" in request.node.name else 200)


def run(name, *options):
    return run_here(EXAMPLES / f"{name}.py", *OPTIONS.get(name, DIGITS).split(), *options)


@pytest.fixture
def options_of(monkeypatch, capsys):
    """Returns a function that lists the options in the help of a script."""

    def options(name):
        monkeypatch.syspath_prepend(EXAMPLES)
        monkeypatch.setattr(sys, "argv", [name, "--help"])
        with pytest.raises(SystemExit):
            importlib.import_module(name).main()
        return set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))

    return options


def check_rejection(done, options):
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    *_, line = done.stderr.splitlines()
    ways = {"--resume", "--overwrite", "--workdir", "--output"}
    assert set(re.findall(r"--[a-z-]+", line)) == options & ways


def make_run(workdir, file):
    """Makes a finished run without `runs.begin`, which locks the folder in this process."""
    (workdir / "config.json").write_text('{"of": "another run"}')
    for name in (".lock", file):
        (workdir / name).touch()
    return workdir


# The default suite runs three scripts. All scripts open folders with the same function.
FIRST = ("minimal", "from_scratch", "mnist")
EVERY = [name if name in FIRST else pytest.param(name, marks=pytest.mark.slow) for name in OPTIONS]


@pytest.mark.parametrize("name", EVERY)
def test_existing_run_is_replaced_only_with_overwrite(name, tmp_path, options_of):
    workdir = make_run(tmp_path, "old.png")
    rejected = run(name, "--workdir", str(workdir))
    check_rejection(rejected, options_of(name))
    holding = f"{workdir}, which holds config.json, old.png."
    assert f"workdir must be empty or missing; got {holding}" in rejected.stderr
    assert {path.name for path in workdir.iterdir()} == {".lock", "config.json", "old.png"}

    done = run(name, "--workdir", str(workdir), "--overwrite")
    assert done.returncode == 0, done.stderr
    assert "of" not in json.loads((workdir / "config.json").read_text())
    assert not (workdir / "old.png").exists()
    assert next(workdir.glob("*.png")).stat().st_size > 0


@pytest.mark.parametrize("name", ["minimal", "mixtures"])
def test_overwrite_keeps_other_files(name, tmp_path):
    workdir = make_run(tmp_path, "notes.txt")
    rejected = run(name, "--workdir", str(workdir), "--overwrite")
    check_rejection(rejected, {"--workdir"})
    assert "which holds notes.txt. Move or delete them." in rejected.stderr
    assert (workdir / "notes.txt").exists()


def test_file_in_place_of_the_folder_is_kept(tmp_path):
    (tmp_path / "file").touch()
    rejected = run("mnist", "--workdir", str(tmp_path / "file"))
    check_rejection(rejected, {"--workdir"})


def test_run_without_configuration_does_not_resume(tmp_path):
    make_run(tmp_path, "old.png")
    (tmp_path / "config.json").unlink()
    rejected = run("mnist", "--workdir", str(tmp_path), "--resume")
    assert "which has no config.json. Restore it from a backup.\n" in rejected.stderr


@pytest.mark.parametrize("name", ["mnist", "custom_network"])
def test_resume_and_overwrite_exclude_each_other(name, tmp_path):
    rejected = run(name, "--workdir", str(tmp_path), "--resume", "--overwrite")
    assert rejected.returncode == 2
    assert "not allowed with argument" in rejected.stderr


def test_existing_output_file_is_kept(tmp_path, options_of):
    output = tmp_path / "classifier.npz"
    output.write_bytes(b"old")
    check_rejection(
        run("train_classifier", "--output", str(output)), options_of("train_classifier")
    )
    assert output.read_bytes() == b"old"
