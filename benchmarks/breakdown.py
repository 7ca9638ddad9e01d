"""Measures the parts of a training step of the MNIST GAN, and changes that may speed it up.

    python benchmarks/breakdown.py --json benchmarks/results/breakdown_cpu.json

Times the step without one part at a time, and with one change at a time. Parts overlap, so their
savings do not add up.
"""

import argparse
import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import harness
import jax
import jax.numpy as jnp
import numpy as np
import optax
import step_time
from step_time import BATCH

import jaxgan
from jaxgan import diagnostics, networks
from jaxgan.images import normalize


def epoch_arm(name: str, images: np.ndarray, *, impl: str | None = None, **changes) -> harness.Arm:
    lowered = step_time.lower_epoch(step_time.recipe(**changes), images, impl=impl)
    return step_time.program_arm(name, *lowered, len(images) // BATCH)


def same_batch_arm(name: str, images: np.ndarray) -> harness.Arm:
    gan, batch = step_time.recipe(), normalize(images[:BATCH])
    steps = len(images) // BATCH

    def epoch(state, batch):
        return jax.lax.scan(lambda s, _: (gan.update(s, batch)[0], None), state, length=steps)[0]

    args = (gan.init(jax.random.key(0), batch), batch)
    return step_time.program_arm(name, jax.jit(epoch, donate_argnums=0).lower(*args), args, steps)


def pair(make: Callable[[], optax.GradientTransformation]) -> jaxgan.Pair:
    return jaxgan.Pair(make(), make())


@contextlib.contextmanager
def fixed_latents() -> Iterator[None]:
    """Fills the latents with a number from the step's key, so that XLA cannot hoist them."""

    def normal(key, shape, dtype):
        return jnp.full(shape, jax.random.key_data(key)[0] % 7, dtype)

    with mock.patch.object(jax.random, "normal", normal):
        yield


@contextlib.contextmanager
def unrolled(times: int) -> Iterator[None]:
    """Unrolls the scan over batches by a factor of `times`."""
    scan = jax.lax.scan

    def unrolling(f, init, xs=None, **options):
        return scan(f, init, xs, **options, unroll=1 if xs is None else times)

    with mock.patch.object(jax.lax, "scan", unrolling):
        yield


def one_pass() -> jaxgan.Game:
    """Returns the GAN with real and fake images concatenated in the discriminator's loss."""
    gan, loss = step_time.recipe(), step_time.LOSS
    apply = networks.as_network(networks.MLPDiscriminator()).apply

    def together(params, samples, latents, inputs):
        both, state = jnp.concatenate([inputs.batch, samples]), inputs.model_state.discriminator
        own = params.discriminator
        logits, network = apply(own, state["network"], both, train=True, key=inputs.key)
        real, fake = jnp.split(logits, 2)
        metrics = diagnostics.of_logits(real, fake, boundary=loss.boundary)
        return loss.discriminator(real, fake).mean(), (state | {"network": network}, metrics)

    objective = gan.rules.objective
    losses = objective.losses._replace(discriminator=together)
    return jaxgan.game(objective._replace(losses=losses), gan.rules.optimizer)


def one_pass_arm(name: str, images: np.ndarray) -> harness.Arm:
    return step_time.program_arm(
        name, *step_time.lower_epoch(one_pass(), images), len(images) // BATCH
    )


def makers(images: np.ndarray) -> dict[str, Callable[[str], harness.Arm]]:
    arm = functools.partial(epoch_arm, images=images)
    sgd, adam = (lambda: optax.sgd(1e-3)), (lambda: optax.adam(1e-3))
    steps = len(images) // BATCH

    def within(context, **changes) -> Callable[[str], harness.Arm]:
        def make(name: str) -> harness.Arm:
            with context:
                return arm(name, **changes)

        return make

    return {
        "full step": arm,
        "with SGD instead of Adam": functools.partial(arm, optimizer=pair(sgd)),
        "without an optimizer": functools.partial(arm, optimizer=pair(optax.set_to_zero)),
        "without drawing latents": within(fixed_latents()),
        "without latents, with SGD": within(fixed_latents(), optimizer=pair(sgd)),
        "without cutting batches": lambda name: same_batch_arm(name, images),
        "matrix products alone": lambda name: step_time.program_arm(
            name, *step_time.lower_products(steps), steps
        ),
        "real and fake in one pass": lambda name: one_pass_arm(name, images),
        "networks in bfloat16": functools.partial(
            arm,
            generator=jaxgan.networks.MLPGenerator(dtype=jnp.bfloat16),
            discriminator=jaxgan.networks.MLPDiscriminator(dtype=jnp.bfloat16),
        ),
        "unrolled 2 times": within(unrolled(2)),
        "unrolled 4 times": within(unrolled(4)),
        "rbg keys": functools.partial(arm, impl="rbg"),
        "parameters in one array (flatten)": functools.partial(
            arm, optimizer=pair(lambda: optax.flatten(adam()))
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--images", type=int, default=10_000, help="number of images; 100 per step")
    parser.add_argument("--only", nargs="*", help="time only these arms and the full step")
    parser.add_argument("--quick", action="store_true", help="a smoke test: two steps, one round")
    parser.add_argument("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    num_images, rounds = (2 * BATCH, 1) if args.quick else (args.images, args.rounds)

    shape = (num_images, 28, 28, 1)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    makes = makers(images)
    chosen = [name for name in makes if args.only is None or name in ("full step", *args.only)]
    rows = harness.round_robin([makes[name](name) for name in chosen], rounds)
    harness.report(rows, args.json, batch_size=BATCH, num_images=num_images, rounds=rounds)


if __name__ == "__main__":
    main()
