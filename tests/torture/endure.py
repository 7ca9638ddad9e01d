"""Restores, saves and trains for a long time, and checks values, memory and descriptors.

    python tests/torture/endure.py --output endure.json

- `--restores`: restores while another process saves with `keep=1`. Each restore must return one of
  the saved states, without a warning.
- `--saves`: saves with `keep=1`, while two threads of the same process restore.
- `--epochs`: trains a small GAN, saves a checkpoint and writes a log, in each epoch.

The number of open files must not change after the first tenth. The script reports the growth of the
memory; Orbax and TensorStore keep some memory of every save and restore.
"""

import argparse
import gc
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from damage import make_gan, make_states, same
from tqdm import tqdm

import jaxgan
from jaxgan import checkpoint, runs


def usage() -> tuple[float, int]:
    """Returns the memory in MB and the number of open files of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(list(Path("/proc/self/fd").iterdir()))


def repeat(num: int, act: Callable[[int], object]) -> dict:
    """Calls `act` with the numbers below `num`, and measures growth after the first tenth."""
    first = usage()
    for number in tqdm(range(num)):
        if number == num // 10:
            first = usage()
        act(number)
    last = usage()
    growth = {"growth_mb": round(last[0] - first[0], 2), "new_files": last[1] - first[1]}
    return {"cases": num, **growth, "mb": round(last[0], 1)}


def state_at(like: jaxgan.TrainState, step: int) -> jaxgan.TrainState:
    """Returns a state whose parameters show its step."""
    params = jax.tree.map(lambda x: np.full_like(x, step), like.params)
    return like.replace(step=np.int32(step), params=params)


def check_restore(folder: Path, like: jaxgan.TrainState) -> None:
    found = checkpoint.restore(folder, like=like)
    assert same(found, state_at(like, int(found.step))), "WRONG VALUES"


def endure_writer(folder: Path, num: int) -> dict:
    """Restores `num` times while another process saves."""
    like, seen = make_states()[0], set()
    command = [sys.executable, __file__, "--save-below", str(folder)]
    with subprocess.Popen(command) as writer:
        while not checkpoint.steps(folder):
            assert writer.poll() is None, "the writer ended"
            time.sleep(0.01)

        def act(number: int) -> None:
            check_restore(folder, like)
            seen.update(checkpoint.steps(folder))
            assert writer.poll() is None, "the writer ended"

        try:
            counted = repeat(num, act)
        finally:
            writer.kill()
    return counted | {"different_steps_seen": len(seen)}


def save_forever(folder: Path) -> None:
    like, step = make_states()[0], 0
    while True:
        checkpoint.save(folder, state_at(like, step), keep=1).result()
        step += 1


def endure_readers(folder: Path, num: int) -> dict:
    """Saves `num` times while two threads restore."""
    like, ended, counts, errors = make_states()[0], threading.Event(), [0, 0], []
    checkpoint.save(folder, state_at(like, 0), keep=1).result()

    def read(index: int) -> None:
        try:
            while not ended.is_set():
                check_restore(folder, like)
                counts[index] += 1
        except BaseException as error:
            errors.append(error)

    def act(number: int) -> None:
        checkpoint.save(folder, state_at(like, number + 1), keep=1).result()
        assert not errors, errors[0]

    threads = [threading.Thread(target=read, args=[index]) for index in range(2)]
    for thread in threads:
        thread.start()
    try:
        counted = repeat(num, act)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not errors, errors[0]
    return counted | {"restores": sum(counts)}


def endure_training(folder: Path, num: int) -> dict:
    """Trains for `num` epochs of one step, and saves after each epoch."""
    gan, images = make_gan(), jnp.zeros((8, 4, 4, 1))
    state, update = gan.init(jax.random.key(0), images), jax.jit(gan.update)

    def act(number: int) -> None:
        nonlocal state
        state, metrics = update(state, images)
        checkpoint.save(folder, state, keep=3).result()
        records = {"epoch": number, **{name: float(value) for name, value in metrics.items()}}
        runs.write_log(folder / "log.jsonl", [records] * 10)

    counted = repeat(num, act)
    assert same(checkpoint.restore(folder, like=state), state), "WRONG VALUES"
    return counted


FORMS = {"restores": endure_writer, "saves": endure_readers, "epochs": endure_training}


def torture(folder: Path, numbers: dict[str, int]) -> dict:
    """Runs each form with its number of cases."""
    warnings.simplefilter("error", UserWarning)  # of an older checkpoint
    return {name: FORMS[name](folder / name, num) for name, num in numbers.items() if num}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--restores", type=int, default=10_000, help="(default: 10,000)")
    parser.add_argument("--saves", type=int, default=1000, help="(default: 1000)")
    parser.add_argument("--epochs", type=int, default=1000, help="(default: 1000)")
    parser.add_argument("--save-below", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="a JSON file (default: none)")
    args, clock = parser.parse_args(), time.perf_counter()
    if args.save_below:
        save_forever(args.save_below)
    with tempfile.TemporaryDirectory() as folder:
        counted = torture(Path(folder), {name: getattr(args, name) for name in FORMS})
    leaks = any(form["new_files"] for form in counted.values())
    about = {"command": shlex.join(["python", *sys.argv]), **jaxgan.environment()}
    counted |= {"seconds": time.perf_counter() - clock, **about}
    print(json.dumps(counted, indent=2))
    if args.output:
        args.output.write_text(json.dumps(counted) + "\n")
    sys.exit(leaks)


if __name__ == "__main__":
    main()
