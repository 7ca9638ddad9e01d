"""Counts how many of Stacked MNIST's 1,000 modes DCGAN, PacDCGAN and RpGAN+R1+R2 reach.

    python examples/stacked_mnist.py --data-dir mnist                # PacGAN's Table 2, on a GPU
    python examples/stacked_mnist.py --data-dir mnist --setting unrolled-half --methods pacdcgan2

An image has one random digit in each of three channels. Its mode is the three-digit number that the
classifier mnist-v1 reads. The settings are PacGAN's: "veegan" is DCGAN with uniform latents;
"unrolled-quarter" and "unrolled-half" are small networks, whose discriminator has a quarter or half
of the generator's channels. All runs of a method train as a population in one compiled program.
Prints a table, and writes checkpoints, a picture of each method's first run and, after each method,
`summary.json` to `runs/stacked_mnist`.

    python examples/stacked_mnist.py --data-dir mnist --resume       # continues a stopped script
    python examples/stacked_mnist.py --data-dir mnist --methods dcgan --workdir runs/a  # one method
    python examples/stacked_mnist.py --merge runs/a runs/b --workdir runs/joint

For "veegan", PacGAN's code makes two generator steps for each discriminator step, and stacks
training and test digits. This script makes one of each, and stacks training digits only.
"""

import argparse
import functools
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import experiments
import jax
import jax.numpy as jnp
import merging
import numpy as np
import optax

import jaxgan
from jaxgan import (
    augment,
    compilation,
    evaluation,
    images,
    latents,
    losses,
    networks,
    penalties,
    population,
    training,
)

NUM_MODES = 1000
# A run that reaches less than this share of the modes has collapsed. A run with a non-finite sample
# reaches 0 modes.
COLLAPSED = 0.5
CHUNK = 500  # steps in one compiled program
EVALUATED = 1000  # images in each batch of the classifier
SIZES = ("steps", "runs", "batch_size", "samples")
SETTINGS = {  # defaults of SIZES
    "veegan": (100_000, 10, 64, 26_000),
    "unrolled-quarter": (500_000, 50, 128, 25_600),
    "unrolled-half": (500_000, 50, 128, 25_600),
}
LATENTS = {
    "veegan": latents.uniform(100),
    "unrolled-quarter": latents.normal(256),
    "unrolled-half": latents.normal(256),
}
DISCRIMINATOR = {"unrolled-quarter": (2, 4, 8), "unrolled-half": (4, 8, 16)}  # channels
PACKING = {"dcgan": 1, "pacdcgan2": 2, "pacdcgan3": 3, "pacdcgan4": 4, "rpgan": 1}
PUBLISHED = {  # PacGAN's Tables 2 and 3: modes / KL
    "veegan": ["78.9 +- 6.5 / 4.50", "1000 / 0.06", "1000 / 0.06", "1000 / 0.07", ""],
    "unrolled-quarter": ["78.5 / 5.21", "484.5 / 2.61", "", "667.4 / 1.81", ""],
    "unrolled-half": ["487.7 / 2.24", "840.7 / 1.00", "", "820.2 / 1.15", ""],
}


def parse_arguments() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    add = functools.partial(parser.add_argument, metavar="")
    add("--data-dir", help="folder of IDX files or of tensorflow-datasets, or 'embedded'")
    names, text = list(SETTINGS), f"one of {', '.join(SETTINGS)} (default: veegan)"
    add("--setting", choices=names, default="veegan", help=text)
    names, text = list(PACKING), f"any of {', '.join(PACKING)} (default: all)"
    add("--methods", nargs="+", choices=names, default=names, help=text)
    purpose = ("training steps", "of each method", "packs in each step", "to count for each run")
    defaults = zip(SETTINGS["veegan"], SETTINGS["unrolled-half"], strict=True)
    for name, what, (veegan, unrolled) in zip(SIZES, purpose, defaults, strict=True):
        text = f"{what} (default: {veegan}; unrolled: {unrolled})"
        add(f"--{name.replace('_', '-')}", type=int, help=text)
    add("--triples", type=int, default=128_000, help="training images (default: 128000)")
    add("--features", type=int, default=64, help="of DCGAN, for veegan (default: 64)")
    add("--gamma", type=float, default=0.1, help="weight of R1 and R2, for rpgan (default: 0.1)")
    experiments.add_options(parser, "runs/stacked_mnist")
    args = experiments.parse(parser)
    for name, default in zip(SIZES, SETTINGS[args.setting], strict=True):
        if getattr(args, name) is None:
            setattr(args, name, default)
    common.check_at_least_1(parser, args, *SIZES, "triples", "features")
    if args.triples < args.batch_size * max(PACKING[method] for method in args.methods):
        parser.error(f"--triples must be at least one batch of packs; got {args.triples}")
    return args


