"""Runs the trainings of an experiment: checkpoints, results on disk and continuation.

An experiment computes one training after the other, each of a population. It saves checkpoints
between compiled programs, and a line of `results.jsonl` for each row of the table. A resumed
experiment reads the results of finished trainings, and continues the others from their newest
checkpoints.
"""

import argparse
import functools
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import common
import jax
from tqdm import tqdm

import jaxgan
from jaxgan import checkpoint, population, runs

RESULTS = "results.jsonl"
Row = dict[str, Any]
"""A row of the table. `result` identifies the training and has its `seeds` and scores. `shown` is
data for pictures. `shared` describes the experiment. Lists, except in `shared`, have an entry for
each seed; the first entry of `shown` suffices for some pictures."""


class Training(NamedTuple):
    """Describes the training of a population.

    Attributes:
      name: the name of the training, and of the folder with its checkpoints.
      length: the number of epochs, or of other units.
      init: makes the first state.
      advance: trains for one unit. Takes the state and the number of finished units, and returns
        the next state and a dict in JSON.
      finish: computes the rows of the table from the last state and the dicts of all units, which
        also contain the `seconds` of each unit.
    """

    name: str
    length: int
    init: Callable[[], jaxgan.TrainState]
    advance: Callable[[jaxgan.TrainState, int], tuple[jaxgan.TrainState, Row]]
    finish: Callable[[jaxgan.TrainState, list[Row]], list[Row]]


Summarize = Callable[[argparse.Namespace, list[Row]], dict[str, Any]]


