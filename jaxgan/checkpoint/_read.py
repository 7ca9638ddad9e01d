"""Reading: every function verifies the digests of what it returns."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import jax

from jaxgan._internal import checks
from jaxgan._internal.environment import environment
from jaxgan.checkpoint import _arrays as arrays
from jaxgan.checkpoint import _manifest as manifest
from jaxgan.checkpoint import _storage as storage
from jaxgan.checkpoint._manifest import DamagedCheckpointError, Json

T = TypeVar("T")


class Info(NamedTuple):
    """Describes a checkpoint.

    Attributes:
      step: the step of the state.
      metadata: the metadata that `save` was given, as JSON returns it: with lists for tuples.
      saved_by: `jaxgan.environment()` of the program that saved it, with all versions.
      leaves: the dtype and shape of every leaf, by its path.
    """

    step: int
    metadata: Json
    saved_by: dict[str, Json]
    leaves: dict[str, str]


def restore(
    directory: storage.Directory,
    like: T,
    *,
    step: int | None = None,
    at: str = "",
    member: int | None = None,
) -> T:
    """Reads the newest intact checkpoint onto the devices of `like`.

    The digests of all files and of all arrays that are read are verified. Where a checkpoint is
    corrupted, a warning names it and the checkpoint before it is read.

    Args:
      directory: the run's folder of checkpoints.
      like: a state of the same structure, shapes and dtypes: a real one, or an abstract one as
        `jax.eval_shape(gan.init, key, images)` gives. Its shardings say where to put the arrays,
        whatever devices they were on when they were saved. Without shardings, they go to the
        default device.
      step: reads this step and no other; by default the newest.
      at: reads only a part of the state, by its path, such as ".params.generator"; `like` is then
        that part.
      member: reads only this member of a population, from 0; `like` is then of a single GAN.

    Returns:
      The saved state, bit for bit.

    Raises:
      FileNotFoundError: If there is no such checkpoint.
      DamagedCheckpointError: If no checkpoint is intact: a `ValueError` that lists their problems.
      IndexError: If there is no such member.
      TypeError: If an argument has another type, or `like` a dtype that JAX changes.
      ValueError: If the checkpoint and `like` differ; the message names the leaves. Also if another
        version of jaxgan wrote the checkpoint in another format.

    Example:
      >>> import tempfile, jax, jaxgan, optax
      >>> from jaxgan.train_state import create
      >>> params = jaxgan.Pair({"w": jax.numpy.ones(3)}, {"w": jax.numpy.ones(2)})
      >>> state = create(jax.random.key(0), params, jaxgan.Pair(optax.sgd(0.1), optax.sgd(0.1)))
      >>> directory = tempfile.mkdtemp()
      >>> jaxgan.checkpoint.save(directory, state).result()
      >>> like = {"w": jax.ShapeDtypeStruct((3,), jax.numpy.float32)}
      >>> print(jaxgan.checkpoint.restore(directory, like, at=".params.generator"))
      {'w': Array([1., 1., 1.], dtype=float32)}
    """
    if member is not None:
        checks.integer("member", member, 0)
    checks.text("at", at, "'.params.generator' is an example.")
    leaves = arrays.by_name(like, at)

    def read(checkpoint: Path) -> T:
        contents = manifest.verify(checkpoint)
        specs = arrays.select(contents["leaves"], at, checkpoint) if leaves else {}
        arrays.check_matches(specs, leaves, member, checkpoint)
        loaded = storage.load(checkpoint, specs)
        if not at and member is None:
            _compare_versions(contents["saved_by"]["versions"], checkpoint)
        placed = [arrays.place(specs[k], loaded[k], leaf, member) for k, leaf in leaves.items()]
        return jax.tree.unflatten(jax.tree.structure(like), placed)

    return _newest_intact(storage.absolute(directory), step, read)


def verify(directory: storage.Directory, step: int) -> str | None:
    """Verifies the digests of all files and all arrays of a checkpoint.

    Args:
      directory: the run's folder of checkpoints.
      step: the step of the checkpoint.

    Returns:
      A description of the problem; None if the checkpoint is intact.

    Raises:
      FileNotFoundError: If there is no such checkpoint.
      ValueError: If another version of jaxgan wrote it in another format.
    """
    checks.integer("step", step, 0)
    [checkpoint] = _candidates(storage.absolute(directory), step)
    try:
        storage.verify(checkpoint)
    except DamagedCheckpointError as error:
        return str(error)
    return None


def info(directory: storage.Directory, *, step: int | None = None) -> Info:
    """Reads the description of a checkpoint, without its arrays.

    Args:
      directory: the run's folder of checkpoints.
      step: the step of the checkpoint; by default the newest whose files are intact.

    Returns:
      An `Info`.

    Raises:
      FileNotFoundError: If there is no such checkpoint.
      DamagedCheckpointError: If it is corrupted, or all are.
    """
    contents = _newest_intact(storage.absolute(directory), step, manifest.verify)
    leaves = contents["leaves"].items()
    described = {name: arrays.as_text(spec["dtype"], spec["shape"]) for name, spec in leaves}
    return Info(contents["step"], contents["metadata"], contents["saved_by"], described)


def steps(directory: storage.Directory) -> list[int]:
    """Lists the steps that have a checkpoint, oldest first, without verifying them.

    Args:
      directory: the run's folder of checkpoints; it may be missing.

    Returns:
      The steps; an empty list if the folder is missing.
    """
    return storage.steps(storage.absolute(directory))


def latest(directory: storage.Directory) -> int | None:
    """Returns the newest step that has an intact checkpoint, or None.

    Args:
      directory: the run's folder of checkpoints; it may be missing.
    """
    intact = (step for step in reversed(steps(directory)) if verify(directory, step) is None)
    return next(intact, None)


def _candidates(folder: Path, step: int | None) -> list[Path]:
    """Lists the checkpoints to try: that of a step, or all of them, newest first."""
    if step is not None:
        checks.integer("step", step, 0)
    found = storage.steps(folder)
    if not found or step not in (None, *found):
        wanted = "no checkpoint" if step is None else f"no checkpoint of step {step}"
        there = f"it has steps {found}; choose one" if found else "it has none"
        raise FileNotFoundError(f"{folder} has {wanted}: {there}. Is it the right folder?")
    return [folder / str(number) for number in (reversed(found) if step is None else [step])]


def _newest_intact(folder: Path, step: int | None, read: Callable[[Path], T]) -> T:
    """Reads the first candidate that is intact, and warns of those before it."""
    problems: list[str] = []

    def warn(checkpoint: Path) -> None:
        if problems:
            used = f"{folder} has damaged checkpoints. Step {checkpoint.name} is used instead of"
            warnings.warn("\n  ".join([used, *problems]), stacklevel=4)

    for checkpoint in _candidates(folder, step):
        try:
            found = read(checkpoint)
        except DamagedCheckpointError as error:
            problems.append(f"step {checkpoint.name}: {error}")
        except ValueError:  # the checkpoint is intact, but does not match
            warn(checkpoint)
            raise
        else:
            warn(checkpoint)
            return found
    first = f"{folder} has no intact checkpoint to use. Restore a copy of one."
    raise DamagedCheckpointError("\n  ".join([first, *problems]))


def _compare_versions(saved: dict[str, str], checkpoint: Path) -> None:
    """Warns of other versions, because results are bit-identical for one set of versions only."""
    now = environment()["versions"]
    other = [
        f"{name} {saved.get(name)} then, {now.get(name)} now"
        for name in ("jaxgan", "jax", "jaxlib", "flax", "optax")
        if saved.get(name) != now.get(name)
    ]
    if other:
        warnings.warn(
            f"{checkpoint} was saved by other versions ({'; '.join(other)}). All values are as "
            "they were saved, but further training may differ in the last bits.",
            stacklevel=5,
        )
