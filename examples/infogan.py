"""Trains InfoGAN on MNIST, which learns codes of digits without labels.

    python examples/infogan.py            # 8 epochs
    python examples/infogan.py --resume   # continues a stopped run

The latents are noise, a categorical code with ten values and two continuous codes. The
discriminator also estimates the codes of an image. Both networks minimize the error of this
estimate, a bound of the mutual information between codes and image.

Writes checkpoints and `samples.png` to `runs/infogan`, with a traversal of each code. In the left
part, the columns are the values of the categorical code. In the other parts, they are values of a
continuous code from -1 to 1, with a row for each value of the categorical code. Prints how many
samples the classifier "mnist-v1" assigns to the most frequent digit of their category.
"""

import argparse
import functools
import sys
from collections.abc import Callable

import common
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxgan
from jaxgan import evaluation, latents, networks

NOISE, CATEGORIES, CONTINUOUS = 62, 10, 2
VARIANCE = 5.0  # of the Gaussians that estimate the continuous codes; the larger, the weaker
SAMPLER = latents.infogan(NOISE, (CATEGORIES,), CONTINUOUS)
WIDTHS = {"generator": (256, 32, 16), "discriminator": (16, 32, 256)}


class Discriminator(nn.Module):
    """Maps images to logits and estimates of the codes, which share all layers but the last."""

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> tuple[jax.Array, dict[str, jax.Array]]:
        few, many, units = WIDTHS["discriminator"]
        norm = functools.partial(nn.BatchNorm, use_running_average=not train, momentum=0.9)
        x = nn.leaky_relu(nn.Conv(few, (4, 4), strides=2)(images), 0.1)
        x = nn.leaky_relu(norm()(nn.Conv(many, (4, 4), strides=2)(x)), 0.1)
        x = nn.leaky_relu(norm()(nn.Dense(units)(x.reshape(x.shape[0], -1))), 0.1)
        codes = nn.Dense(CATEGORIES + CONTINUOUS)(nn.leaky_relu(nn.Dense(128)(x), 0.1))
        return nn.Dense(1)(x)[:, 0], {"codes": codes}


def information(view: jaxgan.terms.View) -> jax.Array:
    """Returns the negative log-likelihood of the codes, up to a constant: a value per image."""
    logits, means = jnp.split(view.fake_extras["codes"], [CATEGORIES], axis=1)
    category = optax.softmax_cross_entropy(logits, view.latents["categories"][0])
    continuous = jnp.sum(jnp.square(means - view.latents["continuous"]), axis=1)
    return category + continuous / (2 * VARIANCE)


def parse_arguments() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    add = functools.partial(parser.add_argument, metavar="")
    add("--data-dir", help="folder of IDX files or of tensorflow-datasets, or 'embedded'")
    add("--epochs", type=int, default=8, help="(default: 8)")
    add("--batch-size", type=int, default=100, help="(default: 100)")
    add("--samples", type=int, default=1000, help="per category, to classify (default: 1000)")
    add("--seed", type=int, default=0, help="(default: 0)")
    common.add_workdir(parser, "runs/infogan", resume=True)
    args = parser.parse_args()
    common.check_at_least_1(parser, args, "epochs", "samples")
    return args


def make_gan() -> jaxgan.GAN:
    # The learning rates of the paper.
    return jaxgan.gan(
        generator=networks.InfoGANGenerator(features=WIDTHS["generator"]),
        discriminator=Discriminator(),
        loss=jaxgan.losses.non_saturating(),
        optimizer=jaxgan.Pair(optax.adam(1e-3, b1=0.5), optax.adam(2e-4, b1=0.5)),
        latents=SAMPLER,
        terms=jaxgan.Pair({"codes_of_generator": information}, {"codes": information}),
    )


def draw(sample: Callable[..., jax.Array], state: jaxgan.TrainState) -> np.ndarray:
    """Draws a traversal of each code, next to each other."""
    size, categories = CATEGORIES, jnp.eye(CATEGORIES)
    fixed = SAMPLER(jax.random.key(2014), size, jnp.float32)
    by_row = lambda x: jnp.repeat(x, size, axis=0)
    by_column = lambda x: jnp.tile(x, (size, 1))
    rows = jax.tree.map(by_row, fixed)
    parts = [rows | {"categories": (by_column(categories),)}]
    same = jax.tree.map(lambda x: jnp.tile(x[:1], (size**2, 1)), fixed)
    for code in range(CONTINUOUS):
        line = latents.traversal(jnp.zeros(CONTINUOUS), code, num=size, start=-1.0, step=2 / 9)
        own = {"categories": (by_row(categories),), "continuous": by_column(line)}
        parts.append(same | own)
    pictures = [common.grid(sample(state, part), size) for part in parts]
    return np.concatenate([np.pad(x, ((0, 0), (0, 8), (0, 0))) for x in pictures], axis=1)[:, :-8]


def purity(sample: Callable[..., jax.Array], state: jaxgan.TrainState, num: int) -> dict:
    """Returns the most frequent digit of each category, and its share of the samples."""
    classify, digits, shares = evaluation.mnist_v1().probabilities, [], []
    keys = jax.random.split(jax.random.key(2014), CATEGORIES)
    for category, key in zip(jnp.eye(CATEGORIES), keys, strict=True):
        code = {"categories": (jnp.tile(category, (num, 1)),)}
        pictures = sample(state, SAMPLER(key, num, jnp.float32) | code)
        classes = evaluation.embed(classify, pictures).argmax(axis=1)
        counts = np.bincount(classes, minlength=10)
        digits.append(int(counts.argmax()))
        shares.append(float(counts.max() / num))
    return {"digits": digits, "shares": shares, "mean share": float(np.mean(shares))}


def main() -> None:
    args = parse_arguments()
    gan = make_gan()
    with common.errors_in_a_line():
        data = jaxgan.datasets.load("mnist", "train", args.data_dir)
    print(f"data: {data.source}", file=sys.stderr)
    sample = jax.jit(gan.sample)
    state, history = common.train(args, gan, data.images, functools.partial(draw, sample))
    common.report(args, history, purity(sample, state, args.samples))


if __name__ == "__main__":
    common.run(main)
