"""Counts the memory of a training program, and the communication between devices, without running.

    python benchmarks/footprint.py --json benchmarks/results/footprint_cpu.json
    python benchmarks/footprint.py --networks dcgan

Compiles an epoch of the MNIST GAN for several datasets, populations and batch sizes. The arrays do
not exist, so the largest programs can exceed this machine's memory. Fits a line to the bytes of
each dimension, estimates the largest size that fits a card of `--capacity` GB, and compiles it.
Compiles an update with its batch split over 2, 4 and 8 devices, and counts the bytes that they
exchange. The figures do not depend on the load of the machine.
"""

import argparse
import contextlib
import functools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fits
import harness
import jax
import jax.numpy as jnp
import numpy as np
import step_time
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxgan

NUM_IMAGES, BATCH, PIXELS, MAX_DEVICES = 60_000, 100, 28, 8
SIZES = {
    "image of a batch": (100, 1000, 10_000, 100_000),
    "image of the dataset": (10_000, 100_000, 1_000_000, 10_000_000),
    "member, vmap": (2, 8, 32, 128),
    "member, one after the other": (2, 8, 32, 128),
}
COLUMNS = {
    f"{name} MB": (f"{name}_mb", ",.2f") for name in ("arguments", "temporary", "outputs", "total")
}
FITS = {
    "fixed MB": ("fixed_mb", ",.2f"),
    "each kB": ("each_kb", ",.2f"),
    "deviation %": ("deviation_percent", ".2f"),
    "largest": ("largest", ",d"),
    "needs GB": ("largest_gb", ".2f"),
}
EXCHANGED = {
    "bytes a step": ("bytes", ",d"),
    "gradients": ("gradient_bytes", ",d"),
}
COLLECTIVE = re.compile(
    r"= (.+?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(-start)?\("
)
ARRAY = re.compile(r"\b(pred|[a-z]+(\d+)\w*)\[([\d,]*)\]")  # such as f32[128,784]


def abstract_state(gan: jaxgan.GAN) -> jaxgan.TrainState:
    """Returns the shapes and dtypes of the state, without computing it."""
    image = jax.ShapeDtypeStruct((1, PIXELS, PIXELS, 1), jnp.float32)
    return jax.eval_shape(gan.init, jax.random.key(0), image)


