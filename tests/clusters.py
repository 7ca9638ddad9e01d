"""Runs a program in several processes of one JAX cluster, on this machine's CPU."""

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from conftest import PYTHON, QUICKLY

HEARTBEAT = 10  # seconds without a heartbeat, after which JAX ends the other processes


class Done(NamedTuple):
    """Holds the result of one process."""

    returncode: int
    output: str


def environments(num: int, devices: int = 1) -> list[dict[str, str]]:
    """Returns the environment of each process, with `devices` virtual devices."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = {
        **QUICKLY,
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": f"{devices}",
        "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
        "JAX_NUM_PROCESSES": f"{num}",
        "PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    return [{**shared, "JAX_PROCESS_ID": f"{i}"} for i in range(num)]


@contextlib.contextmanager
def start(
    script: Path, options: Sequence[str], *, num: int = 2, devices: int = 1
) -> Iterator[list[subprocess.Popen]]:
    """Starts the processes, and kills those that remain at the end of the context."""
    begun: list[subprocess.Popen] = []
    try:
        for environment in environments(num, devices):
            command = [*PYTHON, str(script), *options]
            begun.append(
                subprocess.Popen(
                    command,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,
                )
            )
        yield begun
    finally:
        for process in begun:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def finish(processes: Sequence[subprocess.Popen], seconds: float = 120) -> list[Done]:
    """Waits for all processes, and returns their exit codes and output."""
    outputs = [process.communicate(timeout=seconds)[0] for process in processes]
    return [Done(x.returncode, text) for x, text in zip(processes, outputs, strict=True)]


def run(script: Path, *options: str, num: int = 2, devices: int = 1) -> list[Done]:
    """Runs a script in several processes until the end."""
    with start(script, options, num=num, devices=devices) as processes:
        return finish(processes)
