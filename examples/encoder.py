"""Trains a BiGAN on MNIST: a generator and its inverse, an encoder of images.

    python examples/encoder.py               # 60 epochs of the digits that ship with jaxgan
    python examples/encoder.py --overwrite   # runs again and replaces the result

The discriminator receives pairs of an image and a code: (x, E(x)) from the encoder E and a digit x,
or (G(z), z) from the generator G and latents z. One player owns G and E, and wants both kinds of
pairs to be confused. At the optimum, E and G are inverses of each other.

Writes `samples.png`, `reconstructions.png` (held-out digits above their reconstructions G(E(x)))
and `errors.json` to `runs/encoder`. To use other networks, copy this file and common.py, and edit
them.
"""

import argparse
import functools
from collections.abc import Callable

import common
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import jaxgan
from jaxgan import Pair, images, networks, runs
from jaxgan.types import Inputs, Metrics, Objective, Params

CODE_DIM, WIDTH = 16, 256
GENERATOR = networks.MLPGenerator(features=(WIDTH, WIDTH))
LAYERS: list[Callable[..., jax.Array]] = [
    nn.Dense(WIDTH),
    nn.leaky_relu,
    nn.Dense(WIDTH),
    nn.leaky_relu,
    nn.Dense(CODE_DIM),
]
ENCODER = nn.Sequential(LAYERS)
DISCRIMINATOR = networks.MLPDiscriminator(features=(WIDTH, WIDTH))


def flat(digits: jax.Array) -> jax.Array:
    return digits.reshape(digits.shape[0], -1)


def pair(digits: jax.Array, codes: jax.Array) -> jax.Array:
    """Returns pairs of an image and a code as one vector each."""
    return jnp.concatenate([flat(digits), codes], axis=1)


def encode(params: Params, digits: jax.Array) -> jax.Array:
    return jnp.asarray(ENCODER.apply(params["encoder"], flat(digits)))


def reconstruct(params: Params, digits: jax.Array) -> jax.Array:
    return decode(params, encode(params, digits))


def decode(params: Params, codes: jax.Array) -> jax.Array:
    return jnp.asarray(GENERATOR.apply(params["generator"], codes))


def logits(params: Pair[Params], pairs: tuple[jax.Array, jax.Array]) -> list[jax.Array]:
    return [jnp.asarray(DISCRIMINATOR.apply(params.discriminator, x)) for x in pairs]


# The game: the initial parameters, what both losses need, and the loss of each player.
def init(keys: Pair[jax.Array], digits: jax.Array) -> tuple[Pair[Params], Pair]:
    generator_key, encoder_key = jax.random.split(keys.generator)
    codes = jnp.zeros((digits.shape[0], CODE_DIM))
    mappings = {
        "generator": GENERATOR.init(generator_key, codes),
        "encoder": ENCODER.init(encoder_key, flat(digits)),
    }
    critic = DISCRIMINATOR.init(keys.discriminator, pair(digits, codes))
    return Pair(mappings, critic), Pair((), ())  # without model states


def generate(params: Params, inputs: Inputs) -> tuple[tuple[jax.Array, jax.Array], tuple]:
    """Returns the encoder's and the generator's pairs, which both losses use."""
    digits = inputs.batch
    latents = jax.random.normal(inputs.key, (digits.shape[0], CODE_DIM))
    codes, samples = encode(params, digits), decode(params, latents)
    return (pair(digits, codes), pair(samples, latents)), ()


def discriminator_loss(
    params: Pair[Params], pairs: tuple[jax.Array, jax.Array], aux: tuple, inputs: Inputs
) -> tuple[jax.Array, tuple[tuple, Metrics]]:
    encoded, generated = logits(params, pairs)
    loss = jax.nn.softplus(-encoded) + jax.nn.softplus(generated)
    return loss.mean(), ((), {"logit_gap": (encoded - generated).mean()})


def generator_loss(
    params: Pair[Params], pairs: tuple[jax.Array, jax.Array], aux: tuple, inputs: Inputs
) -> tuple[jax.Array, tuple[tuple, Metrics]]:
    encoded, generated = logits(params, pairs)
    return (jax.nn.softplus(encoded) + jax.nn.softplus(-generated)).mean(), ((), {})


BIGAN = Objective(init, generate, Pair(generator_loss, discriminator_loss))


def parse_arguments() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    add = functools.partial(parser.add_argument, metavar="")
    add("--data-dir", default="embedded", help="folder of MNIST's files (default: embedded)")
    add("--held-out", type=int, default=1000, help="digits not trained on (default: 1000)")
    add("--epochs", type=int, default=60, help="(default: 60)")
    add("--batch-size", type=int, default=100, help="(default: 100)")
    add("--learning-rate", type=float, default=5e-4, help="of Adam (default: 5e-4)")
    add("--seed", type=int, default=0, help="(default: 0)")
    common.add_workdir(parser, "runs/encoder")
    args = parser.parse_args()
    common.check_at_least_1(parser, args, "held_out", "epochs")
    return args


def mean_squared_errors(params: Params, train: jax.Array, held_out: jax.Array) -> dict[str, float]:
    """Returns the errors per pixel of reconstructions, for images in [-1, 1], and of others."""
    mean_image = images.normalize(train).mean(axis=0, keepdims=True)
    found = reconstruct(params, held_out)
    others = jnp.roll(found, 1, axis=0)  # each the reconstruction of another digit
    guesses = {"reconstructions": found, "others": others, "mean_image": mean_image}
    return {name: float(jnp.mean((x - held_out) ** 2)) for name, x in guesses.items()}


def draw(args: argparse.Namespace, params: Params, held_out: jax.Array) -> None:
    latents = jax.random.normal(jax.random.key(1), (64, CODE_DIM))
    samples = common.grid(decode(params, latents), 8, scale=2)
    images.save(args.workdir / "samples.png", samples)
    shown = held_out[:40].reshape(-1, 10, *held_out.shape[1:])
    rows = jnp.stack([shown, reconstruct(params, held_out[:40]).reshape(shown.shape)], axis=1)
    picture = common.grid(rows.reshape(-1, *held_out.shape[1:]), 10, scale=2)
    images.save(args.workdir / "reconstructions.png", picture)


def main() -> None:
    args = parse_arguments()
    adam = optax.adam(args.learning_rate, b1=0.5)
    with common.errors_in_a_line():
        game = jaxgan.game(BIGAN, Pair(adam, adam), ema_half_life=10_000.0)
        digits = jnp.asarray(jaxgan.datasets.load("mnist", data_dir=args.data_dir).images)
        train, held_out = digits[: -args.held_out], images.normalize(digits[-args.held_out :])
        state = game.init(jax.random.key(args.seed), images.normalize(train[:1]))
        epoch = functools.partial(jaxgan.training.epochs, game, batch_size=args.batch_size)
        program = jax.jit(epoch, donate_argnums=0).lower(state, train).compile()
        common.begin(args, {"num_images": len(train), **common.chosen(args)})
    for number in range(1, args.epochs + 1):
        state, metrics = program(state, train)
        common.check_epoch(args, metrics, number)
        errors = mean_squared_errors(state.ema_params, train, held_out)
        values = {name: float(x.mean()) for name, x in metrics.items() if "loss" in name}
        text = ", ".join(f"{name} {x:.3f}" for name, x in (values | errors).items())
        common.say(f"epoch {number}: {text}")
    common.written(lambda: runs.write_json(args.workdir / "errors.json", errors, indent=2))
    common.written(lambda: draw(args, state.ema_params, held_out))
    common.say(f"Pictures and errors are in {args.workdir}")


if __name__ == "__main__":
    common.run(main)
