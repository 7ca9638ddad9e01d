"""Counts what a training step launches on an H100. Needs no GPU.

    pip install 'jax[cuda13]'
    python benchmarks/gpu_program.py --json benchmarks/results/gpu_program.json
    python benchmarks/gpu_program.py --only "MNIST GAN" --options "concurrent graphs" "no split-K"

XLA compiles for the description of a GPU, without a GPU or its driver. Per step, counts:

- kernels, copies and library calls ("kernels"), and those inside of loops of the step ("inner");
- kernels of a single block, which use one of 132 multiprocessors ("1 block");
- launches by the host, which launches a CUDA graph at once ("launches");
- kernels that must run one after another ("chain");
- megabytes that kernels read and write, without caches ("MB"), and memory for temporary arrays of
  the whole program ("temp MB");
- loops whose number of turns XLA does not know, and conditionals, outside of CUDA graphs in the
  whole program ("waits"). The host waits for the device before each turn or branch.

A loop of unknown length counts as one turn. XLA does not tune products and convolutions here, so
that their tiles, and what XLA fuses with them, can differ from those on a GPU.
"""

import argparse
import collections
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import gpu_thunks
import h100
import harness
import hlo
import jax
import jax.numpy as jnp
import step_time
from gpu_thunks import Thunk

import jaxgan

COLUMNS = {
    "kernels": ("kernels", "d"),
    "inner": ("inner_kernels", "d"),
    "1 block": ("single_block", "d"),
    "launches": ("host_launches", "d"),
    "chain": ("longest_chain", "d"),
    "MB": ("megabytes", ".1f"),
    "temp MB": ("temp_megabytes", ".1f"),
    "waits": ("host_waits", "d"),
}
SHAPE = (32, 32, 1)  # of the images of convolutional networks


class Program(NamedTuple):
    """Holds a function to compile.

    Args:
      function: the function. Its first argument is donated.
      args: its arguments, or their shapes and dtypes.
      steps: the number of turns of its loop over steps; if 1, all of it is one step.
    """

    function: Callable
    args: tuple
    steps: int = 1


def training(
    gan: jaxgan.GAN,
    shape: tuple[int, ...],
    batch_size: int,
    steps: int,
    num_epochs: int = 1,
    metrics: bool = False,
) -> Program:
    """Returns a program that trains for `num_epochs` epochs of `steps` steps."""
    example = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    images = jax.ShapeDtypeStruct((batch_size * steps, *shape), jnp.uint8)
    state = jax.eval_shape(gan.init, jax.random.key(0), example)

    def train(state, images):
        trained = jaxgan.training.epochs(
            gan, state, images, batch_size=batch_size, num_epochs=num_epochs
        )
        return trained if metrics else trained[0]

    return Program(train, (state, images), steps)


def mnist(steps: int = 600, **options: Any) -> Program:
    return training(step_time.recipe(), (28, 28, 1), step_time.BATCH, steps, **options)


def products(steps: int = 600) -> Program:
    return Program(*step_time.products(steps), steps)


def population(steps: int = 600, members: int = 64) -> Program:
    one = mnist(steps)
    state, images = one.args
    states = jax.tree.map(lambda x: jax.ShapeDtypeStruct((members, *x.shape), x.dtype), state)
    return one._replace(function=jax.vmap(one.function, (0, None)), args=(states, images))


def dcgan(steps: int = 100, **changes: Any) -> Program:
    """Returns an epoch of DCGAN in bfloat16, with other arguments of `jaxgan.gan`."""
    return training(step_time.dcgan(SHAPE, jnp.dtype(jnp.bfloat16), **changes), SHAPE, 256, steps)


def sngan(steps: int = 100) -> Program:
    generator = jaxgan.networks.SNGANGenerator(SHAPE, dtype=jnp.bfloat16)
    discriminator = jaxgan.networks.SNGANDiscriminator(dtype=jnp.bfloat16)
    return dcgan(
        steps, generator=generator, discriminator=discriminator, loss=jaxgan.losses.hinge()
    )


PROGRAMS: dict[str, Callable[..., Program]] = {
    "MNIST GAN": mnist,
    "MNIST GAN, with metrics": functools.partial(mnist, metrics=True),
    "products alone": products,
    "50 epochs": functools.partial(mnist, num_epochs=50),
    "64 members": population,
    "DCGAN": dcgan,
    "DCGAN, R1": functools.partial(dcgan, penalty=jaxgan.penalties.r1()),
    "DCGAN, ADA": functools.partial(
        dcgan, augmentation=jaxgan.augment.adaptive(jaxgan.augment.ada())
    ),
    "SN-GAN": sngan,
}
"""Functions that return a program, given the number of steps, by name."""

