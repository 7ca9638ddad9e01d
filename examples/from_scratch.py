"""Trains a GAN on MNIST with custom networks, losses and training loop, in one file.

    python examples/from_scratch.py               # 100 epochs
    python examples/from_scratch.py --overwrite   # runs again and replaces the results

Compiles the whole run into one program. jaxgan provides `gan.update`, the order of the batches, and
the pictures; common.py handles Ctrl-C and output that fails. The rest of this file is plain JAX,
explained from top to bottom: copy and edit both files.
Writes `samples.png`, `curves.png` and `summary.json` to `runs/from_scratch`.
"""

import argparse
import math
import sys
import time

import common
import jax
import jax.numpy as jnp
import optax

import jaxgan
from jaxgan import images, runs, training

LATENTS = 64  # coordinates of a latent, the generator's input
WIDTHS = (128, 256)  # hidden units of the generator; the discriminator reverses them


# 1. Networks. A `jaxgan.Network` is two pure functions:
#
#     init(key, x) -> (params, model_state)
#     apply(params, model_state, x, *, train, key) -> (y, model_state)
#
# `params` is any pytree of arrays. These networks have no batch statistics or dropout, so their
# `model_state` is empty, and they ignore `train` and `key`.


def init_layers(key, sizes):
    """Initializes dense layers with He's normal distribution, which preserves activation scale."""
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        {"w": jax.random.normal(k, (m, n)) * math.sqrt(2 / m), "b": jnp.zeros(n)}
        for k, m, n in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def apply_layers(layers, x):
    """Applies dense layers, with a leaky ReLU between them: x -> W x + b -> max(x, 0.2 x) -> ..."""
    *hidden, last = layers
    for layer in hidden:
        x = jax.nn.leaky_relu(x @ layer["w"] + layer["b"], 0.2)
    return x @ last["w"] + last["b"]


def make_generator(image_shape):
    """Maps latents `[batch, LATENTS]` to images `[batch, *image_shape]` in [-1, 1]."""

    def init(key, latents):
        return init_layers(key, (latents.shape[-1], *WIDTHS, math.prod(image_shape))), {}

    def apply(params, model_state, latents, *, train, key=None):
        pixels = jnp.tanh(apply_layers(params, latents))
        return pixels.reshape(-1, *image_shape), model_state

    return jaxgan.Network(init, apply)


def make_discriminator():
    """Maps images to logits `[batch]`: positive for images that look real."""

    def init(key, x):
        return init_layers(key, (math.prod(x.shape[1:]), *WIDTHS[::-1], 1)), {}

    def apply(params, model_state, x, *, train, key=None):
        return apply_layers(params, x.reshape(x.shape[0], -1))[:, 0], model_state

    return jaxgan.Network(init, apply)


# 2. Losses. Each player minimizes a function of the logits for real and fake images; jaxgan takes
# the mean over the batch. With D = sigmoid(logit), softplus(-logit) = -log D and
# softplus(logit) = -log(1 - D).


def discriminator_loss(real_logits, fake_logits):
    """Computes -0.9 log D(x) - 0.1 log(1 - D(x)) - log(1 - D(G(z))).

    The target 0.9 for real images, instead of 1, prevents an overconfident discriminator.
    """
    real = 0.9 * jax.nn.softplus(-real_logits) + 0.1 * jax.nn.softplus(real_logits)
    return real + jax.nn.softplus(fake_logits)


def generator_loss(real_logits, fake_logits):
    """Computes -log D(G(z)), whose gradient does not vanish where D rejects the fake images."""
    return jax.nn.softplus(-fake_logits)


def make_gan(image_shape, learning_rate):
    adam = optax.adam(learning_rate, b1=0.5)
    return jaxgan.gan(
        generator=make_generator(image_shape),
        discriminator=make_discriminator(),
        loss=jaxgan.Pair(generator=generator_loss, discriminator=discriminator_loss),
        optimizer=jaxgan.Pair(generator=adam, discriminator=adam),
        latents=LATENTS,
    )


# 3. The training loop. `gan.update(state, batch) -> (state, metrics)` is one training step. A scan
# over steps is an epoch, a scan over epochs is the run, and `jax.jit` compiles the run into one
# program. The scans carry only the state, which holds the parameters, the optimizers' state, the
# PRNG key and the step's number.


def make_train(gan, num_epochs, batch_size):
    def train(state, digits):
        num_images = digits.shape[0]

        def step(state, _):
            # The indices are a pure function of the run's key and the step's number. Those of an
            # epoch are a random permutation, so an epoch uses each image at most once.
            indices = training.batch_indices(
                state.key, state.step, num_images=num_images, batch_size=batch_size
            )
            batch = images.normalize(digits[indices])  # uint8 -> floats in [-1, 1]
            return gan.update(state, batch)

        def epoch(state, number):
            state, metrics = jax.lax.scan(step, state, length=num_images // batch_size)
            means = jax.tree.map(jnp.mean, metrics)
            jax.debug.callback(report, number, means)
            return state, means

        return jax.lax.scan(epoch, state, jnp.arange(num_epochs))

    return jax.jit(train, donate_argnums=0)


def report(number, means):
    """Prints the means of every tenth epoch. The compiled program calls this function."""
    if number % 10 == 9:
        losses = (f"{player} {means[f'{player}_loss']:.3f}" for player in jaxgan.Pair._fields)
        print(f"epoch {number + 1}: {', '.join(losses)}", flush=True)


# 4. The script.


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=100, help="(default: 100)")
    parser.add_argument("--batch-size", type=int, default=100, help="(default: 100)")
    parser.add_argument("--learning-rate", type=float, default=3e-4, help="(default: 3e-4)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument(
        "--data-dir", default="embedded", help="as in jaxgan.datasets.load (default: embedded)"
    )
    parser.add_argument(
        "--workdir", default="runs/from_scratch", help="(default: runs/from_scratch)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing output")
    args = parser.parse_args()
    if args.epochs < 1:
        parser.error(f"--epochs must be at least 1; got {args.epochs}")
    return args


def main() -> None:
    args = parse_arguments()
    config = {name: x for name, x in vars(args).items() if name not in ("workdir", "overwrite")}
    try:
        data = jaxgan.datasets.load("mnist", data_dir=args.data_dir)
        digits = jnp.asarray(data.images)  # uint8, on the device for the whole run
        gan = make_gan(digits.shape[1:], args.learning_rate)
        state = gan.init(jax.random.key(args.seed), images.normalize(digits[:1]))
        train = make_train(gan, args.epochs, args.batch_size).lower(state, digits)
        workdir = runs.begin(args.workdir, config, overwrite=args.overwrite)
    except FileExistsError as error:
        sys.exit(f"{error} Use another --workdir{'' if args.overwrite else ', or --overwrite'}.")
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(str(error))

    clock = time.perf_counter()
    state, metrics = jax.block_until_ready(train.compile()(state, digits))
    seconds = time.perf_counter() - clock

    # Each metric is an array [epochs].
    curves = {player: metrics[f"{player}_loss"] for player in jaxgan.Pair._fields}
    common.written(lambda: images.curves(workdir / "curves.png", {"loss": curves}))
    samples = gan.sample(state, jax.random.key(1), num=64)
    picture = images.grid(samples, scale=2)
    common.written(lambda: images.save(workdir / "samples.png", picture))
    summary = {"seconds": seconds, **{name: x[-1].item() for name, x in metrics.items()}}
    common.written(lambda: runs.write_json(workdir / "summary.json", summary, indent=2))
    print(f"{int(state.step)} steps in {seconds:.0f} s; results are in {workdir}")


if __name__ == "__main__":
    common.run(main)
