"""Measures how many images a generator makes per second.

    python benchmarks/sampling.py --json benchmarks/results/sampling.json

Times `gan.sample` under jit for several networks, dtypes and batch sizes. The time includes drawing
the latents. The images stay on the device.
"""

import argparse
from pathlib import Path

import harness
import jax
import jax.numpy as jnp
import step_time

import jaxgan

SHAPE = (28, 28, 1)
SIZES = {"mlp": (64, 1024, 8192), "dcgan": (64, 1024)}
COLUMNS = {
    "compile s": ("compile_seconds", ".2f"),
    "images/s": ("images_a_second", ",.0f"),
    "min": ("min_images_a_second", ",.0f"),
    "max": ("max_images_a_second", ",.0f"),
}


def make_gan(networks: str, dtype: jnp.dtype) -> jaxgan.GAN:
    if networks == "dcgan":
        return step_time.dcgan(SHAPE, dtype)
    features = (step_time.WIDTH, step_time.WIDTH)
    return step_time.recipe(generator=jaxgan.networks.MLPGenerator(SHAPE, features, dtype))


def arm(name: str, gan: jaxgan.GAN, batch: int, dtype: jnp.dtype, calls: int) -> harness.Arm:
    def sample(state, key):
        return gan.sample(state, jax.random.normal(key, (batch, step_time.LATENT_DIM), dtype))

    keys = list(jax.random.split(jax.random.key(1), calls))
    state = jax.jit(gan.init)(jax.random.key(0), jnp.zeros((1, *SHAPE), dtype))
    lowered = jax.jit(sample).lower(state, keys[0])
    compiled, seconds = harness.timed(lowered.compile)

    def run() -> None:
        for key in keys:
            jax.block_until_ready(compiled(state, key))

    return harness.Arm(name, run, calls, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--images", type=int, default=8192, help="images per round, at least one batch"
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test: two calls, one round")
    parser.add_argument("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    sizes = {"mlp": (4,), "dcgan": (2,)} if args.quick else SIZES
    rounds = 1 if args.quick else args.rounds

    arms, batches = [], []
    for networks, of_network in sizes.items():
        for dtype in (jnp.dtype(jnp.float32), jnp.dtype(jnp.bfloat16)):
            gan = make_gan(networks, dtype)
            for batch in of_network:
                calls = 2 if args.quick else max(1, args.images // batch)
                name = f"{networks}, {dtype}, batch {batch}"
                arms.append(arm(name, gan, batch, dtype, calls))
                batches.append(batch)
    rows = harness.round_robin(arms, rounds)
    for row, batch in zip(rows, batches, strict=True):
        if "error" in row:
            continue
        row |= {
            "batch_size": batch,
            "images_a_second": batch * 1e6 / row["median_us"],
            "min_images_a_second": batch * 1e6 / row["max_us"],
            "max_images_a_second": batch * 1e6 / row["min_us"],
        }
    harness.report(rows, args.json, COLUMNS, images=args.images, rounds=rounds)


if __name__ == "__main__":
    main()
