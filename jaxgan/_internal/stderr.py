"""Prints messages on stderr, which may be closed or on a full disk."""

import contextlib
import sys


def write(text: str) -> None:
    """Prints a line on stderr. Ignores errors, because a lost line must not end a training run.

    Args:
      text: the line, without its end.
    """
    if sys.stderr is None:  # closed at the start, as by `2>&-`
        return
    with contextlib.suppress(OSError, ValueError):  # a full disk, a closed terminal or file
        print(text, file=sys.stderr, flush=True)
