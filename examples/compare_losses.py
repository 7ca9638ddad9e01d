"""Compares GAN losses on MNIST, with the same networks and training budget for all losses.

    python examples/compare_losses.py --data-dir mnist                         # full size
    python examples/compare_losses.py --data-dir mnist --networks mlp --runs 5  # for a CPU

The defaults follow "Are GANs Created Equal?": InfoGAN networks, 20 epochs, 50 seeds. That study
reports the best of 100 settings for each loss. Here all losses share one untuned setting, Adam 2e-4
with beta1 0.5. The study's BEGAN is missing, because its discriminator is an autoencoder and cannot
have the same architecture.

All runs of a loss train as a population in one compiled program. The score is the Frechet distance
of 10,000 samples to the test images, in the features of the classifier mnist-v1 and of random
weights. A run has collapsed if it scores no better than real digits of a single class: its distance
is at least that of the nearest class, or its coverage is at most that of the widest class.

Prints a table, and writes checkpoints, `distances.png`, `samples.png` and, after each loss,
`summary.json` to `runs/compare_losses`.

    python examples/compare_losses.py --data-dir mnist --resume      # continues a stopped script
    python examples/compare_losses.py --data-dir mnist --losses ns --workdir runs/a  # one loss
    python examples/compare_losses.py --merge runs/a runs/b --workdir runs/joint

References:
  Lucic et al., Are GANs Created Equal?, 2018, https://arxiv.org/abs/1711.10337
"""

import argparse
import functools
import math
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

import jaxgan
from jaxgan import (
    compilation,
    evaluation,
    images,
    losses,
    networks,
    optimizers,
    penalties,
    population,
)

NETWORKS: dict[str, tuple[Any, Any]] = {
    "infogan": (networks.InfoGANGenerator(), networks.InfoGANDiscriminator()),
    "mlp": (networks.MLPGenerator(), networks.MLPDiscriminator()),
}
COVERED = 2000  # samples and test images for the coverage: enough to detect a single class
SHOWN = 10  # samples of each loss in the picture


class Method(NamedTuple):
    loss: jaxgan.Loss
    penalty: Any = None
    clip: float | None = None
    published: str = ""  # the study's FID on MNIST, with Inception features


class Space(NamedTuple):
    """Holds a feature function and the test images in its feature space."""

    features: Callable
    moments: evaluation.Moments
    subset: np.ndarray  # features of COVERED test images, for the coverage


NON_SATURATING = losses.non_saturating(real_label=1.0)
METHODS = {
    "mm": Method(losses.minimax(), published="9.8 +- 0.9"),
    "ns": Method(NON_SATURATING, published="6.8 +- 0.5"),
    "lsgan": Method(losses.least_squares(), published="7.8 +- 0.6"),
    "wgan": Method(losses.wasserstein(), clip=0.01, published="6.7 +- 0.4"),
    "wgan-gp": Method(losses.wasserstein(), penalties.wgan_gp(), published="20.3 +- 5.0"),
    "dragan": Method(NON_SATURATING, penalties.dragan(), published="7.6 +- 0.4"),
    "ns-r1": Method(NON_SATURATING, penalties.r1(0.1)),
    "rpgan": Method(losses.relativistic(), penalties.add(penalties.r1(0.1), penalties.r2(0.1))),
}


def parse_arguments() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    add = functools.partial(parser.add_argument, metavar="")
    add("--data-dir", help="folder of IDX files or of tensorflow-datasets, or 'embedded'")
    names, text = list(METHODS), f"any of {', '.join(METHODS)} (default: all)"
    add("--losses", nargs="+", choices=names, default=names, help=text)
    names, text = list(NETWORKS), f"one of {', '.join(NETWORKS)} (default: infogan)"
    add("--networks", choices=names, default="infogan", help=text)
    add("--epochs", type=int, default=20, help="(default: 20)")
    add("--runs", type=int, default=50, help="of each loss (default: 50)")
    add("--batch-size", type=int, default=64, help="(default: 64)")
    add("--latent-dim", type=int, default=64, help="(default: 64)")
    add("--learning-rate", type=float, default=2e-4, help="of Adam (default: 2e-4)")
    add("--samples", type=int, default=10_000, help="samples of each run to score (default: 10000)")
    experiments.add_options(parser, "runs/compare_losses")
    args = experiments.parse(parser)
    common.check_at_least_1(parser, args, "epochs", "runs", "batch_size", "latent_dim")
    if args.samples < 1000:  # fewer are too few for 128 features
        parser.error(f"--samples must be at least 1000; got {args.samples}")
    return args


