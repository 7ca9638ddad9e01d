"""Measures 50 epochs of the MNIST GAN, and counts the kernels of a training step.

    python benchmarks/whole_run.py --json benchmarks/results/whole_run_cpu.json

Times the whole run as one program, and as a one-epoch program called 50 times. Counts the kernels
of a step in the compiled program. With `--xla`, also times the whole run with XLA's options for a
GPU, one of which captures loops in CUDA graphs.
"""

import argparse
import functools
import re
from pathlib import Path

import harness
import jax
import jax.numpy as jnp
import numpy as np
import step_time
from step_time import BATCH

import jaxgan
from jaxgan.images import normalize

# Instructions without a kernel: bookkeeping, and names for parts of memory.
FREE = {
    "parameter",
    "get-tuple-element",
    "tuple",
    "bitcast",
    "constant",
    "after-all",
    "call",
    "while",
    "conditional",
}


def count_kernels(program: str) -> dict[str, int]:
    """Counts the kernels in the largest loop body of a compiled program, by instruction.

    Args:
      program: HLO text from `compiled.as_text()`.

    Returns:
      The number of kernels by instruction, including computations that the body calls.
    """
    bodies = dict(re.findall(r"^(?:ENTRY )?%?([\w.\-]+) [^\n]*\{\n(.*?)^\}", program, re.M | re.S))

    @functools.cache
    def kinds(name: str) -> tuple[str, ...]:
        found: list[str] = []
        for line in bodies.get(name, "").splitlines():
            if not (match := re.search(r" = .*? ([a-z][\w\-]*)\(", line)):
                continue
            if match[1] not in FREE:
                found.append(match[1])
            elif called := re.search(r"branch_computations=\{(.*?)\}|to_apply=([^\s,]+)", line):
                # Of a conditional, count the branch with the most kernels.
                names = re.findall(r"[\w.\-]+", called[1] or called[2])
                longest: tuple[str, ...] = max(map(kinds, names), key=len)
                found += longest
        return tuple(found)

    loops = re.findall(r"body=%?([\w.\-]+)", program)
    step = max((kinds(name) for name in loops), key=len, default=())
    return {kind: step.count(kind) for kind in sorted(set(step))}


def arms(
    gan: jaxgan.GAN, images: np.ndarray, epochs: int, xla: bool = False
) -> tuple[list[harness.Arm], str]:
    """Returns arms for one program and for a one-epoch program, and the HLO text of the latter."""
    steps = epochs * (len(images) // BATCH)
    state = gan.init(jax.random.key(0), normalize(images[:1]))
    on_device = jnp.asarray(images)

    def lower(num_epochs: int) -> jax.stages.Lowered:
        train = functools.partial(
            jaxgan.training.epochs, gan, num_epochs=num_epochs, batch_size=BATCH
        )
        run = jax.jit(lambda state, images: train(state, images)[0], donate_argnums=0)
        return run.lower(state, on_device)

    lowered = lower(epochs)
    whole, whole_seconds = harness.timed(lowered.compile)
    epoch, epoch_seconds = harness.timed(lower(1).compile)

    def one_by_one(state, images):
        for _ in range(epochs):
            state = epoch(state, images)
        return state

    copy, other = (jax.tree.map(jnp.copy, state) for _ in range(2))
    found = [
        harness.Arm("one program", step_time.rerun(whole, state, on_device), steps, whole_seconds),
        harness.Arm(
            "a program an epoch", step_time.rerun(one_by_one, copy, on_device), steps, epoch_seconds
        ),
        *(step_time.xla_arms(lowered, (other, on_device), steps) if xla else ()),
    ]
    return found, epoch.as_text()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--images", type=int, default=60_000, help="number of images; 100 per step")
    parser.add_argument("--xla", action="store_true", help="also time XLA's options for a GPU")
    parser.add_argument("--quick", action="store_true", help="a smoke test: two steps, one round")
    parser.add_argument("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.epochs, args.images = 1, 2, 2 * BATCH

    shape = (args.images, 28, 28, 1)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    timed, program = arms(step_time.recipe(), images, args.epochs, args.xla)
    rows = harness.round_robin(timed, args.rounds, warm_up=args.rounds > 1)
    for row in harness.succeeded(rows):
        row["seconds"] = row["median_us"] * row["steps"] / 1e6
        print(f"{row['name']}: {row['seconds']:.2f} s for {row['steps']} steps")
    kernels = count_kernels(program)
    print(f"{sum(kernels.values())} kernels per step: {kernels}")
    harness.report(
        rows,
        args.json,
        batch_size=BATCH,
        rounds=args.rounds,
        kernels_a_step=kernels,
    )


if __name__ == "__main__":
    main()
