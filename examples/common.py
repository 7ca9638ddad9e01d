"""Shared functions of the example scripts: options, one-line errors, logs and pictures."""

import argparse
import contextlib
import functools
import hashlib
import math
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.multihost_utils import process_allgather
from tqdm import tqdm

import jaxgan
from jaxgan import checkpoint, compilation, images, runs

T = TypeVar("T")
Record = dict[str, float]  # the numbers of one epoch
TOO_MANY = 100  # consecutive steps skipped after a non-finite loss or gradient

unwritten: dict[str, str] = {}  # the errors of streams and files, by name

# The options that help with an existing folder or file.
SOLUTIONS = {
    "resume": "--resume continues the run",
    "overwrite": "--overwrite replaces it",
    "workdir": "--workdir selects another folder",
    "output": "--output selects another file",
}


class Output:
    """Replaces `sys.stdout` or `sys.stderr`. Remembers errors in `unwritten` and continues.

    A full disk, a closed terminal or a pipe without a reader must not end the training. If the
    stream was closed before the start, the null device takes its descriptor. Otherwise, libraries
    that write to the descriptor would write to the next file that the script opens.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        # Opened for reading, the null device fails at the first write.
        self._stream = getattr(sys, name) or open(os.devnull)  # noqa: SIM115

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(self._stream.write, text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, function: Callable[..., object], *args: str) -> None:
        try:
            function(*args)
        except (OSError, ValueError) as error:  # ValueError: the file is closed
            unwritten.setdefault(self._name, f"{self._name}: {error}")


def run(main: Callable[[], None], *, joins: bool = False) -> None:
    """Runs a script until its end, also if stdout, stderr or the disk of its files fails.

    The exit code is then 1, unless the script ends with another code. Ctrl-C ends the script at
    once, without a traceback, except in `runs.stop_signals`.

    A script that does not call `join_processes` (`joins` is False) ends at once if it is one of
    several processes of `python -m jaxgan.distributed`, because they would repeat the same work.
    """
    num = os.environ.get("JAX_NUM_PROCESSES", "1")
    if not joins and num != "1":
        sys.exit(f"JAX_NUM_PROCESSES must be 1 for this script; got {num}.")
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # ignored in background jobs
        # Python's own handler waits until a compilation or a compiled program ends.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    unwritten.clear()
    sys.stdout, sys.stderr = cast(TextIO, Output("stdout")), cast(TextIO, Output("stderr"))
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
    sys.stdout.flush()  # before Python does, which would ignore an error
    sys.stderr.flush()
    if unwritten:
        *texts, last = unwritten.values()
        what = "; ".join(
            [*texts[:2], *([f"{len(texts) - 2} more"] if len(texts) > 2 else []), last]
        )
        sys.exit(f"The run is complete, but some output could not be written: {what}.")


def join_processes() -> None:
    """Joins the other processes of a run, if the environment shows that there are others.

    The environment names them in a SLURM step, under Open MPI, in a TPU slice of Kubernetes, or
    with the variables JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID. An indexed job
    of Kubernetes sets JOB_COMPLETION_INDEX instead of the last one. The hosts of other TPU pods
    need only JAX_NUM_PROCESSES, because JAX gets the rest from Google Cloud.
    """
    names = [name for name in ("JAX_PROCESS_ID", "JOB_COMPLETION_INDEX") if name in os.environ]
    address = os.environ.get("JAX_COORDINATOR_ADDRESS")
    known = ("JAX_NUM_PROCESSES", "SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")
    num, *sizes = map(integer_variable, known)
    hosts = os.environ.get("TPU_WORKER_HOSTNAMES", "").split(",")
    if max(num, *sizes, len(hosts)) == 1:
        return
    # A process that hears nothing from another for 30 seconds ends.
    options: dict[str, Any] = {"heartbeat_timeout_seconds": 30, "shutdown_timeout_seconds": 60}
    if address and num > 1:
        number = integer_variable(names[0], num) if names else None
        place = {"num_processes": num, "process_id": number}
        options |= {"coordinator_address": address, **place}
    # Otherwise JAX would handle SIGTERM itself, also outside of `runs.stop_signals`.
    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(**options)


def integer_variable(name: str, end: float = float("inf")) -> int:
    """Returns the integer in an environment variable, by default 1. Ends the script after an error.

    Args:
      name: the variable's name.
      end: the integer must be below this number.
    """
    text, below = os.environ.get(name, "1"), f" below {end}" if end < float("inf") else ""
    if not (text.isdecimal() and int(text) < end):
        sys.exit(f"{name} must be an integer{below}; got {text!r}.")
    return int(text)


def is_first() -> bool:
    """Returns whether this is process 0, which alone writes messages, logs and pictures."""
    return jax.process_index() == 0


def say(text: str) -> None:
    """Prints a line on stderr in process 0."""
    if is_first():
        print(text, file=sys.stderr)


def local(tree: T) -> T:
    """Returns this process's copies of arrays that all processes hold, for use without them."""
    is_local = lambda leaf: leaf.is_fully_addressable
    return jax.tree.map(lambda x: x if is_local(x) else x.addressable_data(0), tree)


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Makes a parser whose help shows the docstring of a script unchanged."""
    # argparse cannot wrap a usage line of options without metavars.
    usage, formatter = "%(prog)s [options]", argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(usage=usage, description=description, formatter_class=formatter)


def add_workdir(parser: argparse.ArgumentParser, default: str, *, resume: bool = False) -> None:
    """Adds `--workdir`, `--overwrite` and, for a script that can continue a run, `--resume`."""
    text = f"(default: {default})"
    parser.add_argument("--workdir", metavar="", type=Path, default=Path(default), help=text)
    add_overwrite(parser, resume=resume)


def add_overwrite(parser: argparse.ArgumentParser, *, resume: bool = False) -> None:
    group = parser.add_mutually_exclusive_group()
    if resume:
        group.add_argument("--resume", action="store_true", help="continue the run in --workdir")
    group.add_argument("--overwrite", action="store_true", help="replace existing output")


def add_mesh(parser: argparse.ArgumentParser) -> None:
    text = "split each batch over all devices; a run can continue on other devices"
    parser.add_argument("--mesh", action="store_true", help=text)


def gather(tree: T) -> T:
    """Returns the whole arrays if the processes hold different members. All processes call it."""
    is_whole = lambda x: x.is_fully_addressable or x.is_fully_replicated
    whole = lambda x: local(x) if is_whole(x) else process_allgather(x, tiled=True)
    return jax.tree.map(whole, tree)


def make_mesh(args: argparse.Namespace, *, members: int = 0) -> jax.sharding.Mesh | None:
    """Makes a mesh of all devices if `--mesh` is given, which several processes need.

    Groups of devices split the members of a population, if there are any.
    """
    if not args.mesh and (num := jax.process_count()) > 1:
        reason = "because each would compute the whole run without it"
        raise ValueError(f"--mesh must be given to {num} processes, {reason}; got no --mesh.")
    groups = math.gcd(members, jax.device_count()) if members else None
    return jaxgan.distributed.mesh(members=groups) if args.mesh else None


def place(mesh: jax.sharding.Mesh | None, tree: T) -> T:
    """Copies a pytree to all devices of a mesh, or to JAX's default device."""
    return jaxgan.distributed.place(mesh, tree) if mesh else jax.tree.map(jnp.asarray, tree)


