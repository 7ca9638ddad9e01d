"""Trains the classic MNIST GAN for several learning rates and seeds at once, in one program.

    python examples/sweep.py          # 4 learning rates x 5 seeds, 10 epochs

Prints a table of the medians and ranges over the seeds. Writes `sweep.png` (a plot), `samples.png`,
checkpoints and `summary.json` to `runs/sweep`. Several devices split the members if they divide
evenly. With `--mesh`, groups of devices, also of several processes, split the members, and the
devices of a group split each batch. To change more than the options, copy and edit this file and
the files that it imports.

    python examples/sweep.py --resume                                # continues a stopped script
    python examples/sweep.py --learning-rates 1e-3 --workdir runs/a  # computes rates apart
    python examples/sweep.py --merge runs/a runs/b --workdir runs/joint
"""

import argparse
import functools
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import common
import experiments
import jax
import jax.numpy as jnp
import merging
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxgan
from jaxgan import compilation, diagnostics, images, population

LATENT_DIM, SHOWN = 100, 16  # samples of each member in the picture
COLUMNS = {  # of the table: means of the last epoch, and the diversity after it
    "generator_loss": "generator loss",
    "discriminator_loss": "discriminator loss",
    "real_probability": "real sigmoid",
    "fake_probability": "fake sigmoid",
    "pixel_diversity": "pixel diversity",
}


class Program(NamedTuple):
    """Holds functions that make the states of all members, and train them for an epoch."""

    init: Callable[[], jaxgan.TrainState]
    train: Callable[[jaxgan.TrainState], tuple[jaxgan.TrainState, jaxgan.types.Metrics]]


