"""Measures the cost of a population member, and how much of the machine a population uses.

    python benchmarks/population.py --json benchmarks/results/population_cpu.json
    python benchmarks/population.py --networks dcgan --members 1 2 4 --steps 2

Times steps of the MNIST GAN for 1, 2, 4 ... members under `jax.vmap`, and for the same members one
after another under `jax.lax.map`. Utilization is the floating-point speed of a step's matrix
products (MLP only), divided by the speed of a large product in the same rounds.
"""

import argparse
import functools
import itertools
from pathlib import Path

import harness
import jax
import jax.numpy as jnp
import numpy as np
import step_time
from step_time import BATCH, LATENT_DIM, PIXELS, WIDTH

import jaxgan
from jaxgan.images import normalize

SIDE = 4096  # rows and columns of the large matrices


def step_flops() -> int:
    """Counts floating-point operations of a member's step: 2 m n k per m x k by k x n product."""

    def macs(*sizes: int) -> list[int]:
        return [a * b for a, b in itertools.pairwise(sizes)]

    generator = macs(LATENT_DIM, WIDTH, WIDTH, PIXELS)
    discriminator = macs(PIXELS, WIDTH, WIDTH, 1)

    def trained(layers: list[int]) -> int:
        """Counts the forward pass, the weight gradients and, after layer 1, the input gradients."""
        return 3 * sum(layers) - layers[0]

    # The discriminator trains on real and fake images, and passes gradients to the generator.
    macs_an_image = 2 * trained(discriminator) + 2 * sum(discriminator) + trained(generator)
    return 2 * BATCH * macs_an_image


def population_arm(
    gan: jaxgan.GAN, images: np.ndarray, members: int, *, mapped: bool = False
) -> harness.Arm:
    keys = jax.random.split(jax.random.key(0), members)
    init = jax.jit(jax.vmap(gan.init, in_axes=(0, None)))
    states = init(keys, normalize(images[:1]))
    steps = len(images) // BATCH
    train = functools.partial(jaxgan.training.steps, gan, num_steps=steps, batch_size=BATCH)

    def run(states, images):
        if mapped:
            return jax.lax.map(lambda state: train(state, images)[0], states)
        return jax.vmap(train, in_axes=(0, None))(states, images)[0]

    args = (states, jnp.asarray(images))
    lowered = jax.jit(run, donate_argnums=0).lower(*args)
    return step_time.program_arm(arm_name(members, mapped), lowered, args, steps)


def arm_name(members: int, mapped: bool) -> str:
    how = "one after the other" if mapped else "vmap"
    return f"{members} member{'s' * (members > 1)}, {how}"


def product_arm(side: int) -> harness.Arm:
    """Returns an arm of large products, which measure peak speed at the default precision."""
    a = jax.random.normal(jax.random.key(0), (side, side)) / side**0.5

    def products(x, a):
        return jax.lax.fori_loop(0, 8, lambda _, x: x @ a, x)

    lowered = jax.jit(products, donate_argnums=0).lower(a, a)
    return step_time.program_arm(f"a product of {side} x {side}", lowered, (a + 0, a), 8)


def explain(rows: list[dict], counts: list[tuple[int, bool]], side: int, flops: int | None) -> None:
    """Adds the time per member and the utilization to each row, and prints them."""
    peak = None if "error" in rows[-1] else 2 * side**3 / rows[-1]["median_us"]
    for row, (members, mapped) in zip(rows, counts, strict=False):
        if "error" in row:
            continue
        a_member = row["median_us"] / members
        row |= {"members": members, "mapped": mapped, "us_a_member": a_member}
        line = f"{row['name']:38} {a_member:10.1f} us per member"
        if flops is not None and peak is not None:
            row["utilisation"] = flops / a_member / peak
            line += f" {row['utilisation']:7.1%}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = functools.partial(parser.add_argument, type=int)
    add("--members", nargs="*", default=[1, 2, 4, 8, 16, 32, 64, 128, 256])
    parser.add_argument("--networks", choices=("mlp", "dcgan"), default="mlp")
    add("--steps", default=20, help="steps per round")
    add("--rounds", default=5)
    parser.add_argument("--vmap-only", action="store_true", help="do not time lax.map")
    parser.add_argument("--quick", action="store_true", help="a smoke test: two steps, two rounds")
    parser.add_argument("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    if args.quick:
        args.members, args.steps, args.rounds = [1, 2], 2, 2
    side = 256 if args.quick else SIDE

    mlp = args.networks == "mlp"
    gan = step_time.recipe() if mlp else step_time.dcgan((28, 28, 1), np.dtype(np.float32))
    flops = step_flops() if mlp else None
    shape = (args.steps * BATCH, 28, 28, 1)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    counts = [(members, mapped) for members in args.members for mapped in (False, True)]
    both = not args.vmap_only
    counts = [(n, mapped) for n, mapped in counts if not mapped or (n > 1 and both)]
    arms = [
        harness.attempt(
            arm_name(members, mapped), population_arm, gan, images, members, mapped=mapped
        )
        for members, mapped in counts
    ]
    rows = harness.round_robin([*arms, product_arm(side)], args.rounds)
    about = {"batch_size": BATCH, "rounds": args.rounds, "networks": args.networks}
    explain(rows, counts, side, flops)
    harness.report(rows, args.json, flops_a_step=flops, **about)


if __name__ == "__main__":
    main()
