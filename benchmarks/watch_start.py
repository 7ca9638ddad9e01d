"""Runs a script until its first epoch is trained, and prints the seconds that each part took.

    python benchmarks/watch_start.py BEGUN examples/mnist.py --data-dir embedded

A part is over when the script calls a function that no script does without, so the script need not
know that it is watched. BEGUN is `time.monotonic()` of the start: one clock for all processes.
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


def over(part: str) -> None:
    seconds[part] = time.monotonic() - begun - sum(seconds.values())


def watch(owner: object, name: str, *, before: str | None = None, after: str | None = None) -> None:
    """Lets a part be over just before, or just after a call of `owner.name`."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def watched(*args, **kwargs):
        if before is not None:
            over(before)
        result = function(*args, **kwargs)
        if after is not None:
            over(after)
        return result

    setattr(owner, name, watched)


def stop(*_: object) -> None:
    over("training")
    print(json.dumps(seconds), flush=True)
    os._exit(0)  # what threads there are need not end well


import jax  # noqa: E402, that it takes time is what is measured

import jaxgan  # noqa: E402

watch(jaxgan.datasets, "load", before="imports", after="data")
watch(jaxgan.training, "epochs", before="init")
watch(jaxgan.runs, "begin", before="lowering")
watch(jax.stages.Lowered, "compile", after="compiling")
setattr(jaxgan.runs, "longest_streak", stop)  # noqa: B010, the first thing that is asked of the metrics

sys.argv = sys.argv[2:]
sys.path.insert(0, str(Path(script).parent))  # as Python does for a script
runpy.run_path(script, run_name="__main__")
