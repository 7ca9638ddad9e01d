"""Kills a run many times, half of them during a save, and checks that its result is identical.

    python tests/torture/kill.py --kills 200 --output kills.json

The run is `examples/mnist.py` on the embedded digits, with a checkpoint an epoch. The script sends
SIGKILL at a random time after the start, resumes the run, and repeats this for all kills. The final
digests of every leaf, the metrics and the pictures must equal those of an uninterrupted run.
"""

import argparse
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

import jaxgan
from jaxgan import checkpoint, runs
from jaxgan.checkpoint import _manifest as manifest

SCRIPT = Path(__file__).parent.parent.parent / "examples" / "mnist.py"
LIFETIME = 9.0  # maximum seconds to a kill that does not wait for a save; a few epochs
AHEAD = 40  # minimum epochs that a killed run has left
SECONDS = ("seconds", "steps_per_second")
# Warnings are errors, so that a run that falls back to an older checkpoint fails. JAX warns about
# programs in the cache that a kill truncated, and compiles them again.
PYTHON = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning"]
PYTHON += ["-W", "ignore:Error reading persistent compilation cache entry"]


def options_of(workdir: Path, epochs: int, batch_size: int) -> list[str]:
    options = ["--data-dir", "embedded", "--batch-size", str(batch_size), "--epochs", str(epochs)]
    options += ["--workdir", str(workdir)] + ["--resume"] * (workdir / "config.json").exists()
    return options


def start(workdir: Path, epochs: int, batch_size: int, cache: Path) -> subprocess.Popen:
    """Starts the run in a new process."""
    environment = {"JAX_ENABLE_COMPILATION_CACHE": "1", "XDG_CACHE_HOME": str(cache)}
    return subprocess.Popen(
        [*PYTHON, str(SCRIPT), *options_of(workdir, epochs, batch_size)],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def remnants(workdir: Path) -> set[Path]:
    return set((workdir / "checkpoints").glob("*.saving"))


def wait_for_a_save(run: subprocess.Popen, workdir: Path, old: set[Path], skip: int) -> None:
    """Waits until the save after `skip` other saves begins, or until the run ends."""
    seen = set(old)
    while run.poll() is None:
        new = remnants(workdir) - seen
        if len(new) > skip:
            return
        seen |= new
        skip -= len(new)
        time.sleep(0.0005)


def kill(
    workdir: Path, epochs: int, batch_size: int, cache: Path, rng: random.Random, saving: bool
) -> bool | None:
    """Starts and kills the run.

    Returns:
      Whether an unfinished save remains; None if the run ended before the kill.
    """
    old = remnants(workdir)
    with start(workdir, epochs, batch_size, cache) as run:
        if saving:
            wait_for_a_save(run, workdir, old, skip=rng.randrange(3))
            time.sleep(rng.uniform(0.0, 0.04))
        else:
            time.sleep(rng.uniform(0.0, LIFETIME))
        run.kill()
        errors = run.communicate()[1]
    if run.returncode > 0:
        raise AssertionError(f"The run failed with exit status {run.returncode}:\n{errors}")
    if run.returncode == 0:
        return None
    return bool(remnants(workdir) - old)


def finish(workdir: Path, epochs: int, batch_size: int, cache: Path) -> None:
    with start(workdir, epochs, batch_size, cache) as run:
        errors = run.communicate()[1]
    if run.returncode != 0:
        raise AssertionError(f"The run failed with exit status {run.returncode}:\n{errors}")


def outcome(workdir: Path) -> dict:
    """Returns the results that must not depend on kills."""
    checkpoints = workdir / "checkpoints"
    newest = checkpoint.latest(checkpoints)
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return {
        "step": newest,
        "leaves": manifest.verify(checkpoints / str(newest))["leaves"],
        "metrics": [{k: v for k, v in x.items() if k not in SECONDS} for x in lines],
        "samples": (workdir / "samples.png").read_bytes(),
    }


def torture(
    folder: Path, kills: int, batch_size: int, seed: int, ahead: int = AHEAD, run_whole=finish
) -> dict:
    """Kills one run, half of the times in a save; returns counts, and whether results are equal.

    `run_whole` runs the script without a kill, with the arguments of `finish`.
    """
    rng, killed, in_saves, epochs = random.Random(seed), folder / "killed", 0, ahead
    for number in tqdm(range(kills), unit="kill"):
        wanted = in_saves < number // 2 + 1
        arguments = (batch_size, folder / "cache", rng, wanted)
        while (in_save := kill(killed, epochs, *arguments)) is None:
            epochs += ahead
        in_saves += in_save
        log = killed / "metrics.jsonl"
        logged = len(log.read_text().splitlines()) if log.exists() else 0
        epochs = max(epochs, ahead + logged)  # the log may have an unsaved epoch
    finish(killed, epochs, batch_size, folder / "cache")
    run_whole(folder / "whole", epochs, batch_size, folder / "cache")
    same = outcome(killed) == outcome(folder / "whole")
    return {"kills": kills, "in_saves": in_saves, "epochs": epochs, "same": same}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200, help="(default: 200)")
    parser.add_argument("--batch-size", type=int, default=100, help="(default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--output", type=Path, help="a JSON file (default: none)")
    args = parser.parse_args()
    clock = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        counted = torture(Path(folder), args.kills, args.batch_size, args.seed)
    counted |= {"seconds": time.perf_counter() - clock}
    counted |= {"command": shlex.join(["python", *sys.argv]), **jaxgan.environment()}
    print(json.dumps(counted, indent=2))
    if args.output:
        runs.write_json(args.output, counted)
    sys.exit(not counted["same"])


if __name__ == "__main__":
    main()
