"""Merges finished experiments that were computed apart, with other seeds or methods."""

import argparse
import functools
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import common
import experiments
from experiments import Row, Summarize


def merge(
    args: argparse.Namespace,
    split: Mapping[str, str],
    count: str = "runs",
    summarize: Summarize = experiments.summarize,
) -> tuple[argparse.Namespace, Path, list[Row]]:
    """Joins finished experiments that differ only in their seeds and in split options.

    Args:
      args: the parsed options.
      split: the options that may differ, with the key of their values in a row's `result`.
      count: the option with the number of seeds.
      summarize: makes the contents of `summary.json`.

    Returns:
      The options, the folder and the rows of the joint experiment.
    """
    with common.errors_in_a_line():
        _check_folders(args)
        configs = {folder: _read_config(folder, args) for folder in args.merge}
        _check_same_options(configs, {*split, count, "first_seed"})
        rows = _join_all(
            {folder: experiments.read(folder) for folder in configs}, configs, split, count
        )
        members = rows[0]["result"]["seeds"]
        joint = next(iter(configs.values())) | {count: len(members), "first_seed": members[0]}
        for option, key in split.items():
            joint[option] = list(dict.fromkeys(row["result"][key] for row in rows))
        options = {name: joint[name] for name in common.chosen(args)}
        args = argparse.Namespace(**{**vars(args), **options})
        workdir = common.begin(args, joint)
    experiments.exit_if_unfinished([], experiments.write(args, workdir, rows, summarize))
    return args, workdir, rows


def _check_folders(args: argparse.Namespace) -> None:
    """Checks that all folders differ, so that `--overwrite` removes none that is read."""
    folders = [args.workdir, *args.merge]
    places = [folder.resolve() for folder in folders]
    for i, place in enumerate(places):
        if place in places[:i]:
            raise ValueError(
                f"--merge and --workdir must be different folders; got {folders[i]} twice."
            )


def _read_config(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"--merge must be folders of experiments; got {folder}.")
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} must be in JSON; got {error}.") from error
    if missing := sorted(common.chosen(args).keys() - config.keys()):
        got = f"{folder}, whose {path.name} has no {missing[0]}"
        raise ValueError(f"--merge must be folders of this script; got {got}.")
    return config


def _check_same_options(configs: Mapping[Path, dict[str, Any]], split: set[str]) -> None:
    (first, config), *others = configs.items()
    for folder, other in others:
        for name in sorted((config.keys() | other.keys()) - split):
            if config.get(name) != other.get(name):
                got = f"{name} {config.get(name)} in {first} and {other.get(name)} in {folder}"
                raise ValueError(f"--merge must be folders with the same options; got {got}.")


def _join_all(
    found: Mapping[Path, list[Row]],
    configs: Mapping[Path, dict[str, Any]],
    split: Mapping[str, str],
    count: str,
) -> list[Row]:
    """Joins the seeds of each row, and sorts the rows by the order of the folders."""
    groups: dict[tuple, list[tuple[Path, Row]]] = {}
    for folder, rows in found.items():
        _check_finished(folder, rows, configs[folder], split)
        for row in rows:
            key = tuple(row["result"][name] for name in split.values())
            groups.setdefault(key, []).append((folder, row))
    for key, group in groups.items():
        _check_overlap(key, group)
    joined = {}
    for key, group in groups.items():
        ordered = sorted((row for _, row in group), key=lambda row: row["result"]["seeds"][0])
        joined[key] = functools.reduce(_join_seeds, ordered)
    values = [dict.fromkeys(key[i] for key in groups) for i in range(len(split))]
    order = list(itertools.product(*values))
    _check_complete(order, joined, count)
    return [joined[key] for key in order]


def _check_finished(
    folder: Path, rows: list[Row], config: dict[str, Any], split: Mapping[str, str]
) -> None:
    """Checks that all trainings have results. `--resume` may have increased the epochs."""
    there = {
        tuple(row["result"][key] for key in split.values())
        for row in rows
        if row["length"] == config.get("epochs", row["length"])
    }
    for wanted in itertools.product(*(config[option] for option in split)):
        if wanted not in there:
            got = f"{folder}, which lacks {_name(wanted)}. Finish it with --resume"
            raise ValueError(f"--merge must be folders of finished experiments; got {got}.")


def _check_overlap(key: tuple, group: list[tuple[Path, Row]]) -> None:
    owner: dict[int, Path] = {}
    for folder, row in group:
        for seed in row["result"]["seeds"]:
            if seed in owner:
                got = f"seed {seed} of {_name(key)} in {owner[seed]} and {folder}"
                raise ValueError(f"--merge must be folders without common results; got {got}.")
            owner[seed] = folder


def _check_complete(order: list[tuple], joined: Mapping[tuple, Row], count: str) -> None:
    """Checks that one experiment could compute all rows: the same consecutive seeds in each."""
    found = {key: joined[key]["result"]["seeds"] if key in joined else [] for key in order}
    first = found[order[0]]
    expected = list(range(first[0], first[0] + len(first)))
    for key, members in found.items():
        if members != expected:
            got = f"seeds {members} of {_name(key)}"
            got += f", and {first} of {_name(order[0])}" * (key != order[0])
            raise ValueError(
                f"--merge must be folders with the same consecutive --{count} for all; got {got}."
            )


def _name(key: tuple) -> str:
    return ", ".join(str(value) for value in key)


def _join_seeds(first: Row, second: Row) -> Row:
    """Joins two rows that differ in their seeds: joins lists, and adds the seconds."""
    return {**first, **{name: _joined(first[name], second[name]) for name in ("result", "shown")}}


def _joined(first: Any, second: Any, name: str = "") -> Any:
    if isinstance(first, dict):
        return {key: _joined(first[key], second[key], key) for key in first}
    return first + second if isinstance(first, list) or name == "seconds" else first