def make_gan(name: str, args: argparse.Namespace) -> jaxgan.GAN:
    method, adam = METHODS[name], optax.adam(args.learning_rate, b1=0.5)
    clip = [] if method.clip is None else [optimizers.clip_weights(method.clip)]
    generator, discriminator = NETWORKS[args.networks]
    return jaxgan.gan(
        generator=generator,
        discriminator=discriminator,
        loss=method.loss,
        optimizer=jaxgan.Pair(generator=adam, discriminator=optax.chain(adam, *clip)),
        latents=args.latent_dim,
        penalty=method.penalty,
    )


def load_space(features: Callable, test_images: np.ndarray) -> Space:
    seen = evaluation.embed(features, test_images)
    # A stride, because the first test digits are from tidier writers than the others.
    return Space(features, evaluation.moments(seen), seen[:: max(1, len(seen) // COVERED)])


def score(samples: np.ndarray, spaces: dict[str, Space]) -> dict[str, float]:
    """Computes the Frechet distance in each feature space, and the coverage in the first space.

    Float images are quantized to uint8, as in a file. Non-finite images get the worst scores.
    """
    if not np.isfinite(samples).all():
        return {**dict.fromkeys(spaces, math.inf), "coverage": 0.0}
    samples = samples if samples.dtype == np.uint8 else images.quantize(samples)
    seen = {name: evaluation.embed(space.features, samples) for name, space in spaces.items()}
    scores = {name: evaluation.frechet(spaces[name].moments, x) for name, x in seen.items()}
    first = next(iter(spaces))
    covered = evaluation.density_coverage(spaces[first].subset, seen[first][:COVERED])
    return {**scores, "coverage": covered.coverage}


def score_one_class(
    digits: np.ndarray, labels: np.ndarray, spaces: dict[str, Space], num: int
) -> dict[str, float]:
    """Computes the best distance and coverage of at most `num` real digits of a single class."""
    first = next(iter(spaces))
    scored = [score(digits[labels == i][:num], {first: spaces[first]}) for i in range(10)]
    return {
        "distance": min(scores[first] for scores in scored),
        "coverage": max(scores["coverage"] for scores in scored),
    }


def collapsed(distances: list[float], coverages: list[float], one_class: dict[str, float]) -> int:
    """Counts the runs that score no better than real digits of a single class."""
    return sum(
        distance >= one_class["distance"] or coverage <= one_class["coverage"]
        for distance, coverage in zip(distances, coverages, strict=True)
    )


def mean(distances: list[float]) -> str:
    """Formats the mean and standard error of the finite values."""
    finite = [x for x in distances if math.isfinite(x)]
    return evaluation.plus_minus(finite, 3) if finite else "none"


def make_training(
    name: str,
    train_images: jax.Array,
    spaces: dict[str, Space],
    shared: dict[str, Any],
    args: argparse.Namespace,
) -> experiments.Training:
    """Makes the training of all runs of a loss."""

    gan, seeds = make_gan(name, args), experiments.seeds(args, args.runs)
    epoch = functools.partial(jaxgan.training.epochs, gan, batch_size=args.batch_size)
    step = experiments.counted(epoch)

    def init() -> jaxgan.TrainState:
        keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
        start = images.normalize(train_images[:1])
        return jax.jit(jax.vmap(gan.init, in_axes=(0, None)))(keys, start)

    def advance(states: jaxgan.TrainState, done: int) -> tuple[jaxgan.TrainState, dict]:
        states, skipped = step(states, train_images)
        return states, {"skipped": skipped.tolist()}

    def finish(states: jaxgan.TrainState, history: list[dict]) -> list[experiments.Row]:
        latents = common.fixed_latents(args.latent_dim, args.samples)
        sample, scores, shown = jax.jit(gan.sample), [], []
        for i in range(args.runs):
            member = population.pick(states, i)
            parts = [sample(member, latents[j : j + 500]) for j in range(0, len(latents), 500)]
            fake = np.concatenate(parts)
            scores.append(score(fake, spaces))
            if i == 0:
                shown.append(images.quantize(np.nan_to_num(fake[:SHOWN])).tolist())
        result: dict[str, Any] = {"loss": name, "seeds": seeds}
        result |= {"seconds": sum(record["seconds"] for record in history)}
        result |= {"skipped_steps": experiments.skipped(history)}
        result |= {key: [one[key] for one in scores] for key in scores[0]}
        return [{"result": result, "shown": shown, "shared": shared}]

    return experiments.Training(name, args.epochs, init, advance, finish)


def print_table(results: list[dict], floor: dict, one_class: dict[str, float]) -> None:
    """Prints the losses from best to worst median distance."""
    spaces = [key for key in floor if key != "coverage"]
    first = spaces[0]
    print(f"\n| loss | {' | '.join(spaces)} | median | min to max | coverage | collapsed |", end="")
    print(f" skipped steps | published: FID |\n{'| --- ' * (len(spaces) + 7)}|")
    cells = [*(f"{floor[space]:.3f}" for space in spaces), "", "", f"{floor['coverage']:.3f}"]
    print(f"| *floor: training images* | {' | '.join(cells)} | | | |")
    for result in sorted(results, key=lambda result: np.median(result[first])):
        values, covered = result[first], result["coverage"]
        cells = [
            result["loss"],
            *(mean(result[space]) for space in spaces),
            f"{np.median(values):.2f}",
            f"{min(values):.2f} to {max(values):.2f}",
            mean(covered),
            f"{collapsed(values, covered, one_class)} of {len(values)}",
            str(sum(result["skipped_steps"])),
            METHODS[result["loss"]].published,
        ]
        print(f"| {' | '.join(cells)} |")


def draw(path: Path, results: list[dict], floor: dict[str, float]) -> None:
    """Plots each run as a point and each loss as a column, from best to worst."""
    from matplotlib.figure import Figure

    spaces = {space: least for space, least in floor.items() if space != "coverage"}
    figure = Figure(figsize=(4.8 * len(spaces), 3.6), layout="constrained", dpi=110)
    for axes, (space, least) in zip(
        figure.subplots(1, len(spaces), squeeze=False)[0], spaces.items(), strict=True
    ):
        ordered = sorted(results, key=lambda result: np.median(result[space]))
        for i, result in enumerate(ordered):
            values = np.asarray(result[space])
            spots = i + 0.25 * (np.arange(len(values)) / len(values) - 0.5)
            color = f"C{list(METHODS).index(result['loss'])}"
            axes.plot(spots, values, "o", color=color, markersize=3, alpha=0.6)
            axes.plot([i - 0.3, i + 0.3], [np.median(values)] * 2, color="black", linewidth=1)
        axes.axhline(least, color="black", linewidth=0.8, linestyle="--")
        axes.set(title=f"Frechet distance, {space}", yscale="log", xticks=range(len(ordered)))
        axes.set_xticklabels([result["loss"] for result in ordered], rotation=40)
    figure.suptitle("each run, the median, and training images (dashed)", fontsize=9)
    common.save_figure(path, figure)


def compute(args: argparse.Namespace) -> tuple[Path, list[experiments.Row]]:
    with common.errors_in_a_line():
        data = jaxgan.datasets.load("mnist", "train", args.data_dir)
        test = jaxgan.datasets.load("mnist", "test", args.data_dir)
        config = {"images_sha256": common.digest(data), **common.chosen(args)}
        workdir = common.begin(args, config)
    print(f"data: {data.source}", file=sys.stderr)
    feature_fns = {"mnist-v1": evaluation.mnist_v1().features, "random-v1": evaluation.random_v1()}
    spaces = {name: load_space(features, test.images) for name, features in feature_fns.items()}
    floor = score(data.images[: args.samples], spaces)
    one_class = score_one_class(data.images, data.labels, spaces, min(COVERED, args.samples))
    shared = {"source": data.source, "floor": floor, "one_class": one_class}
    train_images = jnp.asarray(data.images)
    trainings = [make_training(name, train_images, spaces, shared, args) for name in args.losses]
    return workdir, experiments.compute(args, workdir, trainings)


def report(workdir: Path, rows: list[experiments.Row]) -> None:
    """Prints the table, and draws the samples and distances."""
    results, shared = [row["result"] for row in rows], rows[0]["shared"]
    samples = np.concatenate([np.array(row["shown"][0], np.uint8) for row in rows])
    common.written(
        lambda: images.save(workdir / "samples.png", images.grid(samples, SHOWN, scale=2))
    )
    print_table(results, shared["floor"], shared["one_class"])
    common.written(lambda: draw(workdir / "distances.png", results, shared["floor"]))
    text = "Each row of samples.png is a loss, in order. Results are in"
    print(f"{text} {workdir}.", file=sys.stderr)


def main() -> None:
    args = parse_arguments()
    compilation.enable_compilation_cache()
    if args.merge:
        args, workdir, rows = merging.merge(args, {"losses": "loss"})
    else:
        workdir, rows = compute(args)
    report(workdir, rows)


if __name__ == "__main__":
    common.run(main)