def check_at_least_1(
    parser: argparse.ArgumentParser, args: argparse.Namespace, *names: str
) -> None:
    for name in names:
        if (value := getattr(args, name)) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1; got {value}")


def chosen(args: argparse.Namespace) -> dict[str, object]:
    """Returns the options that determine a run: all except folders, their handling and devices."""
    others = ("workdir", "data_dir", "resume", "overwrite", "merge", "save_every", "mesh")
    return {name: value for name, value in vars(args).items() if name not in others}


def digest(data: jaxgan.datasets.Dataset) -> str:
    return hashlib.sha256(data.images.tobytes()).hexdigest()


@contextlib.contextmanager
def errors_in_a_line() -> Iterator[None]:
    """Ends the script with the message of an error instead of a traceback."""
    try:
        yield
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        sys.exit(str(error))


def begin(args: argparse.Namespace, config: Mapping[str, object]) -> Path:
    """Opens `args.workdir` according to the options of `add_workdir`."""
    options = {name: vars(args).get(name, False) for name in ("resume", "overwrite")}
    try:
        return runs.begin(args.workdir, config, **options)
    except FileNotFoundError as error:
        is_new = not args.workdir.is_dir() or not any(args.workdir.iterdir())
        advice = "Start the run without --resume." if is_new else "Restore it from a backup."
        raise FileNotFoundError(f"{error} {advice}") from error
    except (FileExistsError, ValueError) as error:
        is_about_folder = isinstance(error, FileExistsError) or options["resume"]
        advice = solutions(args) if is_about_folder else ""
        raise type(error)(f"{error} {advice}".rstrip()) from error


