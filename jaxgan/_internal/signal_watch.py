"""Reacts to signals, also while the main thread runs compiled code.

SIGHUP never counts as a second signal. A terminal that closes can send it several times, and
systemd can send it after SIGTERM. `timeout` sends its signal twice: to the process and to the
process group. A repetition within `REPEAT` seconds therefore does not count either.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from jaxgan._internal import stderr

REPEAT = 0.25  # shorter than the time between two deliberate signals
_HANGUP = getattr(signal, "SIGHUP", None)  # Windows has no SIGHUP

_active: list[contextlib.ExitStack] = []  # each restores the handlers that `watch` replaced


@contextlib.contextmanager
def watch(signals: Sequence[signal.Signals], message: str) -> Iterator[list[int]]:
    """Records signals. Announces the first one, and ends the process at the second one.

    In an interactive session, the second signal raises `KeyboardInterrupt` instead.

    Python calls a signal handler only between two instructions of the main thread, so a handler
    waits until a compilation or a compiled program ends. A thread does not wait: Python's C code
    writes the number of each signal to a socket, and the thread reads the socket.

    Args:
      signals: the signals to record.
      message: what happens after the first signal.

    Yields:
      A list of the received numbers.

    Raises:
      ValueError: If the caller is not the main thread.
    """
    received: list[int] = []
    interactive = hasattr(sys, "ps1")

    def record(signum: int, frame: object) -> None:
        received.append(signum)
        if interactive and len(received) > 1 and signum != _HANGUP:
            raise KeyboardInterrupt

    reader, writer = socket.socketpair()
    writer.setblocking(False)  # required by `set_wakeup_fd`
    with reader, writer, contextlib.ExitStack() as restore:
        _active.append(restore)
        restore.callback(_active.remove, restore)
        for one in signals:
            previous = signal.signal(one, record)
            restore.callback(signal.signal, one, previous)
        descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        restore.callback(signal.set_wakeup_fd, descriptor)
        thread = threading.Thread(
            target=_react, args=(reader, signals, message, interactive), daemon=True
        )
        thread.start()
        try:
            yield received
        finally:
            restore.close()
            # Closing is not enough: a forked child may hold a copy of the socket.
            writer.shutdown(socket.SHUT_WR)
            thread.join()


def _react(
    reader: socket.socket, signals: Sequence[signal.Signals], message: str, interactive: bool
) -> None:
    first, announced = None, 0.0
    while received := reader.recv(1):
        number = received[0]
        if number not in signals:  # Python writes every signal that has a handler
            continue
        if first is None:
            _announce(signal.Signals(number), message)
            first, announced = number, time.monotonic()
            continue
        is_repetition = number == first and time.monotonic() - announced < REPEAT
        if not (interactive or is_repetition or number == _HANGUP):
            _exit(128 + number)


def _announce(signum: signal.Signals, message: str) -> None:
    again = "Press Ctrl-C again" if signum == signal.SIGINT else "Send a second signal"
    text = f"{signum.name} received. {message} {again} to stop at once without saving."
    stderr.write(f"\n{text}")  # the line before may hold a progress bar or ^C


def _exit(status: int) -> None:
    """Ends the process without finalizers, which could wait for the main thread."""
    # A blocked pipe must not keep the process alive.
    thread = threading.Thread(target=_flush, daemon=True)
    thread.start()
    thread.join(timeout=1.0)
    os._exit(status)


def _flush() -> None:
    with contextlib.suppress(OSError, ValueError):  # stdout is closed
        print(end="", flush=True)


def _restore() -> None:
    """Restores the handlers in a forked child, which must not write to the parent's socket."""
    while _active:
        _active[-1].close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restore)
