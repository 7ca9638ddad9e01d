"""Records stop signals, and shares them between the processes of a run."""

import contextlib
import signal
from collections.abc import Sequence

from jaxgan._internal import checks, processes, signal_watch


def stop_signals(
    *signals: signal.Signals, message: str = "The run stops after this epoch."
) -> contextlib.AbstractContextManager[list[int]]:
    """Records the first stop signal, so that a training loop can save its state and end.

    At the first signal, a line on stderr gives the signal's name and the message. A second signal,
    the same or another one, ends the process at once with exit code 128 + the signal's number.
    Both work also during a compilation or in a compiled program. In a notebook or another
    interactive session, a second signal raises `KeyboardInterrupt` instead. A terminal that closes
    can send SIGHUP several times, so SIGHUP has an effect only as the first signal. `timeout` sends
    its signal twice, so the same signal within a quarter of a second counts once.

    Cloud providers and Kubernetes send SIGTERM before they stop a machine. Slurm sends the signal
    that a job requests: `--signal=USR1@120` requests SIGUSR1 two to three minutes before the time
    limit, for programs that `srun` starts.

    Args:
      *signals: the signals to record. By default, SIGINT (Ctrl-C), SIGTERM and, except on Windows,
        SIGHUP (a closed terminal) and SIGUSR1. By default, a signal that the process ignores stays
        ignored: `nohup` ignores SIGHUP, and a shell script ignores SIGINT in background jobs.
      message: a sentence about the effect of the first signal.

    Returns:
      A context manager. It yields a list that is empty until a signal arrives, and then contains
      the signal's number. At the end of the context, the previous handlers return. In a run of
      several processes, pass the list to `agree`.

    Raises:
      TypeError: If a signal is not a `signal.Signals`, or the message is not text.
      ValueError: If a signal cannot be handled, such as SIGKILL, or the caller is not the main
        thread.

    Example:
      >>> import os, signal
      >>> from jaxgan import runs
      >>> with runs.stop_signals() as received:
      ...     os.kill(os.getpid(), signal.SIGTERM)
      ...     bool(received)
      True
    """
    usual = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")  # Windows lacks the last two
    known = (getattr(signal, name) for name in usual if hasattr(signal, name))
    signals = signals or tuple(x for x in known if signal.getsignal(x) != signal.SIG_IGN)
    for one in signals:
        checks.instance("signals", one, signal.Signals, "of signal.Signals")
        can_be_handled = one.name not in ("SIGKILL", "SIGSTOP")
        checks.require(can_be_handled, "signals", "signals that can be handled", one.name)
    checks.text("message", message)
    return signal_watch.watch(signals, message)


def agree(received: Sequence[int]) -> list[int]:
    """Returns the stop signals that any process of a run received, in all processes.

    A signal can reach a single process, or reach the processes in different epochs. Call `agree`
    once in each epoch, in all processes, so that all stop after the same epoch. With one process,
    the result equals the argument.

    Args:
      received: the list that `stop_signals` yields, or other integers.

    Returns:
      The numbers of all processes, in the order of the processes.

    Raises:
      TimeoutError: If a process does not call `agree` within ten minutes of the others; the message
        names the process.

    Example:
      >>> import os, signal
      >>> from jaxgan import runs
      >>> with runs.stop_signals() as received:
      ...     os.kill(os.getpid(), signal.SIGTERM)
      ...     runs.agree(received) == [signal.SIGTERM]
      True
    """
    numbers = processes.gather("runs.agree", lambda: [int(number) for number in received])
    return [number for some in numbers for number in some]
