"""Measures how much reading time `streaming.stream` hides behind training.

    python benchmarks/input_pipeline.py --json benchmarks/results/input_pipeline.json
    python benchmarks/input_pipeline.py --data-dir ~/tensorflow_datasets   # with mnist

There are three sources of chunks. The first waits as long as training takes, like a slow disk or
network. The second reads records in host memory, and with `--data-dir` a third reads
tensorflow-datasets. The script times reading with transfer alone, reading and training in turn,
and both at once. The hidden part is (in turn - at once) / min(reading, training) in the same round.
A value of 1 means that the shorter of the two is fully hidden. Reading the first chunk of a run
cannot be hidden.
"""

import argparse
import functools
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import harness
import jax
import jax.numpy as jnp
import numpy as np
import step_time

import jaxgan
from jaxgan import streaming
from jaxgan.images import normalize

COLUMNS = {
    "ms/chunk": ("median_ms", ".1f"),
    "min": ("min_ms", ".1f"),
    "max": ("max_ms", ".1f"),
    "ratio": ("ratio", ".2f"),
    "hidden": ("hidden", ".0%"),
}
WAYS = ("reading", "in turn", "at once")


def slow(chunk: np.ndarray, seconds: float) -> Iterator[np.ndarray]:
    """Yields the chunk endlessly, each time after a wait that leaves the processor idle."""
    while True:
        time.sleep(seconds)
        yield chunk


def transfer(chunk: np.ndarray) -> jax.Array:
    """Copies the chunk to the device, as `stream` does."""
    return jax.block_until_ready(jax.device_put(np.array(chunk)))


def arms(
    name: str, source: Iterator[np.ndarray], train: Callable, state: Any, num: int
) -> list[harness.Arm]:
    """Returns an arm for each way to read `num` chunks from an endless source; donates `state`."""

    def read() -> None:
        for chunk in itertools.islice(source, num):
            transfer(chunk)

    def in_turn(state: Any) -> Any:
        for chunk in itertools.islice(source, num):
            state = jax.block_until_ready(train(state, transfer(chunk))[0])
        return state

    def at_once(state: Any) -> Any:
        chunks = itertools.islice(source, num)
        for trained, _ in streaming.stream(train, state, chunks):  # noqa: B007
            pass
        return trained

    copy = jax.tree.map(jnp.copy, state)
    runs = (read, step_time.rerun(in_turn, state), step_time.rerun(at_once, copy))
    return [harness.Arm(f"{name}, {way}", run, num) for way, run in zip(WAYS, runs, strict=True)]


def resident_arms(
    gan: jaxgan.GAN, images: np.ndarray, train: Callable, make_state: Callable, num: int
) -> list[harness.Arm]:
    """Returns arms that train without reading: by chunk, in one program, and by step."""
    chunk, whole = jnp.asarray(images[: len(images) // num]), jnp.asarray(images)

    def chunk_by_chunk(state: Any) -> Any:
        for _ in range(num):
            state = jax.block_until_ready(train(state, chunk)[0])
        return state

    one_program = step_time.rerun(lambda state: train(state, whole)[0], make_state())
    step_by_step = step_time.step_arm(gan, images, step_time.BATCH)
    return [
        harness.Arm("training alone", step_time.rerun(chunk_by_chunk, make_state()), num),
        harness.Arm("all on the device, one program", one_program, num),
        step_by_step._replace(name="one jit call a step, host batches", steps=num),
    ]


def sources(images: np.ndarray, size: int, data_dir: Path | None, seconds: float) -> dict:
    """Returns endless sources of chunks, by name."""
    read = functools.partial(streaming.chunks, size=size, key=jax.random.key(1))
    found = {
        "waiting": slow(images[:size], seconds),
        "memory": read([{"image": image} for image in images]),
    }
    if data_dir is not None:
        import tensorflow_datasets as tfds

        found["tfds"] = read(tfds.data_source("mnist", split="train", data_dir=data_dir))
    return found


def explain(rows: list[dict]) -> None:
    """Adds milliseconds to each row, and the hidden part to the rows of `stream`."""
    rounds = {row["name"]: row["rounds_us"] for row in rows}
    for row in rows:
        row |= {f"{name}_ms": row[f"{name}_us"] / 1e3 for name in ("median", "min", "max")}
        source, _, way = row["name"].partition(", ")
        if way == WAYS[-1]:
            each = [rounds[f"{source}, {way}"] for way in WAYS]
            row["hidden"] = statistics.median(
                (in_turn - at_once) / min(reading, training)
                for training, reading, in_turn, at_once in zip(
                    rounds["training alone"], *each, strict=True
                )
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--chunks", type=int, default=8, help="chunks per round")
    parser.add_argument("--size", type=int, default=10_000, help="images per chunk")
    parser.add_argument("--data-dir", type=Path, help="folder of tensorflow-datasets with mnist")
    parser.add_argument("--quick", action="store_true", help="a smoke test: two steps, one round")
    parser.add_argument("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.chunks, args.size = 1, 2, step_time.BATCH

    shape = (args.chunks * args.size, 28, 28, 1)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    gan = step_time.recipe()
    epochs = functools.partial(jaxgan.training.epochs, gan, batch_size=step_time.BATCH)
    train = jax.jit(epochs, donate_argnums=0)
    make_state = functools.partial(gan.init, jax.random.key(0), normalize(images[:1]))

    timed = resident_arms(gan, images, train, make_state, args.chunks)
    timed[0].run()  # compiles
    seconds = harness.timed(timed[0].run)[1] / args.chunks
    for name, source in sources(images, args.size, args.data_dir, seconds).items():
        timed += arms(name, source, train, make_state(), args.chunks)
    rows = harness.round_robin(timed, args.rounds)
    explain(rows)
    about = {"batch_size": step_time.BATCH, "waiting_seconds": seconds, "chunk_size": args.size}
    harness.report(rows, args.json, COLUMNS, rounds=args.rounds, chunks=args.chunks, **about)


if __name__ == "__main__":
    main()