def stack(digits: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Stacks digits `[num, 28, 28, 1]` into one image for each triple of `indices`."""
    return np.concatenate([digits[column] for column in indices.T], axis=-1)


def draw_triples(digits: np.ndarray, num: int, seed: int) -> np.ndarray:
    """Draws images of three random digits, uint8 `[num, 28, 28, 3]`."""
    indices = jax.random.randint(jax.random.key(seed), (num, 3), 0, len(digits))
    return stack(digits, np.asarray(indices))


def read_modes(classifier: evaluation.FeatureExtractor, pictures: jax.Array) -> jax.Array:
    """Reads the modes of images in [-1, 1]: in [0, 1000), or -1 for a non-finite image."""
    digits = jnp.moveaxis(pictures, -1, 1).reshape(-1, *pictures.shape[1:3], 1)
    classes = classifier.probabilities(digits).argmax(axis=1).reshape(-1, 3)
    modes = 100 * classes[:, 0] + 10 * classes[:, 1] + classes[:, 2]
    return jnp.where(jnp.isfinite(pictures).all(axis=(1, 2, 3)), modes, -1)


def count(read: Callable[[Any], jax.Array], rows: Any) -> evaluation.ModeCoverage:
    """Counts the modes of all rows, in batches: 0 if a row is not finite."""
    starts = range(0, len(rows), EVALUATED)
    modes = np.concatenate([np.asarray(read(rows[i : i + EVALUATED])) for i in starts])
    found = evaluation.mode_coverage(np.maximum(modes, 0), NUM_MODES)
    return found._replace(modes=0, kl=math.inf) if (modes < 0).any() else found


def make_gan(method: str, args: argparse.Namespace) -> jaxgan.GAN:
    players: tuple[Any, Any]
    shape = (28, 28, 3)
    if args.setting == "veegan":
        generator = networks.DCGANGenerator(shape, args.features, stages=4)
        players = generator, networks.DCGANDiscriminator(args.features, stages=4)
        rates, b2 = (2e-4, 2e-4), 0.999
    else:
        channels = DISCRIMINATOR[args.setting]
        players = networks.UnrolledGenerator(shape), networks.UnrolledDiscriminator(channels)
        rates, b2 = (1e-4, 2e-4), 0.99
    both = penalties.add(penalties.r1(args.gamma), penalties.r2(args.gamma))
    return jaxgan.gan(
        generator=players[0],
        discriminator=players[1],
        loss=losses.relativistic() if method == "rpgan" else losses.non_saturating(real_label=1.0),
        optimizer=jaxgan.Pair(*(optax.adam(rate, b1=0.5, b2=b2) for rate in rates)),
        latents=LATENTS[args.setting],
        penalty=both if method == "rpgan" else None,
        augmentation=augment.pack(PACKING[method]),
    )


def make_training(
    method: str,
    triples: jax.Array,
    classifier: evaluation.FeatureExtractor,
    shared: dict[str, Any],
    args: argparse.Namespace,
) -> experiments.Training:
    """Makes the training of all runs of a method."""

    gan, seeds = make_gan(method, args), experiments.seeds(args, args.runs)
    # A batch counts packs, as in PacGAN's code, so steps with packing use more images.
    steps = functools.partial(training.steps, gan, batch_size=args.batch_size * gan.packing)

    @functools.cache  # the last chunk may have fewer steps
    def train(num_steps: int) -> Callable:
        return experiments.counted(functools.partial(steps, num_steps=num_steps))

    def init() -> jaxgan.TrainState:
        keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
        return jax.jit(jax.vmap(gan.init, in_axes=(0, None)))(keys, jnp.zeros((1, 28, 28, 3)))

    def advance(states: jaxgan.TrainState, done: int) -> tuple[jaxgan.TrainState, dict]:
        states, skipped = train(min(CHUNK, args.steps - done * CHUNK))(states, triples)
        return states, {"skipped": skipped.tolist()}

    def finish(states: jaxgan.TrainState, history: list[dict]) -> list[experiments.Row]:
        fixed = common.fixed_latents(LATENTS[args.setting], args.samples)
        read = jax.jit(lambda state, z: read_modes(classifier, gan.sample(state, z)))
        members = [population.pick(states, i) for i in range(args.runs)]
        found = [count(functools.partial(read, one), fixed) for one in members]
        first = images.quantize(np.nan_to_num(gan.sample(members[0], fixed[:64])))
        result = {"method": method, "seeds": seeds}
        result |= {"seconds": sum(record["seconds"] for record in history)}
        result |= {"runs": [x._asdict() for x in found]}
        result |= {"skipped_steps": experiments.skipped(history)}
        return [{"result": result, "shown": [first.tolist()], "shared": shared}]

    return experiments.Training(method, math.ceil(args.steps / CHUNK), init, advance, finish)


def mean(values: list[float]) -> str:
    """Formats the mean and standard error of the finite values."""
    finite = [x for x in values if math.isfinite(x)]
    if not finite:
        return "none"
    counts = "" if len(finite) == len(values) else f" ({len(finite)} of {len(values)} runs)"
    return evaluation.plus_minus(finite, 3) + counts


def row(setting: str, method: str, found: list[evaluation.ModeCoverage], skipped: int) -> str:
    cells = [
        method,
        evaluation.plus_minus([x.modes for x in found], 1),
        mean([x.kl for x in found]),
        f"{sum(x.modes < COLLAPSED * NUM_MODES for x in found)} of {len(found)}",
        str(skipped),
        dict(zip(PACKING, PUBLISHED[setting], strict=True))[method],
    ]
    return f"| {' | '.join(cells)} |"


def compute(args: argparse.Namespace) -> tuple[Path, list[experiments.Row]]:
    with common.errors_in_a_line():
        digits, _ = data = jaxgan.datasets.load("mnist", "train", args.data_dir)
        test_digits, _ = jaxgan.datasets.load("mnist", "test", args.data_dir)
        config = {"images_sha256": common.digest(data), **common.chosen(args)}
        workdir = common.begin(args, config)
    print(f"data: {data.source}", file=sys.stderr)
    classifier = evaluation.mnist_v1()
    read_real = jax.jit(lambda pictures: read_modes(classifier, images.normalize(pictures)))
    # Neither the classifier nor a GAN trained on the test digits, so they stand for a perfect
    # generator.
    real = count(read_real, draw_triples(test_digits, args.samples, seed=2018))
    triples = jnp.asarray(draw_triples(digits, args.triples, seed=2017))
    shared = {"data": data.source, "real": real._asdict()}
    trainings = [make_training(name, triples, classifier, shared, args) for name in args.methods]
    return workdir, experiments.compute(args, workdir, trainings, unit="chunk")


def report(args: argparse.Namespace, workdir: Path, rows: list[experiments.Row]) -> None:
    """Prints the table, and saves a picture of the first run of each method."""
    real = evaluation.ModeCoverage(**rows[0]["shared"]["real"])
    print(f"\n| method | modes | KL | collapsed | skipped steps | published |\n{'| --- ' * 6}|")
    print(f"| *triples of test digits* | {real.modes} | {real.kl:.3f} | | | |")
    for found in rows:
        result = found["result"]
        coverages = [evaluation.ModeCoverage(**run) for run in result["runs"]]
        print(row(args.setting, result["method"], coverages, sum(result["skipped_steps"])))
        picture = images.grid(np.array(found["shown"][0], np.uint8), scale=2)
        common.written(functools.partial(images.save, workdir / f"{result['method']}.png", picture))
    print(f"The KL floor is {real.kl_floor:.4f}. Results are in {workdir}.", file=sys.stderr)


def main() -> None:
    args = parse_arguments()
    compilation.enable_compilation_cache()
    if args.merge:
        args, workdir, rows = merging.merge(args, {"methods": "method"})
    else:
        workdir, rows = compute(args)
    report(args, workdir, rows)


if __name__ == "__main__":
    common.run(main)
