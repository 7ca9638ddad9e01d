"""Measures convolutions on a CPU, in a loop and outside, with and without `channels_last`.

    python benchmarks/convolutions.py --json benchmarks/results/convolutions.json

Times the gradient of a strided convolution, a transposed convolution and `UpConv` of DCGAN (28
pixels, batch 64). Ratios are relative to the first arm, the strided convolution outside of a loop.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import cast

import flax.linen as nn
import harness
import jax
import jax.numpy as jnp

import jaxgan
from jaxgan.training import channels_last
from jaxgan.types import PyTree


def gradient_of(module: nn.Module, shape: tuple[int, ...]) -> tuple[Callable, jax.Array, PyTree]:
    """Returns a gradient step `(variables, x) -> variables`, its input and initial variables."""
    x = jax.random.normal(jax.random.key(0), shape)
    variables = module.init(jax.random.key(1), x)

    def loss(variables: PyTree, x: jax.Array) -> jax.Array:
        return jnp.mean(cast(jax.Array, module.apply(variables, x)) ** 2)

    def step(variables: PyTree, x: jax.Array) -> PyTree:
        grads = jax.grad(loss)(variables, x)
        return jax.tree.map(lambda p, g: p - 0.1 * g, variables, grads)

    return step, x, variables


def arm(
    name: str, step: Callable, x: jax.Array, variables: PyTree, steps: int | None
) -> harness.Arm:
    """Returns an arm that runs `steps` steps in a scan or, if None, one step outside of a loop."""

    def loop(variables: PyTree, x: jax.Array) -> PyTree:
        return jax.lax.scan(lambda v, _: (step(v, x), None), variables, length=steps)[0]

    lowered = jax.jit(step if steps is None else loop).lower(variables, x)
    compiled, seconds = harness.timed(lowered.compile)
    return harness.Arm(
        name, lambda: jax.block_until_ready(compiled(variables, x)), steps or 1, seconds
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5, help="steps per loop")
    parser.add_argument("--quick", action="store_true", help="a smoke test: two steps, one round")
    parser.add_argument("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    steps, rounds = (2, 1) if args.quick else (args.steps, args.rounds)
    batch, wide = (2, 4) if args.quick else (64, 64)

    starts: dict[str, tuple[Callable, jax.Array, dict]] = {}
    starts["strided"] = gradient_of(nn.Conv(2 * wide, (5, 5), strides=2), (batch, 14, 14, wide))
    starts["transposed"] = gradient_of(
        nn.ConvTranspose(wide, (5, 5), strides=(2, 2)), (batch, 7, 7, 2 * wide)
    )
    starts["UpConv"] = gradient_of(jaxgan.networks.UpConv(wide), (batch, 7, 7, 2 * wide))
    arms = []
    for name, (step, x, variables) in starts.items():
        arms.append(arm(name, step, x, variables, None))
        arms.append(arm(f"{name}, in a loop", step, x, variables, steps))
        last = channels_last(step)
        arms.append(arm(f"{name}, in a loop, channels_last", last, x, variables, steps))
    rows = harness.round_robin(arms, rounds)
    harness.report(rows, args.json, batch_size=batch, channels=wide, rounds=rounds)


if __name__ == "__main__":
    main()
