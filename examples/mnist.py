"""Trains the classic MNIST GAN: two small MLPs, one-sided label smoothing, Adam 1e-3.

    python examples/mnist.py                 # 50 epochs
    python examples/mnist.py --resume        # continues a stopped run
    python examples/mnist.py --overwrite     # replaces the run in runs/mnist

    python examples/mnist.py --mesh --batch-size 1024    # on all devices of this machine

    # With convolutional networks:
    python examples/mnist.py --networks dcgan --learning-rate 2e-4 --batch-size 64 --epochs 10

Writes checkpoints, metrics and pictures to `runs/mnist`. Ctrl-C, SIGTERM, SIGHUP (a closed
terminal) or SIGUSR1 stops the run after the current epoch and saves it; a second signal stops it at
once. To change more than the options, copy and edit this file and common.py.
"""

import argparse
import functools
import shlex
import sys

import common
import jax
import optax
from tqdm import tqdm

import jaxgan
from jaxgan import augment, checkpoint, compilation, images, losses, penalties, runs

LATENT_DIM, REAL_LABEL = 100, 0.9
NETWORKS = {
    "mlp": (jaxgan.networks.MLPGenerator, jaxgan.networks.MLPDiscriminator),
    "dcgan": (jaxgan.networks.DCGANGenerator, jaxgan.networks.DCGANDiscriminator),
}
LOSSES = {
    "non_saturating": losses.non_saturating(real_label=REAL_LABEL),
    "minimax": losses.minimax(),
    "least_squares": losses.least_squares(),
    "wasserstein": losses.wasserstein(),
    "hinge": losses.hinge(),
    "relativistic": losses.relativistic(),
    "relativistic_average": losses.relativistic_average(),
}
PENALTIES = {
    "none": None,
    "r1": penalties.r1(0.1),
    "r1_r2": penalties.add(penalties.r1(0.1), penalties.r2(0.1)),
    "lazy_r1": penalties.lazy(penalties.r1(0.1), every=16),
    "wgan_gp": penalties.wgan_gp(),
    "dragan": penalties.dragan(),
    "consistency": penalties.consistency(augment.translation()),
    "lecam": penalties.lecam(),
}


def parse_arguments() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    add = functools.partial(parser.add_argument, metavar="")
    add("--dataset", default="mnist", help="a name in tensorflow-datasets (default: mnist)")
    add("--data-dir", help="folder of IDX files or of tensorflow-datasets, or 'embedded'")
    add("--epochs", type=int, default=50, help="(default: 50)")
    add("--batch-size", type=int, default=100, help="(default: 100)")
    add("--networks", choices=NETWORKS, default="mlp", help=", ".join(NETWORKS))
    add(
        "--learning-rate",
        type=float,
        default=1e-3,
        help="of Adam (default: 1e-3; use 2e-4 for dcgan)",
    )
    # With the classic 0.9 the GAN collapses: see docs/results.md.
    add("--beta1", type=float, default=0.5, help="of Adam (default: 0.5)")
    add("--loss", choices=LOSSES, default="non_saturating", help=", ".join(LOSSES))
    add("--penalty", choices=PENALTIES, default="none", help=", ".join(PENALTIES))
    add("--seed", type=int, default=0, help="(default: 0)")
    common.add_mesh(parser)
    common.add_workdir(parser, "runs/mnist", resume=True)
    args = parser.parse_args()
    common.check_at_least_1(parser, args, "epochs", "batch_size")
    if not args.learning_rate > 0:
        parser.error(f"--learning-rate must be positive; got {args.learning_rate}")
    if not 0 <= args.beta1 < 1:
        parser.error(f"--beta1 must be in [0, 1); got {args.beta1}")
    return args


def make_gan(image_shape: tuple[int, ...], args: argparse.Namespace) -> jaxgan.GAN:
    adam = optax.adam(args.learning_rate, b1=args.beta1)
    make_generator, make_discriminator = NETWORKS[args.networks]
    return jaxgan.gan(
        generator=make_generator(image_shape),
        discriminator=make_discriminator(),
        loss=LOSSES[args.loss],
        optimizer=jaxgan.Pair(generator=adam, discriminator=adam),
        latents=LATENT_DIM,
        penalty=PENALTIES[args.penalty],
    )


