"""Tests the functions of examples/common.py that need no training."""

import importlib
import os
from pathlib import Path

import jax
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
COORDINATOR = {"JAX_COORDINATOR_ADDRESS": "gan-0.gan:1234", "JAX_NUM_PROCESSES": "2"}
EXPLICIT = {"coordinator_address": "gan-0.gan:1234", "num_processes": 2, "process_id": 1}
SLURM = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"}
SLURM |= {"SLURM_STEP_NODELIST": "node[03-04]"}


@pytest.fixture
def joined(monkeypatch):
    """Returns a function that joins the processes that an environment describes.

    It returns the arguments of `jax.distributed.initialize`, or None if there is no call.
    """
    monkeypatch.syspath_prepend(EXAMPLES)
    known = (
        "SLURM_",
        "OMPI_",
        "TPU_WORKER",
        "JOB_COMPLETION",
        "JAX_COORD",
        "JAX_NUM_P",
        "JAX_PROC",
    )
    for name in [name for name in os.environ if name.startswith(known)]:
        monkeypatch.delenv(name)  # the tests may run in a job of SLURM
    common, calls = importlib.import_module("common"), []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **options: calls.append(options))
    update = jax.config.update

    def join(environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        try:
            common.join_processes()
        finally:
            update("jax_enable_preemption_service", True)
        return calls[0] if calls else None

    return join


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({**SLURM, "SLURM_STEP_NUM_TASKS": "4"}, {}),
        (SLURM, None),  # an sbatch script without srun, which starts one process
        ({**COORDINATOR, "JAX_PROCESS_ID": "1"}, EXPLICIT),
        (COORDINATOR, {**EXPLICIT, "process_id": None}),  # JAX names what is missing
        ({**COORDINATOR, "JOB_COMPLETION_INDEX": "1"}, EXPLICIT),  # an indexed job of Kubernetes
        ({**COORDINATOR, "JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0"}, None),
        ({"JAX_NUM_PROCESSES": "4"}, {}),  # a host of a TPU pod, which JAX detects
        ({"OMPI_COMM_WORLD_SIZE": "2"}, {}),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, None),
        ({"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2"}, {}),
    ],
)
def test_script_joins_the_processes_that_the_environment_names(joined, environment, expected):
    seconds = {"heartbeat_timeout_seconds": 30, "shutdown_timeout_seconds": 60}
    assert joined(environment) == (None if expected is None else expected | seconds)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({**COORDINATOR, "JAX_NUM_PROCESSES": "two"}, "JAX_NUM_PROCESSES must be an integer; got"),
        ({**COORDINATOR, "JAX_PROCESS_ID": "2"}, "JAX_PROCESS_ID must be an integer below 2; got"),
        ({**COORDINATOR, "JOB_COMPLETION_INDEX": ""}, "JOB_COMPLETION_INDEX must be an integer"),
    ],
)
def test_invalid_numbers_of_processes_are_refused(joined, environment, expected):
    with pytest.raises(SystemExit, match=expected):
        joined(environment)
