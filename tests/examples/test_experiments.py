"""examples/experiments.py and merging.py, with trainings of two small arrays."""

import argparse
import importlib
import json
import math
import os
import shutil
import signal
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import assert_trees_equal
from scripts import run_here

import jaxgan
from jaxgan import checkpoint
from jaxgan.checkpoint import _storage as storage

EXAMPLES = Path(__file__).parents[2] / "examples"
SPLIT = {"methods": "method"}
EPOCHS = 2

# Two trainings of two epochs or one chunk of each script, and the two parts of an experiment.
SCRIPTS = {
    "mixtures": (
        "--epochs 2 --runs 2 --points 40 --batch-size 10 --samples 50 --mixtures ring "
        "--generator-width 4 --discriminator-width 3",
        "--methods",
        ["gan", "rpgan"],
    ),
    "stacked_mnist": (
        "--setting unrolled-quarter --steps 2 --runs 2 --triples 64 --batch-size 8 --samples 40 "
        "--data-dir embedded",
        "--methods",
        ["dcgan", "pacdcgan2"],
    ),
    "compare_losses": (
        "--networks mlp --epochs 2 --runs 2 --batch-size 800 --samples 1000 --data-dir embedded",
        "--losses",
        ["wgan", "ns"],
    ),
    "sweep": (
        "--epochs 2 --seeds 2 --batch-size 500 --data-dir embedded",
        "--learning-rates",
        ["0.001", "0.01"],
    ),
}


class Killed(BaseException):
    """Ends a script like a kill: the script does not handle this exception."""


@pytest.fixture(scope="module")
def modules():
    names = ("common", "experiments", "merging")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield argparse.Namespace(**{name: importlib.import_module(name) for name in names})


