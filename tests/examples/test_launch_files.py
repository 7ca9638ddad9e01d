"""Checks the files that start a run on a cluster."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

LAUNCH = Path(__file__).parents[2] / "examples" / "launch"


@pytest.mark.parametrize("name", ["slurm.sh", "kubernetes.yaml", "tpu.sh"])
def test_commands_have_valid_options(name, monkeypatch):
    text = re.sub(r"\\?\n *", " ", (LAUNCH / name).read_text())
    (command,) = re.findall(r"examples/mnist\.py (--mesh.*?--workdir) ", text)
    monkeypatch.syspath_prepend(LAUNCH.parent)
    monkeypatch.setattr(sys, "argv", ["mnist.py", *shlex.split(command), "folder"])
    args = importlib.import_module("mnist").parse_arguments()
    assert args.mesh
    assert args.batch_size % 16 == 0  # two hosts of eight devices


@pytest.mark.parametrize("name", ["slurm.sh", "tpu.sh"])
def test_scripts_have_valid_syntax(name):
    subprocess.run(["bash", "-n", str(LAUNCH / name)], check=True)


def test_slurm_gives_each_gpu_a_task():
    options = dict(re.findall(r"#SBATCH --(\S+)=(\S+)", (LAUNCH / "slurm.sh").read_text()))
    assert options["gpus-per-node"] == options["ntasks-per-node"]
    assert options["signal"].startswith("USR1@")


def test_pods_find_process_0_and_each_other():
    job = yaml.safe_load((LAUNCH / "kubernetes.yaml").read_text())
    (workers,) = job["spec"]["replicatedJobs"]
    spec = workers["template"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    pods = str(spec["completions"])
    assert environment["JAX_NUM_PROCESSES"] == pods == str(spec["parallelism"])
    assert spec["completionMode"] == "Indexed"
    # A pod's host name is that of the JobSet, its job, the job's replica and its index.
    names = (job["metadata"]["name"], workers["name"])
    host = "-".join([*names, "0", "0"]) + "." + names[0]
    assert environment["JAX_COORDINATOR_ADDRESS"].split(":")[0] == host