def lower_steps(gan: jaxgan.GAN, dimension: str, size: int) -> jax.stages.Lowered:
    """Lowers an epoch of the recipe with one number changed.

    A larger batch needs a larger dataset: here, each batch has all images of the dataset.
    """
    state, batch, num_images = abstract_state(gan), BATCH, NUM_IMAGES
    if "image" in dimension:
        batch, num_images = size if "batch" in dimension else BATCH, size
    steps = max(10, num_images // batch)
    train = functools.partial(jaxgan.training.steps, gan, num_steps=steps, batch_size=batch)
    function: Callable = train
    if "member" in dimension:
        state = jax.tree.map(lambda x: jax.ShapeDtypeStruct((size, *x.shape), x.dtype), state)
        function = jax.vmap(train, in_axes=(0, None))
        if "after" in dimension:
            function = lambda states, images: jax.lax.map(lambda x: train(x, images), states)
    images = jax.ShapeDtypeStruct((num_images, PIXELS, PIXELS, 1), jnp.uint8)
    return jax.jit(function, donate_argnums=0).lower(state, images)


def memory_row(gan: jaxgan.GAN, dimension: str, size: int) -> dict[str, Any]:
    found = jaxgan.compilation.memory(lower_steps(gan, dimension, size).compile())
    assert found is not None, "XLA does not report memory for this device"
    parts = {**found._asdict(), "total": found.total}
    shown = {f"{name}_mb": num / 1e6 for name, num in parts.items()}
    return {"name": f"{size:,} x {dimension}", "size": size} | parts | shown


def memory_fit(dimension: str, rows: list[dict[str, Any]], capacity: float) -> dict[str, Any]:
    """Fits a line to the bytes of a dimension, and finds the size at which it has the capacity."""
    totals = np.array([row["total"] for row in rows])
    fitted = fits.line([row["size"] for row in rows], totals, relative=True)
    return {
        "name": dimension,
        "fixed_mb": fitted.intercept / 1e6,
        "each_kb": fitted.slope / 1e3,
        "deviation_percent": 100 * float(np.abs(fitted.residuals / totals).max()),
        "largest": int((capacity - fitted.intercept) // fitted.slope),
    }


def memory(gan: jaxgan.GAN, args: argparse.Namespace) -> tuple[list[dict], list[dict]]:
    """Returns a row for each size, and a fit for each dimension."""
    rows, fitted = [], []
    for dimension in args.only or SIZES:
        sizes = SIZES[dimension][: 2 if args.quick else None]
        found = [memory_row(gan, dimension, size) for size in sizes]
        fit = memory_fit(dimension, found, args.capacity * 1e9)
        if not args.quick:  # checks the estimate
            # On a GPU, the compiler may run out of memory when it compares algorithms.
            with contextlib.suppress(jax.errors.JaxRuntimeError):
                fit["largest_gb"] = memory_row(gan, dimension, fit["largest"])["total"] / 1e9
        rows += found
        fitted.append(fit)
    return rows, fitted


def exchanged_bytes(program: str | None) -> dict[str, int]:
    """Sums the bytes of the results of each kind of collective operation in a program's text.

    On a GPU, the type of an operation that starts is a tuple of its operands and its results.
    """
    found: dict[str, int] = {}
    for whole, kind, starts in COLLECTIVE.findall(program or ""):
        types = whole.partition("), ")[2] if starts and whole.startswith("((") else whole
        for dtype, bits, shape in ARRAY.findall(types):
            size = 1 if dtype == "pred" else int(bits) // 8
            num = math.prod(int(n) for n in shape.split(",") if n)
            found[kind] = found.get(kind, 0) + size * num
    return found


def communication_row(gan: jaxgan.GAN, num_devices: int) -> dict[str, Any]:
    """Compiles an update whose batch is split over devices, each with the whole state."""
    mesh = Mesh(np.array(jax.devices()[:num_devices]), ("data",))
    whole, split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
    batch = jax.ShapeDtypeStruct((128, PIXELS, PIXELS, 1), jnp.float32)
    update = jax.jit(gan.update, in_shardings=(whole, split), out_shardings=whole)
    found = exchanged_bytes(update.lower(abstract_state(gan), batch).compile().as_text())
    row = {"name": f"{num_devices} devices", "size": num_devices, "bytes": sum(found.values())}
    return row | {"gradient_bytes": gradient_bytes(gan), "kinds": found}


def gradient_bytes(gan: jaxgan.GAN) -> int:
    """Counts the gradients of a step: the discriminator's, twice, and the generator's.

    The discriminator has separate gradients for real and for fake images.
    """
    params = abstract_state(gan).params
    discriminator, generator = (
        sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
        for tree in (params.discriminator, params.generator)
    )
    return 2 * discriminator + generator


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--networks", choices=("mlp", "dcgan"), default="mlp")
    add("--only", nargs="*", choices=SIZES, metavar="NAME", help=f"some of {list(SIZES)}")
    add("--capacity", type=float, default=80, help="memory of the card in GB (default: 80)")
    add("--quick", action="store_true", help="a smoke test: two sizes of each dimension")
    add("--json", type=Path, help="the JSON file to write")
    return parser.parse_args()


def main() -> None:
    args = parse()
    with contextlib.suppress(RuntimeError):  # another function of this process uses its devices
        jax.config.update("jax_num_cpu_devices", MAX_DEVICES)
    shape, dtype = (PIXELS, PIXELS, 1), jnp.dtype(jnp.float32)
    gan = step_time.recipe() if args.networks == "mlp" else step_time.dcgan(shape, dtype)
    rows, fitted = memory(gan, args)
    counts = [n for n in (2, 4, MAX_DEVICES) if n <= jax.device_count()]
    exchanged = [communication_row(gan, n) for n in counts]
    harness.print_table(fitted, FITS)
    harness.print_table(exchanged, EXCHANGED)
    about = {"networks": args.networks, "capacity_gb": args.capacity, "fits": fitted}
    harness.report(rows, args.json, COLUMNS, **about, communication=exchanged)


if __name__ == "__main__":
    main()