@pytest.fixture(scope="module")
def whole(modules, tmp_path_factory):
    """Returns the folder of an uninterrupted experiment."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    run(modules, workdir)
    return workdir


def make_args(workdir, **changes):
    options = {"methods": ["a", "b"], "runs": 2, "first_seed": 0, "epochs": EPOCHS, "gamma": 0.5}
    handling = {"workdir": workdir, "resume": False, "overwrite": False}
    handling |= {"save_every": 0.0, "merge": None}
    return argparse.Namespace(**{**options, **handling, **changes})


def make_training(modules, method, args, events):
    """Makes a training whose members do not depend on each other. Calls `events` at its steps."""
    seeds = modules.experiments.seeds(args, args.runs)

    def init():
        events(f"init {method}")
        keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
        first = jnp.asarray(seeds, jnp.float32) + ord(method)
        return jaxgan.TrainState(
            step=jnp.zeros(len(seeds), jnp.int32),
            key=keys,
            params=jaxgan.Pair({"w": first}, {"w": -first}),
            opt_state=jaxgan.Pair((), ()),
            model_state=jaxgan.Pair({}, {}),
        )

    def advance(state, done):
        events(f"advance {method} {done}")
        params = jax.tree.map(lambda x: np.cos(np.asarray(x)) * np.float32(done + 1), state.params)
        return state.replace(step=state.step + 1, params=params), {"skipped": [done] * len(seeds)}

    def finish(state, history):
        events(f"finish {method}")
        scores = np.asarray(state.params.generator["w"]).tolist()
        result = {"method": method, "seeds": seeds, "scores": scores, "kl": [math.inf] * len(seeds)}
        result |= {"skipped_steps": modules.experiments.skipped(history)}
        result |= {"seconds": sum(record["seconds"] for record in history)}
        result |= {"perfect": {"score": 1.5}}
        return [{"result": result, "shown": scores[:1], "shared": {"source": "none"}}]

    return modules.experiments.Training(method, args.epochs, init, advance, finish)


def run(modules, workdir, events=lambda event: None, **changes):
    args = make_args(workdir, **changes)
    modules.common.begin(args, modules.common.chosen(args))
    trainings = [make_training(modules, method, args, events) for method in args.methods]
    return modules.experiments.compute(args, workdir, trainings)


def merge(modules, workdir, *folders, **changes):
    args = make_args(workdir, merge=list(folders), **changes)
    return modules.merging.merge(args, SPLIT)


def untimed(rows):
    """Returns rows without times. repr, unlike ==, compares NaN."""
    timed, without = ("seconds", "compile_seconds"), []
    for row in rows:
        parts = {name: row[name] for name in ("result", "shared")}
        parts = {name: {**part, **dict.fromkeys(timed, 0)} for name, part in parts.items()}
        without.append({**row, **parts})
    return repr(without)


def final_state(workdir, method, like):
    return checkpoint.restore(workdir / "checkpoints" / method, like=like)


def check_same_results(modules, workdir, whole):
    assert untimed(modules.experiments.read(workdir)) == untimed(modules.experiments.read(whole))
    args = make_args(workdir)
    for method in args.methods:
        like = make_training(modules, method, args, lambda event: None).init()
        found, expected = (final_state(place, method, like) for place in (workdir, whole))
        assert_trees_equal(found, expected)
        assert checkpoint.steps(workdir / "checkpoints" / method) == [EPOCHS]
    summaries = [json.loads((place / "summary.json").read_text()) for place in (workdir, whole)]
    for summary in summaries:
        del summary["command"]
        assert all(result.pop("seconds") >= 0 for result in summary["results"])
    assert summaries[0] == summaries[1]
    assert not list(workdir.rglob("*.saving"))


def fails(error, modules, workdir, events=lambda event: None, **changes):
    """Runs an experiment that raises an error, and returns the error."""
    with pytest.raises(error) as raised:
        run(modules, workdir, events, **changes)
    return raised.value


def kill_at(chosen):
    def events(event):
        if event == chosen:
            raise Killed

    return events


@pytest.mark.parametrize("event", ["init a", "advance a 1", "init b", "finish b"])
def test_killed_experiment_resumes_bit_identically(modules, whole, tmp_path, event):
    fails(Killed, modules, tmp_path / "killed", kill_at(event))
    computed = []
    rows = run(modules, tmp_path / "killed", computed.append, resume=True)
    check_same_results(modules, tmp_path / "killed", whole)
    assert untimed(rows) == untimed(modules.experiments.read(whole))
    if event == "init b":  # computes only what is missing
        assert computed == ["init b", "advance b 0", "advance b 1", "finish b"]


def test_kill_during_a_save_keeps_the_epoch_before(modules, whole, tmp_path, monkeypatch):
    write, num = storage.manifest.write, []

    def interrupted(*args):
        num.append(1)
        if len(num) == 2:
            raise Killed
        write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(storage.manifest, "write", interrupted)
        fails(Killed, modules, tmp_path / "killed")
    folder = tmp_path / "killed" / "checkpoints" / "a"
    assert checkpoint.steps(folder) == [1]
    assert list(folder.glob("2.*.saving"))
    run(modules, tmp_path / "killed", resume=True)
    check_same_results(modules, tmp_path / "killed", whole)


def test_kill_during_the_write_of_results_repeats_the_scores(modules, whole, tmp_path, monkeypatch):

    def interrupted(path, records):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(modules.experiments.runs, "write_log", interrupted)
        fails(Killed, modules, tmp_path / "killed")
    computed = []
    run(modules, tmp_path / "killed", computed.append, resume=True)
    assert computed[:3] == ["init a", "finish a", "init b"]  # "init a" is abstract
    check_same_results(modules, tmp_path / "killed", whole)


@pytest.mark.parametrize("event", ["advance a 0", "finish a"])
def test_signal_saves_and_prints_how_to_continue(
    modules, whole, tmp_path, monkeypatch, capsys, event
):
    monkeypatch.setattr(sys, "argv", ["script.py", "--runs", "2", "--overwrite"])
    stop = lambda now: os.kill(os.getpid(), signal.SIGTERM) if now == event else None
    stopped = fails(SystemExit, modules, tmp_path / "stopped", stop, save_every=1e9)
    assert stopped.code == 128 + signal.SIGTERM
    *_, last = capsys.readouterr().err.strip().splitlines()
    when = {"advance a 0": "after epoch 1 of a", "finish a": "before b"}[event]
    command = "python script.py --runs 2 --resume"
    assert last == f"Stopped {when}. All results are saved. To continue: {command}"
    assert checkpoint.steps(tmp_path / "stopped" / "checkpoints" / "a") == [
        {"advance a 0": 1, "finish a": 2}[event]
    ]
    run(modules, tmp_path / "stopped", resume=True)
    check_same_results(modules, tmp_path / "stopped", whole)


def test_more_epochs_continue_finished_trainings(modules, whole, tmp_path):
    run(modules, tmp_path, epochs=1)
    computed = []
    run(modules, tmp_path, computed.append, resume=True)
    assert computed[:4] == ["init a", "advance a 1", "finish a", "init b"]
    check_same_results(modules, tmp_path, whole)


def test_finished_trainings_need_no_checkpoints(modules, tmp_path):
    rows = run(modules, tmp_path, methods=["a"])
    shutil.rmtree(tmp_path / "checkpoints")
    computed = []
    assert run(modules, tmp_path, computed.append, methods=["a"], resume=True) == rows
    assert not computed


def test_overwrite_replaces_an_experiment(modules, tmp_path):
    run(modules, tmp_path, methods=["b"])
    computed = []
    run(modules, tmp_path, computed.append, methods=["a"], overwrite=True)
    assert computed == ["init a", "advance a 0", "advance a 1", "finish a"]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["a"]


def test_corrupted_results_are_reported(modules, tmp_path):
    run(modules, tmp_path, methods=["a"])
    log = tmp_path / "results.jsonl"
    expected = modules.experiments.read(tmp_path)
    log.write_text("{oops")
    error = fails(SystemExit, modules, tmp_path, methods=["a"], resume=True)
    assert str(error).startswith(f"{log} must be lines of JSON; got")
    assert str(error).endswith("Delete it; --resume computes it again from the checkpoints.")
    log.unlink()
    assert untimed(run(modules, tmp_path, methods=["a"], resume=True)) == untimed(expected)


def test_unwritten_results_fail_at_the_end(modules, whole, tmp_path, monkeypatch, capsys):
    def fail(path, records):
        raise OSError("No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(modules.experiments.runs, "write_log", fail)
        error = fails(SystemExit, modules, tmp_path / "run")
    assert str(error) == (
        "The last results are NOT SAVED. Free disk space, then continue with --resume."
    )
    assert "NOT SAVED: No space left on device" in capsys.readouterr().err
    run(modules, tmp_path / "run", resume=True)
    check_same_results(modules, tmp_path / "run", whole)


@pytest.fixture
def apart(modules, tmp_path):
    """Returns a function that computes an experiment in a folder of the given name."""
    return lambda name, **changes: run(modules, tmp_path / name, save_every=1e9, **changes)


@pytest.mark.parametrize(
    "parts",
    [
        {"a": {"methods": ["a"]}, "b": {"methods": ["b"]}},
        {"late": {"runs": 1, "first_seed": 1}, "early": {"runs": 1}},
        {
            "a": {"methods": ["a"]},
            "b1": {"methods": ["b"], "runs": 1, "first_seed": 1},
            "b0": {"methods": ["b"], "runs": 1},
        },
    ],
)
def test_merged_experiments_equal_the_joint_one(modules, tmp_path, apart, parts):
    for name, options in parts.items():
        apart(name, **options)
    joint = apart("joint")
    args, workdir, rows = merge(modules, tmp_path / "m", *(tmp_path / name for name in parts))
    assert (args.methods, args.runs, args.first_seed) == (["a", "b"], 2, 0)
    firsts = [{**row, "shown": row["shown"][:1]} for row in rows]
    assert untimed(firsts) == untimed(joint)
    config = lambda folder: json.loads((folder / "config.json").read_text())
    assert config(workdir) == config(tmp_path / "joint")
    assert untimed(modules.experiments.read(workdir)) == untimed(rows)
    total = sum(row["result"]["seconds"] for row in rows)
    found = [row for name in parts for row in modules.experiments.read(tmp_path / name)]
    assert total == pytest.approx(sum(row["result"]["seconds"] for row in found))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([{}, {"methods": ["b"], "first_seed": 1}], "without common results; got seed 1 of b in"),
        ([{"methods": ["a"]}, {"methods": ["b"], "gamma": 0.25}], "same options; got gamma 0.5 in"),
        ([{"methods": ["a"]}, {"methods": ["b"], "epochs": 1}], "same options; got epochs 2 in"),
        (
            [{"methods": ["a"]}, {"methods": ["b"], "runs": 1}],
            r"seeds \[0\] of b, and \[0, 1\]",
        ),
        (
            [{"methods": ["a"]}, {"methods": ["a"], "first_seed": 5}],
            r"got seeds \[0, 1, 5, 6\] of a\.$",
        ),
    ],
)
def test_merge_rejects_parts_of_no_experiment(modules, tmp_path, apart, parts, message):
    for i, options in enumerate(parts):
        apart(str(i), **options)
    with pytest.raises(SystemExit, match=message) as stopped:
        merge(modules, tmp_path / "m", *(tmp_path / str(i) for i in range(len(parts))))
    assert str(stopped.value).startswith("--merge must be folders with")
    assert not (tmp_path / "m").exists()


def test_merge_rejects_other_folders(modules, tmp_path, apart):
    fails(Killed, modules, tmp_path / "killed", kill_at("init b"))
    whole, killed, other = (tmp_path / name for name in ("whole", "killed", "other"))
    apart("whole", methods=["b"])
    other.mkdir()
    for folders, message in (
        ([whole, killed], f"finished experiments; got {killed}, which lacks b. Finish it with"),
        ([whole, other], f"folders of experiments; got {other}."),
        ([whole, whole], f"different folders; got {whole} twice."),
        ([whole, tmp_path / "m"], f"different folders; got {tmp_path / 'm'} twice."),
    ):
        with pytest.raises(SystemExit) as stopped:
            merge(modules, tmp_path / "m", *folders, overwrite=True)
        assert message in str(stopped.value)
    (other / "config.json").write_text('{"seed": 0}')
    with pytest.raises(SystemExit, match=r"folders of this script; got .* has no epochs"):
        merge(modules, tmp_path / "m", other)
    (other / "config.json").write_text("{oops")
    with pytest.raises(SystemExit, match=r"config.json must be in JSON"):
        merge(modules, tmp_path / "m", other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--merge", "x", "--epochs", "3", "--resume"), "got --epochs, --resume"),
        (("--first-seed", "-1"), "--first-seed must be at least 0 and below 2**30; got -1"),
        (("--first-seed", "2147483647"), "below 2**30; got 2147483647"),
        (("--save-every", "nan"), "--save-every must be at least 0; got nan"),
    ],
)
def test_bad_options_are_rejected(modules, monkeypatch, capsys, options, message):
    def parse(*options):
        parser = modules.common.make_parser("Makes an experiment.")
        parser.add_argument("--epochs", type=int, default=7)
        modules.experiments.add_options(parser, "runs/none")
        monkeypatch.setattr(sys, "argv", ["script.py", *options])
        return modules.experiments.parse(parser)

    with pytest.raises(SystemExit):
        parse(*options)
    assert message in capsys.readouterr().err
    args = parse("--merge", "x", "y", "--overwrite")
    assert args.merge == [Path("x"), Path("y")]
    assert (args.overwrite, args.workdir) == (True, Path("runs/none"))


@pytest.fixture
def run_script(modules, load_few, request):
    """Returns a function that runs a script with `options` for some of its trainings."""
    name = request.node.callspec.params["name"]
    load_few(1600)
    options, split, _ = SCRIPTS[name]

    def run(workdir, chosen, *others):
        chosen = [split, *chosen] if chosen else []
        fixed = [*options.split(), *chosen] if chosen else []
        fixed += ["--workdir", str(workdir), *others]
        done = run_here(EXAMPLES / f"{name}.py", *fixed)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def check_same_files(modules, workdir, whole):
    assert untimed(modules.experiments.read(workdir)) == untimed(modules.experiments.read(whole))
    pictures = [path.name for path in whole.glob("*.png")]
    assert pictures
    for picture in pictures:
        assert (workdir / picture).read_bytes() == (whole / picture).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("save", [1, 2])
def test_killed_script_resumes_bit_identically(
    modules, run_script, tmp_path, monkeypatch, name, save
):
    whole, killed, parts = tmp_path / "whole", tmp_path / "killed", SCRIPTS[name][2]
    printed = run_script(whole, parts)
    write, num = storage.manifest.write, []

    def interrupted(*args):
        num.append(1)
        if len(num) == save:
            raise Killed
        write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(storage.manifest, "write", interrupted)
        with pytest.raises(Killed):
            run_script(killed, parts, "--save-every", "0")
    assert run_script(killed, parts, "--resume") == printed
    check_same_files(modules, killed, whole)
    folders = sorted((whole / "checkpoints").rglob("seal.json"))
    assert len(folders) == (1 if name == "sweep" else 2)
    for path in folders:
        twin = killed / path.relative_to(whole)
        leaves = [json.loads(p.read_text())["contents"]["leaves"] for p in (path, twin)]
        assert leaves[0] == leaves[1]  # the digests of all arrays


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_merged_scripts_equal_the_joint_one(modules, run_script, tmp_path, name):
    whole, parts = tmp_path / "whole", SCRIPTS[name][2]
    printed = run_script(whole, parts)
    for part in parts:
        run_script(tmp_path / part, [part])
    folders = [str(tmp_path / part) for part in parts]
    merged = run_script(tmp_path / "merged", [], "--merge", *folders)
    if name == "sweep":  # a part is a smaller population, which rounds differently
        rows = [modules.experiments.read(folder) for folder in (tmp_path / "merged", whole)]
        assert [[row["result"]["learning_rate"] for row in part] for part in rows] == [
            [1e-3, 1e-2]
        ] * 2
        losses = [[row["result"]["history"]["generator_loss"] for row in part] for part in rows]
        np.testing.assert_allclose(*losses, rtol=0.01)
    else:
        assert merged == printed
        check_same_files(modules, tmp_path / "merged", whole)
