"""How long is one step of the first recipe, and how much of it is more than its matrix products?

    python benchmarks/step_time.py --json benchmarks/results/step_time.json
    python benchmarks/step_time.py --compile      # with torch.compile too, if torch is there

Times, in turn: an epoch as one scan; one jitted step with batches from the host; the step's matrix
products alone (the floor); and, where torch is installed, the same recipe in PyTorch.
"""

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path

import harness
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch_recipe

import jaxgan
from jaxgan.images import normalize

BATCH, LATENT_DIM, WIDTH, PIXELS = 100, 100, 128, 784


def recipe(**changes) -> jaxgan.GAN:
    arguments = {
        "generator": jaxgan.networks.MLPGenerator(features=(WIDTH, WIDTH)),
        "discriminator": jaxgan.networks.MLPDiscriminator(features=(WIDTH, WIDTH)),
        "loss": jaxgan.losses.non_saturating(real_label=0.9),
        "optimizer": jaxgan.Pair(optax.adam(1e-3), optax.adam(1e-3)),
        "latent_dim": LATENT_DIM,
    }
    return jaxgan.gan(**{**arguments, **changes})


def rerun(function: Callable, state, *args) -> Callable[[], None]:
    """A run that feeds the donated state of one call to the next."""

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(function(state, *args))

    return run


def program_arm(name: str, lowered: jax.stages.Lowered, args: tuple, steps: int) -> harness.Arm:
    compiled, seconds = harness.timed(lowered.compile)
    return harness.Arm(name, rerun(compiled, *args), steps, seconds)


def lower_epoch(gan: jaxgan.GAN, images: np.ndarray) -> tuple[jax.stages.Lowered, tuple]:
    def epoch(state, images):
        return jaxgan.training.epochs(gan, state, images, batch_size=BATCH)[0]

    args = (gan.init(jax.random.key(0), normalize(images[:1])), jnp.asarray(images))
    return jax.jit(epoch, donate_argnums=0).lower(*args), args


def step_arm(gan: jaxgan.GAN, images: np.ndarray) -> harness.Arm:
    def step(state, batch):
        return gan.update(state, normalize(batch))[0]

    state = gan.init(jax.random.key(0), normalize(images[:1]))
    lowered = jax.jit(step, donate_argnums=0).lower(state, images[:BATCH])
    compiled, seconds = harness.timed(lowered.compile)
    steps, generator = len(images) // BATCH, np.random.default_rng(0)

    def epoch(state):
        for indices in generator.permutation(len(images))[: steps * BATCH].reshape(steps, BATCH):
            state = compiled(state, jnp.asarray(images[indices]))
        return state

    name = "jaxgan, one jit a step, host batches"
    return harness.Arm(name, rerun(epoch, state), steps, seconds)


def lower_products(num_steps: int) -> tuple[jax.stages.Lowered, tuple]:
    """The 30 matrix products of a step and nothing else, in a scan.

    It is the recipe with linear networks, without biases, losses, optimizers and data. The
    generator plays against other weights than the discriminator was trained from, as in the
    recipe, or XLA would see that the products are the same. The gradients are carried, or XLA
    would drop them.
    """
    keys = iter(jax.random.split(jax.random.key(0), 11))

    def weights(*sizes):
        shapes = itertools.pairwise(sizes)
        return [jax.random.normal(next(keys), shape) * 0.05 for shape in shapes]

    generator = weights(LATENT_DIM, WIDTH, WIDTH, PIXELS)
    old, new = weights(PIXELS, WIDTH, WIDTH, 1), weights(PIXELS, WIDTH, WIDTH, 1)
    latents = jax.random.normal(next(keys), (16, BATCH, LATENT_DIM))
    images = jax.random.normal(next(keys), (16, BATCH, PIXELS))

    def forward(weights, x):
        for w in weights:
            x = x @ w
        return x

    def step(carry, i):
        generator, old, new, _ = carry
        fake, generator_back = jax.vjp(lambda w: forward(w, latents[i % 16]), generator)
        real_logits, real_back = jax.vjp(lambda w: forward(w, images[i % 16]), old)
        fake_logits, fake_back = jax.vjp(lambda w: forward(w, fake), old)
        logits, image_back = jax.vjp(lambda x: forward(new, x), fake)
        fake_grad = image_back(logits)
        grads = (real_back(real_logits), fake_back(fake_logits), generator_back(*fake_grad))
        return (generator, old, new, grads), None

    def epoch(carry):
        return jax.lax.scan(step, carry, jnp.arange(num_steps))[0]

    grads = jax.tree.map(jnp.zeros_like, ((old,), (old,), (generator,)))
    args = ((generator, old, new, grads),)
    return jax.jit(epoch, donate_argnums=0).lower(*args), args


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--images", type=int, default=60_000, help="how many; 100 make a step")
    parser.add_argument(
        "--compile", action="store_true", help="time torch.compile too (a minute more)"
    )
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
    parser.add_argument("--quick", action="store_true", help="two steps, two rounds: does it run?")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    args = parser.parse_args()
    num_images, rounds = (2 * BATCH, 2) if args.quick else (args.images, args.rounds)

    # What is in the images does not change the time.
    shape = (num_images, 28, 28, 1)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    gan = recipe()
    steps = num_images // BATCH
    arms = [
        program_arm("jaxgan, one scan an epoch", *lower_epoch(gan, images), steps),
        step_arm(gan, images),
        program_arm("its matrix products alone", *lower_products(steps), steps),
    ]
    if not args.no_torch:
        arms += torch_recipe.arms(images, BATCH, LATENT_DIM, WIDTH, compiled=args.compile)
    rows = harness.round_robin(arms, rounds)
    harness.report(rows, args.json, batch_size=BATCH, num_images=num_images, rounds=rounds)


if __name__ == "__main__":
    main()