OPTIONS = {"50 epochs": ["graphs with loops"], "DCGAN": ["graphs with convolutions"]}
"""The options of XLA (of `step_time.XLA_OPTIONS`) that are always compared for a program."""


def figures(device: jax.Device, program: Program, options: dict) -> dict[str, Any]:
    """Returns the counts of a step of a program, and describes the program's loops."""
    compiled, dumps = h100.compile_for(device, program.function, program.args, options)
    text, memory = hlo.Program(compiled.as_text() or ""), compiled.memory_analysis()
    loops = list(text.loops())
    before, after = (gpu_thunks.parse(dump, [loop.trips for loop in loops]) for dump in dumps)
    turns = [gpu_thunks.kernels(loop.turn) for loop in gpu_thunks.loops(before)]
    return {
        **count(text, before, after, program.steps),
        "temp_megabytes": memory.temp_size_in_bytes / 1e6 if memory else None,
        "host_waits": gpu_thunks.host_waits(after),
        "loops": [
            {"source": loop.source, "turns": loop.trips, "kernels_a_turn": len(turn)}
            for loop, turn in zip(loops, turns, strict=True)
        ],
    }


def count(text: hlo.Program, before: list[Thunk], after: list[Thunk], steps: int) -> dict[str, Any]:
    """Returns the counts of a step."""
    name, body, launches = find_step(text, before, after, steps)
    kernels = gpu_thunks.kernels(body)
    return {
        "kernels": len(kernels),
        "inner_kernels": len(kernels) - sum(not thunk.parts for thunk in body),
        "single_block": sum(kernel.grid == "1, 1, 1" for kernel in kernels),
        "host_launches": launches,
        "longest_chain": text.chain(name),
        "megabytes": text.traffic(name) / 1e6,
        "kinds": ranked(kernel.work for kernel in kernels),
        "sources": ranked(kernel.part for kernel in text.kernels(name)),
    }


def find_step(
    text: hlo.Program, before: list[Thunk], after: list[Thunk], steps: int
) -> tuple[str, list[Thunk], int]:
    """Returns a step's computation, its thunks before CUDA graphs, and the launches after.

    The step is the body of the largest loop with `steps` turns.
    """
    if steps == 1:
        return text.entry, before, gpu_thunks.launches(after)
    every = zip(text.loops(), *map(gpu_thunks.loops, (before, after)), strict=True)
    found = [three for three in every if three[0].trips == steps]
    loop, thunk, later = max(found, key=lambda three: len(gpu_thunks.kernels(three[1].turn)))
    launches = 0 if gpu_thunks.in_graph(later, after) else gpu_thunks.launches(later.turn)
    return loop.called[-1], thunk.turn, launches


def ranked(names: Iterable[str]) -> dict[str, int]:
    return dict(collections.Counter(names).most_common())


def rows_of(device: jax.Device, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Compiles the chosen programs, each without and with options of XLA."""
    rows = []
    for name in (name for name in PROGRAMS if args.only is None or name in args.only):
        program = PROGRAMS[name](2) if args.quick else PROGRAMS[name]()
        for how in dict.fromkeys([None, *OPTIONS.get(name, ()), *args.options]):
            row = {"name": f"{name}, {how}" if how else name}
            try:
                row |= figures(device, program, step_time.XLA_OPTIONS[how] if how else {})
            except jax.errors.JaxRuntimeError as error:  # such as an unknown option
                row["error"] = str(error).splitlines()[0]
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, options = parser.add_argument, step_time.XLA_OPTIONS
    add("--only", nargs="+", choices=PROGRAMS, metavar="PROGRAM", help=", ".join(PROGRAMS))
    add("--options", nargs="+", choices=options, default=[], metavar="NAME", help="of XLA")
    add("--quick", action="store_true", help="a smoke test: two steps")
    add("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    device = h100.describe()
    rows = rows_of(device, args)
    harness.report(rows, args.json, COLUMNS, compiled_for=device.device_kind)
    for row in harness.succeeded(rows):
        print(f"{row['name']}: " + ", ".join(f"{n} {kind}" for kind, n in row["kinds"].items()))


if __name__ == "__main__":
    main()