def check_new(args: argparse.Namespace, name: str, path: Path) -> None:
    """Checks that a file does not exist, or that `--overwrite` replaces it."""
    if path.exists() and not (args.overwrite and path.is_file()):
        raise FileExistsError(f"{name} must be a new file; got {path}. {solutions(args)}".rstrip())


def solutions(args: argparse.Namespace) -> str:
    """Lists the options of this script that help with an existing folder or file."""
    is_file = "workdir" in vars(args) and args.workdir.is_file()  # no run can be there
    given = is_file or args.overwrite
    tried = [name for name in ("resume", "overwrite") if given or vars(args).get(name)]
    found = [text for name, text in SOLUTIONS.items() if name in vars(args) and name not in tried]
    return f"{'; '.join(found)}." if found else ""


def restore(folder: Path, state: jaxgan.TrainState) -> tuple[jaxgan.TrainState, list[Record]]:
    """Returns the state and history of the newest checkpoint, or the given state and no history."""
    if not checkpoint.steps(folder):
        return state, []
    state = checkpoint.restore(folder, like=state)
    step = int(np.max(state.step))  # the same for all members of a population
    return state, checkpoint.info(folder, step=step).metadata["history"]


def written(write: Callable[[], None]) -> bool:
    """Calls a function that writes a file. Logs an OSError, such as a full disk, and continues."""
    try:
        write()
    except OSError as error:
        unwritten[f"{error.strerror}: {error.filename}"] = str(error)
        tqdm.write(f"NOT SAVED: {error}", file=sys.stderr)
        return False
    return True


def timed(function: Callable[..., T], *args: object) -> tuple[T, float]:
    """Calls a function, waits for its arrays, and returns its result and the time in seconds."""
    clock = time.perf_counter()
    result = jax.block_until_ready(function(*args))
    return result, time.perf_counter() - clock


def compiled(
    args: argparse.Namespace, lowered: jax.stages.Lowered, num_epochs: int
) -> tuple[jax.stages.Compiled, float]:
    """Compiles the program of a run that has saved `num_epochs`. Returns it and the seconds.

    Ends the script if a signal arrived meanwhile, or if the program exceeds the device's memory.
    """
    say("Compiling the training program ...")
    message = "The run stops after compilation, before training."
    with runs.stop_signals(message=message) as stopped:
        program, seconds = timed(lowered.compile)
    exit_if_unfinished(args, True, runs.agree(stopped), num_epochs)
    with errors_in_a_line():
        compilation.check_memory(program)
    return program, seconds


