"""Evaluates the newest checkpoint of `examples/mnist.py` against test images.

    python examples/mnist.py --data-dir mnist
    python examples/evaluate.py --checkpoint runs/mnist --data-dir mnist

Compares samples of several draws of latents with the test images, in the features of the classifier
"mnist-v1" and of random weights. The floor of a score is the score of training images in place of
the samples. Prints a table, and writes `report.json` and `report.png` to `runs/mnist/evaluation`.
"""

import argparse
import functools
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import common
import jax
import jax.numpy as jnp
import mnist
import numpy as np
from tqdm import tqdm

import jaxgan
from jaxgan import checkpoint, compilation, evaluation, images, runs

# The keys of `config.json` that the evaluation reads.
CONFIG = {
    "dataset",
    "networks",
    "loss",
    "penalty",
    "learning_rate",
    "beta1",
    "seed",
    "images_sha256",
}


def parse_arguments() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    add = functools.partial(parser.add_argument, metavar="")
    add("--checkpoint", type=Path, required=True, help="the --workdir of examples/mnist.py")
    add("--data-dir", help="folder of IDX files or of tensorflow-datasets, or 'embedded'")
    add("--samples", type=int, default=10_000, help="in each draw (default: 10000)")
    add("--draws", type=int, default=3, help="number of draws of latents (default: 3)")
    common.add_overwrite(parser)
    args = parser.parse_args()
    if args.samples < 1000 or args.draws < 1:
        parser.error("--samples must be at least 1000 and --draws at least 1")
    return args


def read_config(workdir: Path) -> dict[str, Any]:
    """Reads the configuration of the run, and checks that the run trained on digits."""
    path = workdir / "config.json"
    try:
        config = json.loads(path.read_text())
    except ValueError:
        config = None
    found = set(config) if isinstance(config, dict) else set()
    if missing := CONFIG - found:
        got = f"no {', '.join(sorted(missing))}"
        raise ValueError(f"{path} must be from a run of examples/mnist.py; got {got}.")
    if config["dataset"] != "mnist":
        got = repr(config["dataset"])
        raise ValueError(
            f"dataset in {path} must be 'mnist', because the classifier mnist-v1 reads digits; got "
            f"{got}."
        )
    return config


