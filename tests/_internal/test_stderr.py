"""Tests that the library's messages never raise an error."""

import io
import os
import signal
import sys

import pytest

from jaxgan import runs
from jaxgan._internal import stderr
from jaxgan.checkpoint import _writer as writer


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


def closed():
    file = io.StringIO()
    file.close()
    return file


@pytest.mark.parametrize("stream", [None, closed(), Full()], ids=["none", "closed", "full"])
def test_failing_stderr_is_ignored(monkeypatch, capsys, stream):
    class Failed:
        _reported = False
        exception = lambda self: OSError("the disk is full")

    monkeypatch.setattr(sys, "stderr", stream)
    stderr.write("a line")
    monkeypatch.setattr(writer, "_newest", {"folder": Failed()})
    writer._finish()
    with runs.stop_signals() as received:
        os.kill(os.getpid(), signal.SIGTERM)
    assert received == [signal.SIGTERM]
    assert capsys.readouterr().out == ""  # `print` would write to stdout if stderr is None


def test_line_is_printed_on_stderr(capsys):
    stderr.write("a line")
    assert capsys.readouterr() == ("", "a line\n")