def train(
    args: argparse.Namespace,
    gan: jaxgan.GAN,
    data: Any,
    draw: Callable[[jaxgan.TrainState], np.ndarray],
    preprocess: Callable[[Any], Any] = images.normalize_batch,
) -> tuple[jaxgan.TrainState, list[Record]]:
    """Trains a GAN for `args.epochs` epochs in `args.workdir`, and returns the state and history.

    Saves a checkpoint and `samples.png` after each epoch. Ends the script if data or options are
    invalid, or after a signal.

    Args:
      data, preprocess: of `jaxgan.training.epochs`.
      draw: returns the picture of a state.
    """
    options: dict[str, Any] = {"batch_size": args.batch_size, "preprocess": preprocess}
    epoch = functools.partial(jaxgan.training.epochs, gan, **options)
    with errors_in_a_line():
        data = jax.tree.map(jnp.asarray, data)  # uint8, on the device for the whole run
        first = preprocess(jax.tree.map(lambda x: x[:1], data))
        state = gan.init(jax.random.key(args.seed), first)
        lowered = jax.jit(epoch, donate_argnums=0).lower(state, data)
        num_images = len(jax.tree.leaves(data)[0])
        workdir = begin(args, {"num_images": num_images, **chosen(args)})
        state, history = restore(workdir / "checkpoints", state)

    def show(state: jaxgan.TrainState) -> None:
        picture = draw(state)
        written(lambda: images.save(workdir / "samples.png", picture))

    if history:  # a stopped run may have saved an epoch that it did not draw
        show(state)
    advance, _ = compiled(args, lowered, len(history))
    saving = None
    bar = tqdm(initial=len(history), total=args.epochs, unit="epoch")
    with runs.stop_signals(message="The run stops after this epoch and saves it.") as stopped, bar:
        while len(history) < args.epochs and not stopped:
            (state, metrics), seconds = timed(advance, state, data)
            check_epoch(args, metrics, len(history) + 1)
            means = {name: float(jnp.nanmean(values)) for name, values in metrics.items()}
            history.append({"seconds": seconds, **means})
            metadata = {"history": history}
            saving = checkpoint.save(workdir / "checkpoints", state, metadata=metadata)
            show(state)
            losses = "G {generator_loss:.3f}, D {discriminator_loss:.3f}"
            bar.set_postfix_str(losses.format(**means))
            bar.update()
    saved = saving is None or written(saving.result)
    exit_if_unfinished(args, saved, stopped, len(history))
    return state, history