def add_options(parser: argparse.ArgumentParser, workdir: str) -> None:
    """Adds the options that split, continue and merge experiments."""
    add = functools.partial(parser.add_argument, metavar="")
    text = "the seeds are consecutive numbers from this one on (default: 0)"
    add("--first-seed", type=int, default=0, help=text)
    text = "minutes between checkpoints; 0 saves after each epoch (default: 5)"
    add("--save-every", type=float, default=5.0, help=text)
    text = "write the joint results of these finished folders, computed with other seeds or methods"
    add("--merge", nargs="+", type=Path, metavar="DIR", help=text)
    common.add_workdir(parser, workdir, resume=True)


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parses the options. `--merge` takes the options of the experiment from the folders."""
    args = parser.parse_args()
    if not 0 <= args.first_seed < 2**30:  # all seeds are int32
        parser.error(f"--first-seed must be at least 0 and below 2**30; got {args.first_seed}")
    if not args.save_every >= 0:
        parser.error(f"--save-every must be at least 0; got {args.save_every}")
    if args.merge:
        parser.set_defaults(**dict.fromkeys(vars(args)))
        given = {name for name, value in vars(parser.parse_args()).items() if value is not None}
        if other := sorted(given - {"merge", "workdir", "overwrite"}):
            names = ", ".join(f"--{name.replace('_', '-')}" for name in other)
            parser.error(f"--merge must be used with only --workdir and --overwrite; got {names}")
    return args


def seeds(args: argparse.Namespace, num: int) -> list[int]:
    return list(range(args.first_seed, args.first_seed + num))


def counted(train: Callable) -> Callable:
    """Makes a jitted function of a population and data, from `training.steps` or `training.epochs`.

    The function returns the states and the number of skipped steps of each member.
    """

    def run(state: jaxgan.TrainState, data: jax.Array) -> tuple[jaxgan.TrainState, jax.Array]:
        state, metrics = train(state, data)
        return state, (metrics["generator_skipped"] + metrics["discriminator_skipped"]).sum()

    return jax.jit(population.each(run), donate_argnums=0)


def skipped(history: list[Row]) -> list[int]:
    """Returns the number of skipped steps of each seed."""
    return [sum(numbers) for numbers in zip(*(r["skipped"] for r in history), strict=True)]


def summarize(args: argparse.Namespace, rows: list[Row]) -> dict[str, Any]:
    """Describes the experiment and the results so far, for `summary.json`."""
    shared = rows[0]["shared"] if rows else {}
    return {
        "command": shlex.join(["python", *sys.argv]),
        **common.chosen(args),
        **shared,
        **jaxgan.environment(),
        "results": [row["result"] for row in rows],
    }


def compute(
    args: argparse.Namespace,
    workdir: Path,
    trainings: Sequence[Training],
    *,
    unit: str = "epoch",
    summarize: Summarize = summarize,
) -> list[Row]:
    """Runs the trainings that are not finished, and returns the rows of all trainings.

    After a stop signal, saves a checkpoint and ends the script with the command that continues.
    """
    with common.errors_in_a_line():
        rows = _finished(read(workdir), trainings)
    done, saved, when = {row["training"] for row in rows}, True, ""
    message = f"The experiment stops after this {unit} and saves it."
    length, hidden = sum(training.length for training in trainings), not common.is_first()
    bar = tqdm(total=length, unit=unit, disable=hidden)
    with runs.stop_signals(message=message) as stopped, bar:
        for training in trainings:
            bar.set_postfix_str(training.name)
            if training.name in done:
                bar.update(training.length)
                continue
            if runs.agree(stopped):
                when = f"before {training.name}"
                break
            state, history, is_kept = _train(args, workdir, training, stopped, bar)
            if len(history) < training.length:
                saved &= is_kept
                when = f"after {unit} {len(history)}" + f" of {training.name}" * bool(training.name)
                break
            label = {"training": training.name, "length": training.length}
            rows += [{**label, **row} for row in training.finish(state, history)]
            del state  # frees memory for the next training
            saved = write(args, workdir, rows, summarize)  # also what an earlier write missed
    exit_if_unfinished(runs.agree(stopped) if when else [], saved, when)
    return rows


def _train(
    args: argparse.Namespace, workdir: Path, training: Training, stopped: list[int], bar: tqdm
) -> tuple[jaxgan.TrainState, list[Row], bool]:
    """Runs a training from its newest checkpoint to its end, or to a stop signal.

    Returns the state, the records of all epochs, and whether the last checkpoint was saved.
    """
    folder = workdir / "checkpoints" / training.name
    start = jax.eval_shape(training.init) if checkpoint.steps(folder) else training.init()
    with common.errors_in_a_line():
        state, history = common.restore(folder, start)
    bar.update(len(history))
    saving, saved, clock = None, True, time.monotonic()
    ends = len(history) == training.length
    try:
        while not ends:
            started = time.perf_counter()
            state, record = training.advance(state, len(history))
            history.append({**record, "seconds": time.perf_counter() - started})
            bar.update()
            is_last = len(history) == training.length
            is_due = time.monotonic() - clock >= 60 * args.save_every
            # All processes must save in the same epoch.
            ends = is_last or bool(runs.agree(stopped))
            if ends or any(runs.agree([is_due])):
                if saving:
                    common.written(saving.result)
                keep, metadata = 1 if is_last else 2, {"history": history}
                saving = checkpoint.save(folder, state, keep=keep, metadata=metadata)
                clock = time.monotonic()
    finally:  # waits for the last save, also after an error
        saved = saving is None or common.written(saving.result)
    return state, history, saved


def exit_if_unfinished(stopped: list[int], saved: bool, when: str = "") -> None:
    """Ends the script with an error if results are not saved or a signal stopped the experiment."""
    if not saved:
        sys.exit("The last results are NOT SAVED. Free disk space, then continue with --resume.")
    if stopped:
        text = f"Stopped {when}. All results are saved."
        common.say(f"{text} To continue: {common.command_to_continue()}")
        sys.exit(128 + stopped[0])


def write(args: argparse.Namespace, workdir: Path, rows: list[Row], summarize: Summarize) -> bool:
    """Writes the results so far. Returns False after an OSError, such as a full disk."""
    summary = functools.partial(summarize, args, rows)
    return all(
        [
            common.written(lambda: runs.write_log(workdir / RESULTS, rows)),
            common.written(lambda: runs.write_json(workdir / "summary.json", summary())),
        ]
    )


def read(folder: Path) -> list[Row]:
    path = folder / RESULTS
    try:
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    except ValueError as error:
        advice = "Delete it; --resume computes it again from the checkpoints."
        raise ValueError(f"{path} must be lines of JSON; got {error}. {advice}") from error


def _finished(rows: list[Row], trainings: Iterable[Training]) -> list[Row]:
    """Selects the rows of trainings that have their full length."""
    lengths = {training.name: training.length for training in trainings}
    return [row for row in rows if lengths.get(row["training"]) == row["length"]]
