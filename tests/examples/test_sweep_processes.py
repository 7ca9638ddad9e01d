"""Runs examples/sweep.py in two processes."""

import json

import clusters
import pytest
from test_sweep import EXAMPLES

pytestmark = pytest.mark.slow
RATES = ["--seeds", "2", "--learning-rates", "1e-3", "3e-4", "--batch-size", "5000"]
OPTIONS = ["--data-dir", "embedded", *RATES, "--mesh"]


def train(workdir, *options, num, devices):
    command = [*OPTIONS, "--workdir", str(workdir), *options]
    done = clusters.run(EXAMPLES / "sweep.py", *command, num=num, devices=devices)
    assert [process.returncode for process in done] == [0] * num, [x.output for x in done]
    assert all("| learning rate |" not in process.output for process in done[1:])


def results(workdir):
    rows = [json.loads(line) for line in (workdir / "results.jsonl").read_text().splitlines()]
    return [(row["result"]["history"], row["shown"]) for row in rows]


def test_two_processes_train_and_continue_with_the_bits_of_one_process(tmp_path):
    """Each of four devices has a member."""
    train(tmp_path / "one", "--epochs", "2", num=1, devices=4)
    train(tmp_path / "two", "--epochs", "1", num=2, devices=2)
    train(tmp_path / "two", "--epochs", "2", "--resume", num=2, devices=2)
    assert results(tmp_path / "two") == results(tmp_path / "one")
