"""Measures the seconds that programs take to trace and lower, and to compile.

    python benchmarks/compile_time.py --json benchmarks/results/compile_time.json

Times `update`, an epoch, and an epoch of eight members under `jax.vmap`, for the MNIST GAN and for
DCGAN. No result comes from a cache.
"""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import jax
import jax.numpy as jnp
import step_time

import jaxgan

SHAPE, NUM_IMAGES, MEMBERS = (28, 28, 1), 1000, 8
COLUMNS = {name: (f"{name}_seconds", ".2f") for name in ("median", "min", "max")}


def programs(name: str, gan: jaxgan.GAN, batch: int) -> dict[str, tuple[Callable, tuple]]:
    """Returns functions of a state and the shapes of their arguments, by name."""
    floats, pixels = (
        jax.ShapeDtypeStruct((num, *SHAPE), dtype)
        for num, dtype in ((batch, jnp.float32), (NUM_IMAGES, jnp.uint8))
    )
    state = jax.eval_shape(gan.init, jax.random.key(0), floats)
    states = jax.eval_shape(lambda s: jax.tree.map(lambda x: jnp.stack([x] * MEMBERS), s), state)
    epoch = functools.partial(jaxgan.training.epochs, gan, batch_size=batch)
    return {
        f"{name}, update": (gan.update, (state, floats)),
        f"{name}, an epoch": (epoch, (state, pixels)),
        f"{name}, an epoch of {MEMBERS}": (
            jax.vmap(epoch, in_axes=(0, None)),
            (states, pixels),
        ),
    }


def arms(name: str, function: Callable, shapes: tuple) -> list[harness.Arm]:
    """Returns an arm that traces and lowers, and an arm that compiles the result."""
    lowered: Any = None

    def lower() -> None:
        nonlocal lowered
        jax.clear_caches()
        lowered = jax.jit(function, donate_argnums=0).lower(*shapes)

    return [
        harness.Arm(f"{name}, trace and lower", lower, 1),
        harness.Arm(f"{name}, compile", lambda: lowered.compile(), 1),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="time only programs whose names start with this text")
    parser.add_argument("--quick", action="store_true", help="a smoke test: one round")
    parser.add_argument("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    rounds = 1 if args.quick else args.rounds
    jax.config.update("jax_enable_compilation_cache", False)

    dcgan = step_time.dcgan(SHAPE, jnp.dtype(jnp.float32))
    both = programs("mlp", step_time.recipe(), 100) | programs("dcgan", dcgan, 64)
    wanted = {name: both[name] for name in both if name.startswith(args.only or "")}
    rows = harness.round_robin(
        [arm for name in wanted for arm in arms(name, *wanted[name])], rounds
    )
    for row in rows:
        row |= {f"{name}_seconds": row[f"{name}_us"] / 1e6 for name in COLUMNS}
    harness.report(rows, args.json, COLUMNS, rounds=rounds)


if __name__ == "__main__":
    main()