def make_config(args: argparse.Namespace, data: jaxgan.datasets.Dataset) -> dict[str, object]:
    return {
        **common.chosen(args),
        "num_images": len(data.images),
        "images_sha256": common.digest(data),
        "latents": LATENT_DIM,
        "real_label": REAL_LABEL,
    }


def summarize(data: jaxgan.datasets.Dataset, history: list[common.Record]) -> dict[str, object]:
    seconds, num_steps = sum(record["seconds"] for record in history), history[-1]["step"]
    return {
        "command": shlex.join(["python", *sys.argv]),
        "source": data.source,
        "num_images": len(data.images),
        "epochs": len(history),
        "steps": num_steps,
        "seconds": seconds,
        "steps_per_second": num_steps / seconds,
        "last_epoch": history[-1],
        **jaxgan.environment(),
    }


def main() -> None:
    args = parse_arguments()
    common.join_processes()
    compilation.enable_compilation_cache()
    with common.errors_in_a_line():
        mesh = common.make_mesh(args)
        data = jaxgan.datasets.load(args.dataset, "train", args.data_dir)
        common.say(f"data: {data.source}")
        train_images = common.place(mesh, data.images)  # uint8, on the device for the whole run
        gan = make_gan(train_images.shape[1:], args)
        state = gan.init(jax.random.key(args.seed), images.normalize(data.images[:1]))
        state = common.place(mesh, state)
        epoch = functools.partial(
            jaxgan.training.epochs, gan, batch_size=args.batch_size, mesh=mesh
        )
        options = jaxgan.training.compiler_options()
        program = jax.jit(epoch, donate_argnums=0, compiler_options=options)
        lowered = program.lower(state, train_images)
        # All arguments are valid, so the script can start to write files.
        config = make_config(args, data)
        workdir = common.begin(args, config)
        state, history = common.restore(workdir / "checkpoints", state)
    log = workdir / "metrics.jsonl"
    write_log = functools.partial(runs.write_log, log, history)
    if log.exists():  # a stopped run may have logged an epoch that it did not save
        common.written(write_log)
    sample, latents = jax.jit(gan.sample), common.fixed_latents(LATENT_DIM)
    saving, saved, received = None, True, list[int]()
    train, compile_seconds = common.compiled(args, lowered, len(history))
    hidden = not common.is_first()
    bar = tqdm(initial=len(history), total=args.epochs, unit="epoch", disable=hidden)
    message = "The run stops after this epoch and saves it."
    with runs.stop_signals(message=message) as stopped:
        with bar:
            try:
                while len(history) < args.epochs:
                    (state, metrics), seconds = common.timed(train, state, train_images)
                    here, metrics = common.local((state, metrics))
                    number, samples = len(history) + 1, sample(here, latents)
                    common.check_epoch(args, metrics, number)
                    record = {"epoch": number, "step": int(here.step)}
                    history.append({**record, **common.describe(metrics, samples, seconds)})
                    common.written(write_log)
                    if saving:
                        common.written(saving.result)
                    metadata = {"config": config, "history": history}
                    saving = checkpoint.save(workdir / "checkpoints", state, metadata=metadata)
                    common.save_frame(workdir, number, common.grid(samples, 8))
                    bar.set_postfix_str(common.progress(history[-1]))
                    bar.update()
                    if received := runs.agree(stopped):  # so that all processes stop here
                        break
            finally:  # waits for the last save, also after an error
                saved = saving is None or common.written(saving.result)

        real = float(jaxgan.diagnostics.pixel_diversity(images.normalize(data.images[:1000])))
        here = common.local(state)
        common.written(lambda: common.draw_run(workdir, sample, here, latents, history, real))
        measured = {"compile_seconds": compile_seconds, "pixel_diversity_of_real_images": real}
        summary = {"dataset": args.dataset, **summarize(data, history), **measured}
        common.written(lambda: runs.write_json(workdir / "summary.json", summary, indent=2))
        common.say(f"{len(history)} epochs done; results are in {workdir}")
    common.exit_if_unfinished(args, saved, received, len(history))


if __name__ == "__main__":
    common.run(main, joins=True)
