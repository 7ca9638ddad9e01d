"""Trains pix2pix on MNIST: a generator that turns the edges of a digit into the digit.

    python examples/pix2pix.py            # 3 epochs
    python examples/pix2pix.py --l1 0     # without the L1 term
    python examples/pix2pix.py --resume   # continues a stopped run

The condition is an image, the edges. `preprocess` computes it from each batch of digits. The
discriminator judges patches of 16 x 16 pixels of digit and edges. The generator also minimizes the
L1 distance to the digit.

Writes checkpoints and `samples.png` to `runs/pix2pix`: edges, output and target in rows of three.
Prints the mean absolute error on the edges of the test digits.
"""

import argparse
import functools
import sys
from collections.abc import Callable

import common
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxgan
from jaxgan import images, networks

LATENT_DIM, ROWS, COLUMNS = 8, 8, 4
THRESHOLD = 0.4  # of the gradient, in [0, sqrt(2)]


def edges(digits: jax.Array) -> jax.Array:
    """Returns the edges of digits in [-1, 1]: 1 where the gradient is large, -1 elsewhere."""
    rows, columns = jnp.gradient(digits, axis=(1, 2))
    return jnp.where(jnp.hypot(rows, columns) > THRESHOLD, 1.0, -1.0).astype(digits.dtype)


def with_edges(batch: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Maps uint8 digits to a batch of `(images, condition)`."""
    digits = images.normalize(batch)
    return digits, edges(digits)


def l1_distance(weight: float, view: jaxgan.terms.View) -> jax.Array:
    return weight * jnp.mean(jnp.abs(view.samples - view.images))


def parse_arguments() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    add = functools.partial(parser.add_argument, metavar="")
    add("--data-dir", help="folder of IDX files or of tensorflow-datasets, or 'embedded'")
    add("--epochs", type=int, default=3, help="(default: 3)")
    add("--batch-size", type=int, default=64, help="(default: 64)")
    add("--l1", type=float, default=100.0, help="weight of the L1 term (default: 100)")
    add("--features", type=int, default=16, help="channels of the first layers (default: 16)")
    add("--seed", type=int, default=0, help="(default: 0)")
    common.add_workdir(parser, "runs/pix2pix", resume=True)
    args = parser.parse_args()
    common.check_at_least_1(parser, args, "epochs", "features")
    if not 0 <= args.l1 < float("inf"):
        parser.error(f"--l1 must be at least 0; got {args.l1}")
    return args


def make_gan(args: argparse.Namespace) -> jaxgan.GAN:
    adam, width = optax.adam(1e-3, b1=0.5), args.features
    return jaxgan.gan(
        generator=networks.UNetGenerator(features=(width, 2 * width, 4 * width)),
        discriminator=networks.PatchDiscriminator(features=(width, 2 * width)),
        loss=jaxgan.losses.non_saturating(),
        optimizer=jaxgan.Pair(generator=adam, discriminator=adam),
        latents=LATENT_DIM,
        terms=jaxgan.Pair({"l1": functools.partial(l1_distance, args.l1)}, {}),
    )


def draw(
    sample: Callable[..., jax.Array], digits: np.ndarray, state: jaxgan.TrainState
) -> np.ndarray:
    """Draws rows of edges, output and target."""
    target, condition = with_edges(jnp.asarray(digits))
    output = sample(state, jax.random.key(2014), condition)
    triples = jnp.stack([condition, output, target], axis=1)
    return common.grid(triples.reshape(-1, *target.shape[1:]), 3 * COLUMNS, scale=2)


def mean_errors(
    sample: Callable[..., jax.Array], state: jaxgan.TrainState, digits: np.ndarray
) -> dict[str, float]:
    """Returns mean absolute errors, in units of the range from black to white.

    Black images and the edges themselves are simple outputs to compare with.
    """

    @jax.jit
    def errors(key: jax.Array, batch: jax.Array) -> dict[str, jax.Array]:
        target, condition = with_edges(batch)
        output = sample(state, key, condition)
        outputs = {"output": output, "black": jnp.full_like(target, -1.0), "edges": condition}
        return {name: jnp.mean(jnp.abs(x - target)) / 2 for name, x in outputs.items()}

    size = min(500, len(digits))
    parts = np.split(digits[: len(digits) // size * size], len(digits) // size)
    keys = jax.random.split(jax.random.key(2014), len(parts))
    found = [errors(key, part) for key, part in zip(keys, parts, strict=True)]
    return {f"error of {name}": float(np.mean([x[name] for x in found])) for name in found[0]}


def main() -> None:
    args = parse_arguments()
    gan = make_gan(args)
    with common.errors_in_a_line():
        data = jaxgan.datasets.load("mnist", "train", args.data_dir)
        test = jaxgan.datasets.load("mnist", "test", args.data_dir)
    print(f"data: {data.source}; tested on {test.source}", file=sys.stderr)
    sample = jax.jit(gan.sample)
    draw_state = functools.partial(draw, sample, test.images[: ROWS * COLUMNS])
    state, history = common.train(args, gan, data.images, draw_state, with_edges)
    common.report(args, history, mean_errors(sample, state, test.images))


if __name__ == "__main__":
    common.run(main)
