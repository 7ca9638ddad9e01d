"""Measures 50 epochs of the MNIST GAN, and counts the kernels of a training step.

    python benchmarks/whole_run.py --json benchmarks/results/whole_run_cpu.json

Times the whole run as one program, and as a one-epoch program called 50 times. Counts the kernels
of a step in the compiled program. With `--xla`, also times the whole run with XLA's options for a
GPU, one of which captures loops in CUDA graphs.
"""

import argparse
import collections
import functools
from pathlib import Path

import harness
import hlo
import jax
import jax.numpy as jnp
import numpy as np
import step_time
from step_time import BATCH

import jaxgan
from jaxgan.images import normalize


def count_kernels(program: str) -> dict[str, int]:
    """Counts the kernels in the largest loop body of a compiled program, by instruction.

    Args:
      program: HLO text from `compiled.as_text()`.

    Returns:
      The number of kernels by instruction. Includes a conditional's largest branch, and excludes
      loops inside of the body.
    """
    text = hlo.Program(program)
    steps = [text.kernels(loop.called[-1]) for loop in text.loops()]
    step = max(steps, key=len, default=[])
    return dict(sorted(collections.Counter(kernel.opcode for kernel in step).items()))


def lower(gan: jaxgan.GAN, images: np.ndarray, epochs: int) -> tuple[jax.stages.Lowered, tuple]:
    def run(state, images):
        train = functools.partial(jaxgan.training.epochs, num_epochs=epochs, batch_size=BATCH)
        return train(gan, state, images)[0]

    args = (gan.init(jax.random.key(0), normalize(images[:1])), jnp.asarray(images))
    return jax.jit(run, donate_argnums=0).lower(*args), args


def option_arms(images: np.ndarray, epochs: int, how: str) -> list[harness.Arm]:
    """Returns the arm of one program with one of XLA's options."""
    lowered, steps = lower(step_time.recipe(), images, epochs), epochs * (len(images) // BATCH)
    return [step_time.program_arm(f"jaxgan, {how}", *lowered, steps, step_time.XLA_OPTIONS[how])]


def arms(images: np.ndarray, epochs: int) -> tuple[list[harness.Arm], str]:
    """Returns arms for one program and for a one-epoch program, and the HLO text of the latter."""
    gan, steps = step_time.recipe(), epochs * (len(images) // BATCH)
    whole = step_time.program_arm("one program", *lower(gan, images, epochs), steps)
    lowered, args = lower(gan, images, 1)
    epoch, seconds = harness.timed(lowered.compile)

    def one_by_one(state, images):
        for _ in range(epochs):
            state = epoch(state, images)
        return state

    run = step_time.rerun(one_by_one, *args)
    return [whole, harness.Arm("a program an epoch", run, steps, seconds)], epoch.as_text()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--images", type=int, default=60_000, help="number of images; 100 per step")
    step_time.add_xla(parser)
    parser.add_argument("--quick", action="store_true", help="a smoke test: two steps, one round")
    parser.add_argument("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.epochs, args.images = 1, 2, 2 * BATCH

    shape = (args.images, 28, 28, 1)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    timed, program = arms(images, args.epochs)
    timed += step_time.xla_arms(args.xla, "whole_run", images, args.epochs)
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