def parse_arguments() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    add = functools.partial(parser.add_argument, metavar="")
    add("--data-dir", help="folder of IDX files or of tensorflow-datasets, or 'embedded'")
    rates = [1e-4, 3e-4, 1e-3, 3e-3]
    add(
        "--learning-rates", type=float, nargs="+", default=rates, help=f"of Adam (default: {rates})"
    )
    add("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    add("--beta1", type=float, default=0.5, help="of Adam (default: 0.5)")
    add("--epochs", type=int, default=10, help="(default: 10)")
    add("--batch-size", type=int, default=100, help="(default: 100)")
    common.add_mesh(parser)
    experiments.add_options(parser, "runs/sweep")
    args = experiments.parse(parser)
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


def make_population(gan: jaxgan.GAN, batch: jax.Array, rates: list[float], seeds: list[int]):
    """Makes one member for each learning rate and seed: all seeds of the first rate come first."""
    keys = jax.vmap(jax.random.key)(jnp.tile(jnp.asarray(seeds), len(rates)))
    states = jax.jit(jax.vmap(gan.init, in_axes=(0, None)))(keys, batch)
    rate = {"learning_rate": np.repeat(rates, len(seeds))}
    return population.with_hyperparameters(states, generator=rate, discriminator=rate)


def over_members(train, members: int, mesh: Mesh | None):
    """Maps `train` over all members, split over the devices if they divide evenly.

    With `mesh`, groups of devices split the members, and each batch of a member.
    """
    if mesh:
        mapped = population.shard(population.each(functools.partial(train, mesh=mesh)), mesh)
        return jax.jit(mapped, donate_argnums=0)
    mapped, devices = population.each(train), jax.devices()
    if len(devices) > 1 and members % len(devices) == 0:
        mapped = population.shard(mapped, devices)
    return jax.jit(mapped, donate_argnums=0)


def split_members(mesh: Mesh | None, states: jaxgan.TrainState) -> jaxgan.TrainState:
    """Copies new or restored members to the groups of devices that train them."""
    sharding = states.step.sharding
    if mesh is None or (isinstance(sharding, NamedSharding) and sharding.mesh == mesh):
        return states
    return jaxgan.distributed.place(mesh, states, PartitionSpec("members"))


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


def make_training(
    gan: jaxgan.GAN,
    program: Program,
    mesh: Mesh | None,
    shared: dict[str, Any],
    args: argparse.Namespace,
) -> experiments.Training:
    """Makes the training of all members, from the compiled program of an epoch."""
    seeds, latents = experiments.seeds(args, args.seeds), common.fixed_latents(LATENT_DIM)

    def draw(state: jaxgan.TrainState) -> jax.Array:
        return gan.sample(state, latents)

    draw_each = population.each(draw)
    draw_each = jax.jit(population.shard(draw_each, mesh) if mesh else draw_each)
    diversity = jax.jit(population.each(diagnostics.pixel_diversity))

    def sample(states: jaxgan.TrainState) -> jax.Array:
        return common.gather(draw_each(split_members(mesh, states)))

    def advance(states: jaxgan.TrainState, done: int) -> tuple[jaxgan.TrainState, dict]:
        states, metrics = program.train(states)
        metrics = common.gather(metrics)  # [members, 1, updates]
        common.check_data(metrics, done + 1)
        record = {name: np.nanmean(values, axis=(1, 2)) for name, values in metrics.items()}
        for name in ("generator_skipped", "discriminator_skipped"):
            record[name] = np.asarray(metrics[name]).sum(axis=(1, 2))
        record["pixel_diversity"] = np.asarray(diversity(sample(states)))
        return states, {name: values.tolist() for name, values in record.items()}

    def finish(states: jaxgan.TrainState, history: list[dict]) -> list[experiments.Row]:
        """Makes a row for each learning rate, with an equal share of the time."""
        columns = {name: np.stack([r[name] for r in history], axis=-1) for name in history[0]}
        seconds = columns.pop("seconds").sum().item() / len(args.learning_rates)
        shown, rows = images.quantize(sample(states)[:, :SHOWN]), []
        for i, rate in enumerate(args.learning_rates):
            chosen = slice(i * len(seeds), (i + 1) * len(seeds))
            result = {"learning_rate": rate, "seeds": seeds, "seconds": seconds}
            result["history"] = {name: x[chosen].tolist() for name, x in columns.items()}
            rows.append({"result": result, "shown": shown[chosen].tolist(), "shared": shared})
        return rows

    return experiments.Training("", args.epochs, program.init, advance, finish)


def summarize(args: argparse.Namespace, rows: list[experiments.Row]) -> dict[str, Any]:
    return {
        "command": shlex.join(["python", *sys.argv]),
        **rows[0]["shared"],
        **common.chosen(args),
        "seconds": sum(row["result"]["seconds"] for row in rows),
        "history": {name: values.tolist() for name, values in join_history(rows).items()},
        **jaxgan.environment(),
    }


def join_history(rows: list[experiments.Row]) -> dict[str, np.ndarray]:
    """Returns the metrics of all members, `[members, epochs]`."""
    joined = {}
    for name in rows[0]["result"]["history"]:
        values = np.concatenate([row["result"]["history"][name] for row in rows])
        joined[name] = values.astype(np.float32) if values.dtype == np.float64 else values
    return joined


def compute(args: argparse.Namespace) -> tuple[Path, list[experiments.Row]]:
    members = len(args.learning_rates) * args.seeds
    with common.errors_in_a_line():
        mesh = common.make_mesh(args, members=members)
        data = jaxgan.datasets.load("mnist", "train", args.data_dir)
        train_images = common.place(mesh, data.images)
        gan, seeds = (
            make_gan(train_images.shape[1:], args.beta1),
            experiments.seeds(args, args.seeds),
        )
        batch = images.normalize(data.images[:1])
        init = functools.partial(make_population, gan, batch, args.learning_rates, seeds)
        epoch = functools.partial(jaxgan.training.epochs, gan, batch_size=args.batch_size)
        train = over_members(epoch, members, mesh)
        lowered = train.lower(jax.eval_shape(init), train_images)
        facts = {"num_images": len(data.images), "images_sha256": common.digest(data)}
        workdir = common.begin(args, {**facts, **common.chosen(args)})
        compiled, seconds = common.timed(lowered.compile)
        compilation.check_memory(compiled)
    common.say(f"data: {data.source}; {members} members")
    real = float(diagnostics.pixel_diversity(images.normalize(data.images[:1000])))
    shared = {"source": data.source, **facts, "compile_seconds": seconds}
    shared["pixel_diversity_of_real_images"] = real
    program = Program(init, lambda states: compiled(split_members(mesh, states), train_images))
    training = make_training(gan, program, mesh, shared, args)
    return workdir, experiments.compute(args, workdir, [training], summarize=summarize)


def report(args: argparse.Namespace, workdir: Path, rows: list[experiments.Row]) -> None:
    """Prints the table, and draws the curves and the samples of all members."""
    history, real = join_history(rows), rows[0]["shared"]["pixel_diversity_of_real_images"]
    common.written(lambda: draw(workdir / "sweep.png", history, args, real))
    shown = np.concatenate([np.array(row["shown"], np.uint8) for row in rows])
    samples = shown.reshape(-1, *shown.shape[2:])
    common.written(
        lambda: images.save(workdir / "samples.png", images.grid(samples, SHOWN))
    )  # a row for each member
    print_table(history, args)
    seconds = sum(row["result"]["seconds"] for row in rows)
    text = f"{len(shown)} members, {args.epochs} epochs in {seconds:.0f} s"
    print(f"{text}; results are in {workdir}", file=sys.stderr)


def main() -> None:
    args = parse_arguments()
    if not args.merge:
        common.join_processes()
    compilation.enable_compilation_cache()
    if args.merge:
        split = {"learning_rates": "learning_rate"}
        args, workdir, rows = merging.merge(args, split, "seeds", summarize)
    else:
        workdir, rows = compute(args)
    if common.is_first():
        report(args, workdir, rows)


if __name__ == "__main__":
    common.run(main, joins=True)