def load_images(args: argparse.Namespace, trained: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Loads training and test images without common images, and the name of their source.

    Warns if the run, whose images have the digest `trained`, trained on the test images.
    """
    train = jaxgan.datasets.load("mnist", "train", args.data_dir)
    test = jaxgan.datasets.load("mnist", "test", args.data_dir)
    if common.digest(test) == trained:
        print("The run trained on the test images, so the scores are too good.", file=sys.stderr)
    elif common.digest(train) != trained:
        print("The run trained on images other than these training images.", file=sys.stderr)
    if not np.array_equal(train.images, test.images):
        return train.images, test.images, train.source
    print(
        "Only the 10,000 embedded digits are available. Every second digit serves as a test image.",
        file=sys.stderr,
    )
    # Every second digit, because the two halves of the set are from different writers.
    return train.images[::2], train.images[1::2], f"{train.source}, in halves"


def restore(
    workdir: Path, config: dict[str, Any], image_shape: tuple[int, ...]
) -> tuple[jaxgan.GAN, jaxgan.TrainState]:
    try:
        gan = mnist.make_gan(image_shape, argparse.Namespace(**config))
        key = jax.random.key(config["seed"])
    except (ValueError, TypeError, LookupError) as error:
        path = workdir / "config.json"
        raise ValueError(
            f"{path} must be from a run of examples/mnist.py; got {type(error).__name__}: {error}."
        ) from error
    if not checkpoint.steps(workdir / "checkpoints"):
        advice = "Continue it with examples/mnist.py --resume."
        raise FileNotFoundError(f"{workdir} must be a run with checkpoints; got none. {advice}")
    start = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    like = jax.eval_shape(gan.init, key, start)
    return gan, checkpoint.restore(workdir / "checkpoints", like=like)


def draw_samples(gan: jaxgan.GAN, state: jaxgan.TrainState, num: int, seed: int) -> np.ndarray:
    latents = jax.random.normal(jax.random.key(seed), (num, mnist.LATENT_DIM))
    sample = jax.jit(gan.sample)
    parts = [np.asarray(sample(state, latents[i : i + 500])) for i in range(0, num, 500)]
    drawn = np.concatenate(parts)
    broken = int((~np.isfinite(drawn).all(axis=(1, 2, 3))).sum())
    if broken:
        raise ValueError(
            f"Samples must be finite; got NaN or infinity in {broken} of {num} at step "
            f"{int(state.step)}. Run examples/mnist.py with --overwrite and a lower "
            "--learning-rate or another --loss."
        )
    return images.quantize(drawn)  # as in a PNG file


def score(fake: np.ndarray, real: dict, train: dict, spaces: dict, show) -> dict:
    """Computes the scores of samples: by feature space, of the classes, and the class shares."""
    scores: dict[str, dict[str, float]] = {}
    for name, features in spaces.items():
        seen = evaluation.embed(features, fake)
        progress = lambda metric, name=name: show(f"{name}: {metric}")
        scores[name] = evaluation.compare(real[name], seen, train=train[name], progress=progress)
    p = evaluation.embed(evaluation.mnist_v1().probabilities, fake)
    classes = p.argmax(axis=1)
    covered = evaluation.mode_coverage(classes, 10)
    shares = np.bincount(classes, minlength=10) / len(fake)
    scores["shares"] = {str(i): float(share) for i, share in enumerate(shares)}
    scores["classes"] = {
        "inception_score": evaluation.inception_score(p).value,
        "classes": covered.modes,
        "kl": covered.kl,
        "kl_floor": covered.kl_floor,
    }
    return scores


def print_table(report: dict) -> None:
    print("\n| space | score | samples | floor: training images |\n| --- | --- | --- | --- |")
    for space, floors in report["floor"].items():
        for name, floor in floors.items():
            values = [draw[space][name] for draw in report["draws"]]
            print(f"| {space} | {name} | {evaluation.plus_minus(values, 4)} | {floor:.4f} |")


def draw_page(path: Path, fake: np.ndarray, train: np.ndarray, seen: tuple, report: dict) -> None:
    """Draws samples, pairs of samples and nearest training images, class shares, and scores."""
    from matplotlib.figure import Figure

    fake_seen, train_seen = seen
    nearest = evaluation.authenticity(train_seen, fake_seen[:16]).nearest
    pairs = np.concatenate([fake[:16], train[nearest]])
    p = evaluation.embed(evaluation.mnist_v1().probabilities, fake)
    figure = Figure(figsize=(11, 9), layout="constrained", dpi=110)
    (top_left, top_right), (low_left, low_right) = figure.subplots(2, 2)
    top_left.imshow(images.grid(fake[:100], 10)[..., 0], cmap="gray")
    top_left.set(title="samples", xticks=[], yticks=[])
    top_right.bar(range(10), np.bincount(p.argmax(axis=1), minlength=10) / len(fake))
    top_right.axhline(0.1, color="black", linewidth=0.8, linestyle="--")
    top_right.set(title="classes of the samples", xticks=range(10), ylabel="share")
    low_left.imshow(images.grid(pairs, 16)[..., 0], cmap="gray")
    low_left.set(title="samples, and below each its nearest training image", xticks=[], yticks=[])
    lines = []
    for space, floors in report["floor"].items():
        if space == "shares":  # shown as bars
            continue
        lines.append(space)
        for name, floor in floors.items():
            values = [draw[space][name] for draw in report["draws"]]
            lines.append(f"  {name:<27}{evaluation.plus_minus(values, 3):<20}{floor:.3f}")
    low_right.text(0, 1, "\n".join(lines), family="monospace", fontsize=7.5, va="top")
    low_right.set_title("scores (mean +- standard error of draws), floor")
    low_right.axis("off")
    common.save_figure(path, figure)


def main() -> None:
    args = parse_arguments()
    compilation.enable_compilation_cache()
    folder = args.checkpoint / "evaluation"
    with common.errors_in_a_line():
        common.check_new(args, "The report", folder / "report.json")
        config = read_config(args.checkpoint)
        train_images, test_images, source = load_images(args, config["images_sha256"])
        gan, state = restore(args.checkpoint, config, train_images.shape[1:])
        num = min(args.samples, len(test_images), len(train_images))
        if num < args.samples:
            print(f"--samples is reduced to {num}, the number of real images.", file=sys.stderr)
        drawn = [draw_samples(gan, state, num, seed) for seed in range(args.draws)]
        origin = {"source": source, "step": int(state.step), "num_samples": num}
    clock = time.perf_counter()
    spaces = {"mnist-v1": evaluation.mnist_v1().features, "random-v1": evaluation.random_v1()}
    with tqdm(bar_format="{desc}") as bar:
        show = bar.set_description_str
        show("features of the real images")
        real = {k: evaluation.embed(f, test_images[:num]) for k, f in spaces.items()}
        train = {k: evaluation.embed(f, train_images) for k, f in spaces.items()}
        # Training images in place of the samples. Their authenticity is 0, because they are copies,
        # so the floor of authenticity is that of the test images.
        floor = score(train_images[:num], real, train, spaces, show)
        for name in spaces:
            floor[name]["authenticity"] = evaluation.authenticity(train[name], real[name]).share
        draws = [
            score(samples, real, train, spaces, lambda x, i=seed: show(f"draw {i}: {x}"))
            for seed, samples in enumerate(drawn)
        ]
    report = {
        "command": shlex.join(["python", *sys.argv]),
        **origin,
        "num_train": len(train_images),
        "seconds": time.perf_counter() - clock,
        "floor": floor,
        "draws": draws,
        **jaxgan.environment(),
    }
    common.written(lambda: folder.mkdir(exist_ok=True))
    common.written(lambda: runs.write_json(folder / "report.json", report))
    seen = evaluation.embed(spaces["mnist-v1"], drawn[-1][:16]), train["mnist-v1"]
    page = functools.partial(draw_page, folder / "report.png", drawn[-1], train_images)
    common.written(lambda: page(seen, report))
    print_table(report)
    print(f"{num} samples per draw; report.json and report.png are in {folder}", file=sys.stderr)


if __name__ == "__main__":
    common.run(main)
