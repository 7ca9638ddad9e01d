"""Starts a Python script several times on this machine, as the processes of one run."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

_FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
_GRACE_SECONDS = 30.0  # between the failure of one process and the end of the others


def launch(num: int, command: Sequence[str]) -> int:
    """Runs a script in several processes, and returns the exit code of the first that fails.

    The environment of each process contains `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES`,
    `JAX_PROCESS_ID` and `JAX_LOCAL_DEVICE_IDS`: process i uses GPU i, if there are GPUs. Signals to
    this process are sent on, except those that it ignores, as `nohup` ignores SIGHUP. No process
    outlives this one, even if it is killed.

    Args:
      num: the number of processes, at least 1.
      command: a script and its arguments, for the Python that runs this function.
    """
    shared = {"JAX_COORDINATOR_ADDRESS": _free_address(), "JAX_NUM_PROCESSES": f"{num}"}
    started: list[subprocess.Popen] = []
    _forward_signals(started)
    try:
        for i in range(num):
            own = {"JAX_PROCESS_ID": f"{i}", "JAX_LOCAL_DEVICE_IDS": f"{i}"}
            # In separate groups, so that Ctrl-C reaches each process once, from this process.
            environment = {**os.environ, **shared, **own}
            arguments = [sys.executable, *command]
            started.append(subprocess.Popen(arguments, env=environment, process_group=0))
        with _kill_after_this_process(started):
            return _wait(started)
    finally:
        for process in started:
            process.kill()
            process.wait()


def _free_address() -> str:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def _forward_signals(started: Sequence[subprocess.Popen]) -> None:
    """Sends signals on to all processes. They inherit the signals that this process ignores."""

    def forward(signum: int, frame: object) -> None:
        for process in started:
            process.send_signal(signum)  # does nothing if the process has ended

    for signum in (getattr(signal, name) for name in _FORWARDED):
        if signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, forward)


def _kill_after_this_process(started: Sequence[subprocess.Popen]) -> subprocess.Popen:
    """Starts a shell that kills the processes when this process ends, and closes the pipe."""
    groups = " ".join(f"-{process.pid}" for process in started)
    script = f"read line; kill -s KILL -- {groups} 2>/dev/null"
    return subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, process_group=0)


def _wait(started: Sequence[subprocess.Popen]) -> int:
    """Waits until all processes end, or until the grace period after the first failure."""
    code, deadline = 0, float("inf")
    while any(process.poll() is None for process in started) and time.monotonic() < deadline:
        if not code and (code := next((x.returncode for x in started if x.returncode), 0)):
            deadline = time.monotonic() + _GRACE_SECONDS
        time.sleep(0.1)
    code = code or next((x.returncode for x in started if x.returncode), 0)
    return 128 - code if code < 0 else code


def main() -> None:
    """Runs `python -m jaxgan.distributed --processes N script arguments...`."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxgan.distributed",
        description="Runs a script in several processes of this machine, as one run.",
    )
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="(default: 2)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="a script and its arguments")
    args = parser.parse_args()
    if args.processes < 1:
        parser.error(f"--processes must be at least 1; got {args.processes}")
    if not args.command:
        parser.error("command must be a script and its arguments; got none")
    sys.exit(launch(args.processes, args.command))
