"""Runs a script to the end of its first epoch, and prints the seconds of each part as JSON.

    python benchmarks/watch_start.py BEGUN examples/mnist.py --data-dir embedded

A part ends when the script calls a certain jaxgan or JAX function, so scripts need no changes.
BEGUN is `time.monotonic()` at the start, a clock that all processes share.
"""

import functools
import json
import os
import runpy
import sys
import time
from pathlib import Path

begun, script = float(sys.argv[1]), sys.argv[2]
seconds: dict[str, float] = {}


def end(part: str) -> None:
    seconds[part] = time.monotonic() - begun - sum(seconds.values())


def watch(owner: object, name: str, *, before: str | None = None, after: str | None = None) -> None:
    """Ends a part just before or just after each call of `owner.name`."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def watched(*args, **kwargs):
        if before is not None:
            end(before)
        result = function(*args, **kwargs)
        if after is not None:
            end(after)
        return result

    setattr(owner, name, watched)


def stop(*_: object) -> None:
    end("training")
    print(json.dumps(seconds), flush=True)
    os._exit(0)  # without waiting for threads


import jax  # noqa: E402, the time of this import is measured

import jaxgan  # noqa: E402

watch(jaxgan.datasets, "load", before="imports", after="data")
watch(jaxgan.training, "epochs", before="init")
watch(jaxgan.runs, "begin", before="lowering")
watch(jax.stages.Lowered, "compile", after="compiling")
setattr(jaxgan.runs, "longest_streak", stop)  # noqa: B010, the first use of the metrics

sys.argv = sys.argv[2:]
sys.path.insert(0, str(Path(script).parent))  # as Python does for a script
runpy.run_path(script, run_name="__main__")
