"""Checks the files that start a run on a cluster."""

import importlib
import os
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


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (1, False), (138, True)])
@pytest.mark.parametrize("begun", [False, True])
def test_slurm_continues_runs_and_requeues_after_the_signal(tmp_path, code, requeued, begun):
    commands = {"srun": f"exit {code}", "scontrol": "true"}
    for name, end in commands.items():
        command = tmp_path / name
        command.write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/calls\n{end}\n')
        command.chmod(0o755)
    (tmp_path / "config.json").touch() if begun else None
    environment = {"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "8", "WORKDIR": f"{tmp_path}"}
    environment["PATH"] = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", str(LAUNCH / "slurm.sh")], env=environment)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert done.returncode == code
    assert calls[0].startswith("srun --cpus-per-task=8 --kill-on-bad-exit=0 ")
    assert calls[0].endswith(f" --workdir {tmp_path}" + (" --resume" if begun else ""))
    assert calls[1:] == (["scontrol requeue 7"] if requeued else [])


@pytest.mark.parametrize("begun", [False, True])
def test_tpu_hosts_join_and_continue_runs(tmp_path, begun):
    gcloud = tmp_path / "gcloud"  # runs the command as each host does
    gcloud.write_text('#!/bin/bash\nwhile [ "$1" != --command ]; do shift; done\nsh -c "$2"\n')
    python = tmp_path / "jaxgan" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$JAX_NUM_PROCESSES" "$@"\n')
    for file in (gcloud, python):
        file.chmod(0o755)
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").touch() if begun else None
    done = subprocess.run(
        ["bash", str(LAUNCH / "tpu.sh"), "pod", "us-central2-b", "4", str(run)],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("4 examples/mnist.py --mesh "), done.stderr
    end = f" --workdir {run}" + (" --resume" if begun else "")
    assert done.stdout.rstrip().endswith(end)


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
