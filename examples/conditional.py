"""Trains a conditional GAN on MNIST, which generates a digit of a given class.

    python examples/conditional.py                     # two MLPs
    python examples/conditional.py --networks dcgan    # convolutional networks
    python examples/conditional.py --resume            # continues a stopped run

Batches are `(images, labels)`, and both networks receive the labels as their condition. The MLPs
append them to their inputs in one-hot form. The DCGAN's generator does so too, but its
discriminator projects its features on an embedding of the label.

Writes checkpoints and `samples.png` to `runs/conditional`: a row for each class, with the same
latents in each row. Prints how many generated digits the classifier "mnist-v1" recognizes as their
class.
"""

import argparse
import functools
import sys
from collections.abc import Callable
from typing import NamedTuple

import common
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxgan
from jaxgan import evaluation, networks

LATENT_DIM, NUM_CLASSES, COLUMNS = 100, 10, 16


class Setting(NamedTuple):
    """Holds the networks, and the options that fit them."""

    generator: networks.adapters.NetworkLike
    discriminator: networks.adapters.NetworkLike
    learning_rate: float
    epochs: int


SETTINGS = {
    "mlp": Setting(
        networks.MLPGenerator(num_classes=NUM_CLASSES),
        networks.MLPDiscriminator(num_classes=NUM_CLASSES),
        learning_rate=1e-3,
        epochs=50,
    ),
    "dcgan": Setting(
        networks.DCGANGenerator(features=16, num_classes=NUM_CLASSES),
        networks.DCGANDiscriminator(features=16, num_classes=NUM_CLASSES),
        learning_rate=1e-3,
        epochs=3,
    ),
}


def parse_arguments() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    add = functools.partial(parser.add_argument, metavar="")
    add("--data-dir", help="folder of IDX files or of tensorflow-datasets, or 'embedded'")
    add("--networks", choices=SETTINGS, default="mlp", help=", ".join(SETTINGS))
    add("--epochs", type=int, help="(default: 50 for mlp, 3 for dcgan)")
    add("--batch-size", type=int, default=100, help="(default: 100)")
    add("--samples", type=int, default=1000, help="digits to classify, per class (default: 1000)")
    add("--seed", type=int, default=0, help="(default: 0)")
    common.add_workdir(parser, "runs/conditional", resume=True)
    args = parser.parse_args()
    if args.epochs is None:
        args.epochs = SETTINGS[args.networks].epochs
    common.check_at_least_1(parser, args, "epochs", "samples")
    return args


def make_gan(args: argparse.Namespace) -> jaxgan.GAN:
    setting = SETTINGS[args.networks]
    adam = optax.adam(setting.learning_rate, b1=0.5)
    return jaxgan.gan(
        generator=setting.generator,
        discriminator=setting.discriminator,
        loss=jaxgan.losses.non_saturating(real_label=0.9),
        optimizer=jaxgan.Pair(generator=adam, discriminator=adam),
        latents=LATENT_DIM,
        num_classes=NUM_CLASSES,
    )


def draw(sample: Callable[..., jax.Array], state: jaxgan.TrainState) -> np.ndarray:
    """Draws a row for each class. All rows have the same latents."""
    latents = jnp.tile(common.fixed_latents(LATENT_DIM, COLUMNS), (NUM_CLASSES, 1))
    labels = jnp.repeat(jnp.arange(NUM_CLASSES), COLUMNS)
    return common.grid(sample(state, latents, labels), COLUMNS)


def recognized(sample: Callable[..., jax.Array], state: jaxgan.TrainState, num: int) -> list[float]:
    """Returns the share of `num` samples of each class that the classifier assigns to it."""
    classify, shares = evaluation.mnist_v1().probabilities, []
    for label, key in enumerate(jax.random.split(jax.random.key(2014), NUM_CLASSES)):
        digits = sample(state, key, jnp.full(num, label))
        classes = evaluation.embed(classify, digits).argmax(axis=1)
        shares.append(float(np.mean(classes == label)))
    return shares


def main() -> None:
    args = parse_arguments()
    gan = make_gan(args)
    with common.errors_in_a_line():
        data = jaxgan.datasets.load("mnist", "train", args.data_dir)
    print(f"data: {data.source}", file=sys.stderr)
    sample = jax.jit(gan.sample)
    pairs = (data.images, data.labels)
    state, history = common.train(args, gan, pairs, functools.partial(draw, sample))
    shares = recognized(sample, state, args.samples)
    result = {f"{label} recognized": share for label, share in enumerate(shares)}
    common.report(args, history, result | {"all recognized": float(np.mean(shares))})


if __name__ == "__main__":
    common.run(main)
