"""Trains the classic MNIST GAN for several learning rates and seeds at once, in one program.

    python examples/sweep.py          # 4 learning rates x 5 seeds, 10 epochs

Prints a table of the medians and ranges over the seeds. Writes `sweep.png` (a plot), `samples.png`,
a checkpoint and `summary.json` to `runs/sweep`. Several devices split the members if they divide
evenly. To change more than the options, copy and edit this file and common.py.
"""

import argparse
import functools
import shlex
import sys
import time
from pathlib import Path

import common
import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

import jaxgan
from jaxgan import checkpoint, compilation, diagnostics, images, population, runs

LATENT_DIM = 100
COLUMNS = {  # of the table: means of the last epoch, and the diversity after it
    "generator_loss": "generator loss",
    "discriminator_loss": "discriminator loss",
    "real_probability": "real sigmoid",
    "fake_probability": "fake sigmoid",
    "pixel_diversity": "pixel diversity",
}


def parse_arguments() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    add = functools.partial(parser.add_argument, metavar="")
    add("--data-dir", help="folder of IDX files or of tensorflow-datasets, or 'embedded'")
    rates = [1e-4, 3e-4, 1e-3, 3e-3]
    add(
        "--learning-rates", type=float, nargs="+", default=rates, help=f"of Adam (default: {rates})"
    )
    add("--seeds", type=int, default=5, help="number of seeds, from 0 (default: 5)")
    add("--beta1", type=float, default=0.5, help="of Adam (default: 0.5)")
    add("--epochs", type=int, default=10, help="(default: 10)")
    add("--batch-size", type=int, default=100, help="(default: 100)")
    common.add_workdir(parser, "runs/sweep")
    args = parser.parse_args()
    common.check_at_least_1(parser, args, "seeds", "epochs", "batch_size")
    if not all(rate > 0 for rate in args.learning_rates):
        parser.error(f"--learning-rates must be positive; got {args.learning_rates}")
    return args


def make_gan(image_shape: tuple[int, ...], beta1: float) -> jaxgan.GAN:
    adam = optax.inject_hyperparams(optax.adam)(1e-3, b1=beta1)  # rates in the state
    return jaxgan.gan(
        generator=jaxgan.networks.MLPGenerator(image_shape),
        discriminator=jaxgan.networks.MLPDiscriminator(),
        loss=jaxgan.losses.non_saturating(real_label=0.9),
        optimizer=jaxgan.Pair(generator=adam, discriminator=adam),
        latents=LATENT_DIM,
    )


def make_population(gan: jaxgan.GAN, batch: jax.Array, rates: list[float], seeds: int):
    """Makes one member for each learning rate and seed: all seeds of the first rate come first."""
    keys = jax.vmap(jax.random.key)(jnp.tile(jnp.arange(seeds), len(rates)))
    states = jax.jit(jax.vmap(gan.init, in_axes=(0, None)))(keys, batch)
    rate = {"learning_rate": np.repeat(rates, seeds)}
    return population.with_hyperparameters(states, generator=rate, discriminator=rate)


def over_members(train, members: int):
    """Maps `train` over all members, split over the devices if they divide evenly."""
    mapped = jax.vmap(train, in_axes=(0, None))
    devices = jax.devices()
    if len(devices) > 1 and members % len(devices) == 0:
        mapped = population.shard(mapped, devices)
    return jax.jit(mapped, donate_argnums=0)


def print_table(history: dict[str, np.ndarray], args: argparse.Namespace) -> None:
    """Prints the median (min to max) over the seeds after the last epoch."""
    print(f"\n| learning rate | {' | '.join(COLUMNS.values())} | skipped steps |")
    print("| --- " * (len(COLUMNS) + 2) + "|")
    skipped = history["generator_skipped"] + history["discriminator_skipped"]
    for i, rate in enumerate(args.learning_rates):
        seeds = slice(i * args.seeds, (i + 1) * args.seeds)
        last = [history[name][seeds, -1] for name in COLUMNS]
        cells = [f"{np.median(x):.3g} ({x.min():.3g} to {x.max():.3g})" for x in last]
        print(f"| {rate:g} | {' | '.join(cells)} | {int(skipped[seeds].sum())} |")


def draw(path: Path, history: dict[str, np.ndarray], args: argparse.Namespace, real: float) -> None:
    def curves(name: str) -> dict[str, np.ndarray]:
        by_rate = history[name].reshape(len(args.learning_rates), args.seeds, -1)
        return {f"{r:g}": x for r, x in zip(args.learning_rates, by_rate, strict=True)}

    diversity = {**curves("pixel_diversity"), "real images": np.full(args.epochs, real)}
    images.curves(
        path,
        {"pixel diversity": diversity, "generator loss": curves("generator_loss")},
    )


def main() -> None:
    args = parse_arguments()
    compilation.enable_compilation_cache()
    members = len(args.learning_rates) * args.seeds
    with common.errors_in_a_line():
        data = jaxgan.datasets.load("mnist", "train", args.data_dir)
        train_images = jnp.asarray(data.images)
        gan = make_gan(train_images.shape[1:], args.beta1)
        batch = images.normalize(train_images[:1])
        states = make_population(gan, batch, args.learning_rates, args.seeds)
        epoch = functools.partial(jaxgan.training.epochs, gan, batch_size=args.batch_size)
        clock = time.perf_counter()
        lowered = over_members(epoch, members).lower(states, train_images)
        config = {"num_images": len(data.images), **common.chosen(args)}
        workdir = common.begin(args, config)
        train = lowered.compile()
        compile_seconds = time.perf_counter() - clock
    print(f"data: {data.source}; {members} members", file=sys.stderr)

    latents = common.fixed_latents(LATENT_DIM)
    sample = jax.jit(jax.vmap(lambda state: gan.sample(state, latents)))
    epochs: list[dict[str, np.ndarray]] = []
    clock = time.perf_counter()
    for number in tqdm(range(args.epochs), unit="epoch"):
        states, metrics = train(states, train_images)  # metrics are [members, 1, updates]
        common.check_data(metrics, number + 1)
        record = {name: np.nanmean(values, axis=(1, 2)) for name, values in metrics.items()}
        for name in ("generator_skipped", "discriminator_skipped"):
            record[name] = np.asarray(metrics[name]).sum(axis=(1, 2))
        samples = sample(states)
        record["pixel_diversity"] = np.asarray(jax.vmap(diagnostics.pixel_diversity)(samples))
        epochs.append(record)
    seconds = time.perf_counter() - clock

    history = {name: np.stack([record[name] for record in epochs], axis=1) for name in epochs[0]}
    real = float(diagnostics.pixel_diversity(images.normalize(data.images[:1000])))
    saving = checkpoint.save(workdir / "checkpoints", states)
    common.written(lambda: draw(workdir / "sweep.png", history, args, real))
    rows = samples[:, :16].reshape(-1, *samples.shape[2:])
    picture = common.grid(rows, 16)  # a row for each member
    common.written(lambda: images.save(workdir / "samples.png", picture))
    common.written(saving.result)
    print_table(history, args)
    summary = {
        "command": shlex.join(["python", *sys.argv]),
        "source": data.source,
        **config,
        "compile_seconds": compile_seconds,
        "seconds": seconds,
        "pixel_diversity_of_real_images": real,
        "history": {name: values.tolist() for name, values in history.items()},
        **jaxgan.environment(),
    }
    common.written(lambda: runs.write_json(workdir / "summary.json", summary))
    print(
        f"{members} members, {args.epochs} epochs in {seconds:.0f} s; results are in {workdir}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    common.run(main)
