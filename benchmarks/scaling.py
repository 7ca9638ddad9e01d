"""Measures how the time of a training step grows with the work, and fits a power law to each size.

    python benchmarks/scaling.py --json benchmarks/results/scaling.json
    python benchmarks/scaling.py --dcgan --json benchmarks/results/scaling_dcgan.json

Times steps of the MNIST GAN in a scan, with one number changed at a time: batch size, width of the
networks, pixels of an image, and members of a population (`population.each`). Also times drawing
the batches' indices for datasets of up to 10 million images, which need not exist. With `--dcgan`,
times DCGAN with images of several sizes. An exponent of 1 means that the time is proportional to
the size, and 0 that the time does not depend on the size. `footprint.py` counts memory.
"""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import fits
import harness
import jax
import jax.numpy as jnp
import numpy as np
import step_time

import jaxgan
from jaxgan.images import normalize

RECIPE = {"batch": step_time.BATCH, "width": step_time.WIDTH, "side": 28, "members": 1}
SIZES = {
    "batch": (25, 50, 100, 200, 400, 800),
    "width": (64, 128, 256, 512),
    "side": (14, 28, 56, 112),
    "members": (1, 2, 4, 8, 16, 32),
    "dataset": (10_000, 100_000, 1_000_000, 10_000_000),
}
DCGAN_BATCH, DCGAN_SIDES = 64, (16, 32, 64)  # sides with 2, 3 and 4 convolutions
INDEX_STEPS = 1000  # steps of which a round draws the indices
FITS = {
    "from": ("from", ",d"),
    "to": ("to", ",d"),
    "exponent": ("exponent", ".3f"),
    "std. error": ("standard_error", ".3f"),
    "deviation %": ("deviation_percent", ".0f"),
    "last": ("last_exponent", ".3f"),
}


class Point(NamedTuple):
    """Names the arm of a size."""

    arm: str
    dimension: str
    size: int


def points(args: argparse.Namespace) -> list[Point]:
    """Returns the chosen sizes. The recipe, which is in several dimensions, comes first."""
    sizes = {"side": DCGAN_SIDES} if args.dcgan else SIZES
    found = []
    for dimension in [name for name in sizes if name in (args.only or sizes)]:
        for size in sizes[dimension][: 2 if args.quick else None]:
            is_recipe = not args.dcgan and RECIPE.get(dimension) == size
            name = "the recipe" if is_recipe else f"{dimension} {size:,}"
            found.append(Point(name, dimension, size))
    return sorted(found, key=lambda point: point.arm != "the recipe")


@functools.cache  # arms with the same image size share the images
def random_images(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1000, side, side, 1), dtype=np.uint8)


def training_arm(name: str, dcgan: bool, num_steps: int, **changes: int) -> harness.Arm:
    """Returns an arm of steps of the recipe with one number changed."""
    setting = RECIPE | changes
    batch, side = setting["batch"], setting["side"]
    gan = make_gan(dcgan, side, setting["width"])
    train = functools.partial(jaxgan.training.steps, gan, num_steps=num_steps, batch_size=batch)
    function: Callable = lambda state, images: train(state, images)[0]
    init, key, images = gan.init, jax.random.key(0), random_images(side)
    if setting["members"] > 1:
        function = jaxgan.population.each(function)
        init, key = jax.vmap(init, (0, None)), jax.random.split(key, setting["members"])
    args = (jax.jit(init)(key, normalize(images[:1])), jnp.asarray(images))
    lowered = jax.jit(function, donate_argnums=0).lower(*args)
    return step_time.program_arm(name, lowered, args, num_steps)


def make_gan(dcgan: bool, side: int, width: int) -> jaxgan.GAN:
    if dcgan:
        return step_time.dcgan((side, side, 1), jnp.dtype(jnp.float32))
    return step_time.recipe(
        generator=jaxgan.networks.MLPGenerator((side, side, 1), (width, width)),
        discriminator=jaxgan.networks.MLPDiscriminator((width, width)),
    )


def index_arm(name: str, num_images: int) -> harness.Arm:
    """Returns an arm that draws the indices of many steps, as `training.steps` does."""
    indices = functools.partial(
        jaxgan.training.batch_indices, num_images=num_images, batch_size=step_time.BATCH
    )

    def draw(key, first):
        return jax.vmap(lambda i: indices(key, i))(first + jnp.arange(INDEX_STEPS))

    args = (jax.random.key(0), jnp.int32(0))
    compiled, seconds = harness.timed(jax.jit(draw).lower(*args).compile)
    return harness.Arm(name, lambda: compiled(*args).block_until_ready(), INDEX_STEPS, seconds)


def make_arm(point: Point, dcgan: bool, num_steps: int) -> harness.Arm:
    if point.arm.startswith("dataset"):
        return index_arm(point.arm, point.size)
    changes = {point.dimension: point.size} | ({"batch": DCGAN_BATCH} if dcgan else {})
    return training_arm(point.arm, dcgan, num_steps, **changes)


def fit(rows: list[dict[str, Any]], found: list[Point]) -> list[dict[str, Any]]:
    """Returns the power law of the median time in each dimension that ran without an error."""
    times = {row["name"]: row["median_us"] for row in harness.succeeded(rows)}
    laws = []
    for dimension in SIZES:
        timed = [p for p in found if p.dimension == dimension and p.arm in times]
        if len(timed) < 2:
            continue
        power, name = (2, "pixels") if dimension == "side" else (1, dimension)
        pairs = sorted((point.size**power, times[point.arm]) for point in timed)
        laws.append({"name": name} | fits.power_law(*zip(*pairs, strict=True)))
    return laws


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, help="steps per round (default: 100; 2 with --dcgan)")
    parser.add_argument("--dcgan", action="store_true", help="time DCGAN with several image sizes")
    parser.add_argument("--only", nargs="*", choices=SIZES, help="the numbers to change")
    parser.add_argument("--quick", action="store_true", help="a smoke test: two steps, one round")
    parser.add_argument("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    args.steps = args.steps or (2 if args.dcgan else 100)
    if args.quick:
        args.steps, args.rounds = 2, 1
    return args


def main() -> None:
    args = parse()
    found = points(args)
    distinct = {point.arm: point for point in found}
    make = functools.partial(make_arm, dcgan=args.dcgan, num_steps=args.steps)
    arms = [harness.attempt(name, make, point) for name, point in distinct.items()]
    rows = harness.round_robin(arms, args.rounds)
    laws = fit(rows, found)
    harness.print_table(laws, FITS)
    harness.report(rows, args.json, recipe=RECIPE, rounds=args.rounds, fits=laws)


if __name__ == "__main__":
    main()