def report(args: argparse.Namespace, history: list[Record], result: Mapping[str, object]) -> None:
    """Prints the result of a run, and writes it with the command to `summary.json`."""
    summary = {
        "command": shlex.join(["python", *sys.argv]),
        "seconds": sum(record["seconds"] for record in history),
        "result": result,
        "last_epoch": history[-1],
        **jaxgan.environment(),
    }
    written(lambda: runs.write_json(args.workdir / "summary.json", summary, indent=2))
    for name, value in result.items():
        print(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    print(f"Samples are in {args.workdir / 'samples.png'}", file=sys.stderr)


def check_data(metrics: jaxgan.types.Metrics, number: int) -> None:
    """Ends the script if an epoch had invalid data, which compiled programs only count."""
    expected = {
        "invalid_labels": "Labels must be in [0, num_classes)",
        "invalid_images": "Images must have pixels from 0 to 255, not masks of 0 and 1",
    }
    for name, text in expected.items():
        if num := int(np.sum(np.asarray(metrics.get(name, 0)))):
            sys.exit(f"{text}; got {num} {name.replace('_', ' ')} in epoch {number}.")


def check_epoch(args: argparse.Namespace, metrics: jaxgan.types.Metrics, number: int) -> None:
    """Ends the script if an epoch had invalid data or too many skipped steps in a row."""
    check_data(metrics, number)
    has_options = {"learning_rate", "loss", "penalty"} <= set(vars(args))
    options = "--learning-rate, or another --loss or --penalty" if has_options else "learning rate"
    for player in jaxgan.Pair._fields:
        skipped = np.ravel(metrics[f"{player}_skipped"])
        if (streak := runs.longest_streak(skipped)) >= min(TOO_MANY, len(skipped)):
            sys.exit(
                f"Stopped in epoch {number}: the {player}'s loss or gradient was not finite in "
                f"{streak} steps in a row, which did not change its parameters. --resume would "
                f"stop again. Train with --overwrite and a lower {options}."
            )


def exit_if_unfinished(
    args: argparse.Namespace, saved: bool, stopped: list[int], num_epochs: int
) -> None:
    """Ends the script with an error if the last epoch is not saved or a signal stopped the run.

    In a run of several processes, pass the signals of `runs.agree`.
    """
    if not saved:
        sys.exit("The last epoch is NOT SAVED. Free disk space, then continue with --resume.")
    if stopped and num_epochs < args.epochs:
        when = f"after epoch {num_epochs}, which is saved." if num_epochs else "before epoch 1."
        say(f"Stopped {when} To continue: {command_to_continue()}")
        sys.exit(128 + stopped[0])


def command_to_continue() -> str:
    options = [option for option in sys.argv if option not in ("--resume", "--overwrite")]
    return shlex.join(["python", *options, "--resume"])


def describe(metrics: jaxgan.types.Metrics, samples: jax.Array, seconds: float) -> Record:
    """Summarizes an epoch: mean metrics, numbers of skipped steps, pixel diversity, speed."""
    skipped = {name: int(x.sum()) for name, x in metrics.items() if "skipped" in name}
    others = {name: x for name, x in metrics.items() if not name.startswith("invalid_")}
    means = {name: float(jnp.nanmean(x)) for name, x in others.items() if name not in skipped}
    return {
        **means,
        **skipped,
        "pixel_diversity": float(jaxgan.diagnostics.pixel_diversity(samples)),
        "seconds": seconds,
        "steps_per_second": metrics["generator_loss"].size / seconds,
    }


def progress(record: Record) -> str:
    """Formats the record of an epoch for a progress bar."""
    text = "G {generator_loss:.3f}, D {discriminator_loss:.3f}".format(**record)
    skipped = sum(record[f"{player}_skipped"] for player in jaxgan.Pair._fields)
    text += f", {skipped} skipped" if skipped else ""
    return f"{text}, {record['steps_per_second']:.0f} steps/s"


def fixed_latents(latents: int | jaxgan.latents.Sampler, num: int = 64) -> jax.Array:
    """Draws latents for pictures, the same in every run, so that runs can be compared."""
    return jaxgan.latents.as_sampler(latents)(jax.random.key(2014), num, np.float32)


def grid(samples: jax.Array, columns: int, scale: int = 1) -> np.ndarray:
    """Arranges generated images, whose range may be that of a collapsed generator."""
    return images.grid(images.quantize(samples), columns, scale=scale)


def frame_path(workdir: Path, epoch: float) -> Path:
    return workdir / "frames" / f"{epoch:05}.png"


def save_frame(workdir: Path, epoch: int, picture: np.ndarray) -> None:
    """Saves the picture of an epoch, or logs an OSError."""

    def write() -> None:
        path = frame_path(workdir, epoch)
        path.parent.mkdir(exist_ok=True)
        images.save(path, picture)

    if is_first():
        written(write)


def draw_run(
    workdir: Path,
    sample: Callable[[jaxgan.TrainState, jax.Array], jax.Array],
    state: jaxgan.TrainState,
    latents: jax.Array,
    history: list[Record],
    real_diversity: float,
) -> None:
    """Saves samples, a walk through the latent space, an animation of the frames, and curves."""
    if not is_first():
        return
    images.save(workdir / "samples.png", grid(sample(state, latents), 8, scale=2))
    walk = jaxgan.latents.traversal(latents[0], num=100, start=-1.0, step=0.02)
    images.save(workdir / "traversal.png", grid(sample(state, walk), 10, scale=2))
    animate(workdir / "training.gif", [frame_path(workdir, x["epoch"]) for x in history])
    draw_curves(workdir / "curves.png", history, real_diversity)


def animate(path: Path, frames: list[Path]) -> None:
    """Saves an animation of the frames that can be read, and prints which ones cannot."""
    whole = [frame for frame in frames if is_picture(frame)]
    if lost := [frame.name for frame in frames if frame not in whole]:
        names = ", ".join(lost[:3]) + (", ..." if len(lost) > 3 else "")
        about = f"{len(lost)} of {len(frames)} frames, which are missing or corrupted: {names}."
        print(f"{path} lacks {about}", file=sys.stderr)
    if whole:
        images.animate(path, whole)


def is_picture(path: Path) -> bool:
    """Returns whether a picture file can be read to its end."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def save_figure(path: Path, figure: Any) -> None:
    """Saves a figure of matplotlib as `images.save` does: whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    images.save(path, np.asarray(canvas.buffer_rgba())[..., :3])


def draw_curves(path: Path, history: list[Record], real_diversity: float) -> None:
    column = {name: [record[name] for record in history] for name in history[0]}
    real_line = [real_diversity] * len(history)
    title, logits = "logit gap", {"real minus fake": column["logit_gap"]}
    if "real_probability" in column:  # the loss has a boundary
        title = "mean sigmoid of the logits"
        logits = {k: column[f"{k}_probability"] for k in ("real", "fake")}
    panels = {
        "loss": {p: column[f"{p}_loss"] for p in ("generator", "discriminator")},
        title: logits,
        "pixel diversity": {"samples": column["pixel_diversity"], "real images": real_line},
    }
    images.curves(path, panels)
