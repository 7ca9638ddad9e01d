"""Measures a training step with other batch sizes, widths and image sizes.

    python benchmarks/scaling.py --json benchmarks/results/scaling.json
    python benchmarks/scaling.py --dcgan --json benchmarks/results/scaling_dcgan.json

Times steps of the MNIST GAN in a scan, with one number changed at a time. With `--dcgan`, times
DCGAN with images of several sizes.
"""

import argparse
import functools
from pathlib import Path

import harness
import jax
import jax.numpy as jnp
import numpy as np
import step_time

import jaxgan
from jaxgan.images import normalize

RECIPE = {"batch": step_time.BATCH, "width": step_time.WIDTH, "pixels": 28}
CHANGES = {"batch": (25, 50, 200, 400, 800), "width": (64, 256, 512), "pixels": (32, 64)}
DCGAN_BATCH, DCGAN_PIXELS = 64, (28, 32, 64)
COLUMNS = {**harness.COLUMNS, "us/image": ("us_an_image", ".2f")}


def mlp(width: int, pixels: int) -> jaxgan.GAN:
    features = (width, width)
    return step_time.recipe(
        generator=jaxgan.networks.MLPGenerator((pixels, pixels, 1), features),
        discriminator=jaxgan.networks.MLPDiscriminator(features),
    )


@functools.cache  # arms with the same image size share the images
def random_images(pixels: int) -> np.ndarray:
    shape = (1000, pixels, pixels, 1)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def arm(name: str, gan: jaxgan.GAN, pixels: int, batch: int, num_steps: int) -> harness.Arm:
    def train(state, images):
        steps = jaxgan.training.steps
        return steps(gan, state, images, num_steps=num_steps, batch_size=batch)[0]

    images = random_images(pixels)
    args = (jax.jit(gan.init)(jax.random.key(0), normalize(images[:1])), jnp.asarray(images))
    lowered = jax.jit(train, donate_argnums=0).lower(*args)
    return step_time.program_arm(name, lowered, args, num_steps)


def mlp_arms(num_steps: int, quick: bool) -> dict[harness.Arm, int]:
    """Returns arms and their batch sizes: first the recipe, then one changed number each."""
    settings = [RECIPE]
    for changed, values in CHANGES.items():
        settings += [{**RECIPE, changed: value} for value in values[: 1 if quick else None]]
    arms = {}
    for setting in settings:
        changes = [f"{name} {n}" for name, n in setting.items() if n != RECIPE[name]]
        name = ", ".join(changes) or "the recipe"
        gan = mlp(setting["width"], setting["pixels"])
        arms[arm(name, gan, setting["pixels"], setting["batch"], num_steps)] = setting["batch"]
    return arms


def dcgan_arms(num_steps: int, quick: bool) -> dict[harness.Arm, int]:
    batch, sizes = (2, (8, 16)) if quick else (DCGAN_BATCH, DCGAN_PIXELS)
    arms = {}
    for pixels in sizes:
        gan = step_time.dcgan((pixels, pixels, 1), jnp.dtype(jnp.float32))
        arms[arm(f"DCGAN, pixels {pixels}", gan, pixels, batch, num_steps)] = batch
    return arms


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, help="steps per round (default: 100; 2 with --dcgan)")
    parser.add_argument("--dcgan", action="store_true", help="time DCGAN with several image sizes")
    parser.add_argument("--quick", action="store_true", help="a smoke test: two steps, one round")
    parser.add_argument("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    args.steps = args.steps or (2 if args.dcgan else 100)
    if args.quick:
        args.steps, args.rounds = 2, 1

    arms = (dcgan_arms if args.dcgan else mlp_arms)(args.steps, args.quick)
    rows = harness.round_robin(list(arms), args.rounds)
    for row, batch in zip(rows, arms.values(), strict=True):
        if "error" in row:
            continue
        row |= {"batch_size": batch, "us_an_image": row["median_us"] / batch}
    harness.report(rows, args.json, COLUMNS, recipe=RECIPE, rounds=args.rounds)


if __name__ == "__main__":
    main()
