"""Trains a GAN on MNIST with custom networks: small convolutional networks in Equinox.

    python examples/custom_network.py            # 10 epochs
    python examples/custom_network.py --resume   # continues a stopped run

Writes checkpoints and `samples.png` to `runs/custom_network`. Needs Equinox (pip install equinox).
To use other networks, copy this file and common.py, and edit them.
"""

import argparse
import functools
import sys

import common
import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from tqdm import tqdm

import jaxgan
from jaxgan import checkpoint, compilation, images, runs
from jaxgan.networks import from_equinox

LATENT_DIM = 64


# Equinox modules take one example, channels first; `from_equinox` maps them over the batch.
def make_generator(key: jax.Array) -> eqx.Module:
    keys = jax.random.split(key, 3)
    return eqx.nn.Sequential(
        [
            eqx.nn.Linear(LATENT_DIM, 32 * 7 * 7, key=keys[0]),
            eqx.nn.Lambda(lambda x: x.reshape(32, 7, 7)),
            eqx.nn.BatchNorm(32, axis_name="batch", momentum=0.9, mode="batch"),
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1, key=keys[1]),
            eqx.nn.BatchNorm(16, axis_name="batch", momentum=0.9, mode="batch"),
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1, key=keys[2]),
            eqx.nn.Lambda(lambda x: jnp.tanh(x).transpose(1, 2, 0)),
        ]
    )


def make_discriminator(key: jax.Array) -> eqx.Module:
    keys = jax.random.split(key, 3)
    return eqx.nn.Sequential(
        [
            eqx.nn.Lambda(lambda image: image.transpose(2, 0, 1)),
            eqx.nn.Conv2d(1, 16, 4, stride=2, padding=1, key=keys[0]),
            eqx.nn.Lambda(functools.partial(jax.nn.leaky_relu, negative_slope=0.2)),
            eqx.nn.Conv2d(16, 32, 4, stride=2, padding=1, key=keys[1]),
            eqx.nn.Lambda(lambda x: jax.nn.leaky_relu(x, 0.2).ravel()),
            eqx.nn.Linear(32 * 7 * 7, "scalar", key=keys[2]),
        ]
    )


def parse_arguments() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    add = functools.partial(parser.add_argument, metavar="")
    add("--data-dir", help="folder of IDX files or of tensorflow-datasets, or 'embedded'")
    add("--epochs", type=int, default=10, help="(default: 10)")
    add("--batch-size", type=int, default=100, help="(default: 100)")
    add("--seed", type=int, default=0, help="(default: 0)")
    common.add_workdir(parser, "runs/custom_network", resume=True)
    args = parser.parse_args()
    common.check_at_least_1(parser, args, "epochs")
    return args


def main() -> None:
    args = parse_arguments()
    adam = optax.adam(4e-4, b1=0.5)
    gan = jaxgan.gan(
        generator=from_equinox(make_generator),
        discriminator=from_equinox(make_discriminator),
        loss=jaxgan.losses.non_saturating(real_label=0.9),
        optimizer=jaxgan.Pair(generator=adam, discriminator=adam),
        latents=LATENT_DIM,
    )
    with common.errors_in_a_line():
        data = jaxgan.datasets.load("mnist", "train", args.data_dir)
        train_images = jnp.asarray(data.images)  # uint8, on the device for the whole run
        epoch = functools.partial(jaxgan.training.epochs, gan, batch_size=args.batch_size)
        state = gan.init(jax.random.key(args.seed), images.normalize(train_images[:1]))
        train = jax.jit(epoch, donate_argnums=0).lower(state, train_images).compile()
        compilation.check_memory(train)
        workdir = common.begin(args, {"num_images": len(train_images), **common.chosen(args)})
        checkpoints = workdir / "checkpoints"
        state, history = common.restore(checkpoints, state)
    print(f"data: {data.source}", file=sys.stderr)

    saving = None
    bar = tqdm(initial=len(history), total=args.epochs, unit="epoch")
    with runs.stop_signals(message="The run stops after this epoch and saves it.") as stopped, bar:
        while len(history) < args.epochs and not stopped:
            state, metrics = train(state, train_images)
            common.check_epoch(args, metrics, len(history) + 1)
            means = {name: float(jnp.nanmean(values)) for name, values in metrics.items()}
            history.append(means)
            saving = checkpoint.save(checkpoints, state, metadata={"history": history})
            text = "G {generator_loss:.3f}, D {discriminator_loss:.3f}".format(**means)
            bar.set_postfix_str(text)
            bar.update()
    saved = saving is None or common.written(saving.result)
    samples = jax.jit(gan.sample)(state, common.fixed_latents(LATENT_DIM))
    picture = common.grid(samples, 8, scale=2)
    common.written(lambda: images.save(workdir / "samples.png", picture))
    print(f"Samples are in {workdir / 'samples.png'}", file=sys.stderr)
    common.exit_if_unfinished(args, saved, stopped, len(history))


if __name__ == "__main__":
    common.run(main)
