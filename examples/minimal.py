"""Trains a GAN on handwritten digits and saves samples. Read this example first.

python examples/minimal.py               # 30 epochs, writes runs/minimal/samples.png
python examples/minimal.py --overwrite   # runs again and replaces the result
"""

import argparse
import functools
import sys

import common
import jax
import jax.numpy as jnp
import optax

import jaxgan


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workdir", default="runs/minimal")
    parser.add_argument("--overwrite", action="store_true", help="replace existing output")
    args = parser.parse_args()
    common.check_at_least_1(parser, args, "epochs")

    # `gan` holds pure functions, such as init, update and sample.
    adam = optax.adam(1e-3, b1=0.5)
    gan = jaxgan.gan(
        generator=jaxgan.networks.MLPGenerator(),
        discriminator=jaxgan.networks.MLPDiscriminator(),
        loss=jaxgan.losses.non_saturating(real_label=0.9),
        optimizer=jaxgan.Pair(generator=adam, discriminator=adam),
        latents=100,
    )
    data = jaxgan.datasets.load("mnist", data_dir="embedded")  # 10,000 digits, part of jaxgan
    digits = jnp.asarray(data.images)  # uint8 [10000, 28, 28, 1], on the device
    state = gan.init(jax.random.key(args.seed), jaxgan.images.normalize(digits[:1]))

    # One compiled program runs all training steps of an epoch.
    train = functools.partial(jaxgan.training.epochs, gan, batch_size=args.batch_size)
    epoch = jax.jit(train, donate_argnums=0).lower(state, digits).compile()
    try:
        workdir = jaxgan.runs.begin(args.workdir, {"seed": args.seed}, overwrite=args.overwrite)
    except FileExistsError as error:
        sys.exit(f"{error} Use another --workdir{'' if args.overwrite else ', or --overwrite'}.")
    for number in range(args.epochs):
        state, metrics = epoch(state, digits)
        losses = {player: metrics[f"{player}_loss"].mean() for player in jaxgan.Pair._fields}
        print(f"epoch {number + 1}: " + ", ".join(f"{k} {v:.3f}" for k, v in losses.items()))

    samples = gan.sample(state, jax.random.key(1), num=64)
    jaxgan.images.save(workdir / "samples.png", jaxgan.images.grid(samples, scale=2))
    print(f"64 samples are in {workdir / 'samples.png'}")


if __name__ == "__main__":
    common.run(main)
