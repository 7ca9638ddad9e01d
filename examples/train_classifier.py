"""Trains the digit classifier "mnist-v1", whose features and classes jaxgan uses in evaluation.

    python examples/train_classifier.py --data-dir mnist --output mnist-v1.npz

Trains for 12 epochs on the 60,000 training digits, shifted by up to two pixels. Writes the weights,
rounded to float16, to the output file, and prints their accuracy on the 10,000 test digits. This
command made the weights that jaxgan includes. Other machines make different weights of about the
same accuracy. To evaluate in another feature space, train with another `--seed`, and pass the file
to `evaluation.load_classifier`.
"""

import argparse
import functools
import hashlib
import sys
from pathlib import Path
from typing import cast

import common
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util
from tqdm import tqdm

import jaxgan
from jaxgan import augment, images, training

SHIFT = 2 / 28


def parse_arguments() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    add = functools.partial(parser.add_argument, metavar="")
    add("--data-dir", help="folder of IDX files or of tensorflow-datasets, or 'embedded'")
    add("--output", type=Path, default=Path("classifier.npz"), help="(default: classifier.npz)")
    add("--epochs", type=int, default=12, help="(default: 12)")
    add("--steps", type=int, help="stop after this many steps (default: all epochs)")
    add("--batch-size", type=int, default=128, help="(default: 128)")
    add("--seed", type=int, default=0, help="(default: 0)")
    common.add_overwrite(parser)
    return parser.parse_args()


def logits_of(net: jaxgan.networks.DigitClassifier, params, batch, **options) -> jax.Array:
    output = net.apply({"params": params}, batch, **options)
    return cast(tuple[jax.Array, jax.Array], output)[1]


def make_step(net: jaxgan.networks.DigitClassifier, optimizer: optax.GradientTransformation):
    shift = augment.translation(SHIFT)

    def loss(params, batch, labels, key):
        keys = jax.random.split(key)
        shifted = shift(keys[0], images.normalize(batch) + 1.0) - 1.0  # fills with black
        logits = logits_of(net, params, shifted, train=True, rngs={"dropout": keys[1]})
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, opt_state, batch, labels, key):
        value, gradients = jax.value_and_grad(loss)(params, batch, labels, key)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, value

    return step


def accuracy(net: jaxgan.networks.DigitClassifier, params, data: jaxgan.datasets.Dataset) -> float:
    classify = jax.jit(lambda batch: logits_of(net, params, batch, train=False).argmax(1))
    right = [
        np.asarray(classify(images.normalize(data.images[i : i + 500]))) == data.labels[i : i + 500]
        for i in range(0, len(data.images), 500)
    ]
    return float(np.concatenate(right).mean())


def main() -> None:
    args = parse_arguments()
    with common.errors_in_a_line():
        common.check_new(args, "output", args.output)
    data = jaxgan.datasets.load("mnist", "train", args.data_dir)
    test = jaxgan.datasets.load("mnist", "test", args.data_dir)
    print(f"data: {data.source}", file=sys.stderr)
    net = jaxgan.networks.DigitClassifier()
    key = jax.random.key(args.seed)
    params = net.init(key, images.normalize(data.images[:1]), train=False)["params"]
    steps = len(data.images) // args.batch_size
    optimizer = optax.adamw(optax.cosine_decay_schedule(1e-3, args.epochs * steps))
    opt_state, step = optimizer.init(params), make_step(net, optimizer)
    num = {"num_images": len(data.images), "batch_size": args.batch_size}
    choose = jax.jit(functools.partial(training.batch_indices, **num))
    bar = tqdm(range(args.steps or args.epochs * steps), unit="step")
    for i in bar:
        chosen = np.asarray(choose(key, i))
        batch, labels = data.images[chosen], data.labels[chosen]
        params, opt_state, value = step(
            params, opt_state, batch, labels, jax.random.fold_in(key, i)
        )
        if i % 100 == 0:
            bar.set_postfix_str(f"loss {value:.4f}")
    stored = jax.tree.map(lambda x: np.asarray(x, np.float16), params)
    rounded = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), stored)
    with args.output.open("wb") as file:
        np.savez(file, **traverse_util.flatten_dict(stored, sep="/"))
    digest = hashlib.sha256(args.output.read_bytes()).hexdigest()
    print(f"accuracy on {len(test.images):,} test digits: {accuracy(net, rounded, test):.2%}")
    print(f"sha256 of {args.output}: {digest}")


if __name__ == "__main__":
    common.run(main)
