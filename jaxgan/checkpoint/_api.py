"""Checkpoints of a run: Orbax writes the arrays, a seal tells whether they are still the same.

One folder holds one run, one subfolder a checkpoint, named after its step: in it `arrays`, which
Orbax alone can read too, and `seal.json`. A checkpoint appears whole or not at all, and is used if
every bit of it is as it was saved; else the one before it is.
"""

import json
import os
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from jaxgan._internal import checks, file_lock
from jaxgan._internal.environment import environment
from jaxgan.checkpoint import _arrays as arrays
from jaxgan.checkpoint import _manifest as manifest
from jaxgan.checkpoint import _storage as storage
from jaxgan.checkpoint._manifest import DamagedCheckpointError
from jaxgan.train_state import TrainState

T = TypeVar("T")

_Directory = str | os.PathLike
_writer = ThreadPoolExecutor(1, "jaxgan-checkpoint")  # one save after the other


class SaveHandle:
    """A save under way. It holds a copy of the state, which may be donated at once."""

    def __init__(self, future: Future):
        self._future = future
        self._asked = False

    def result(self) -> None:
        """Waits until the checkpoint is whole on disk.

        Raises:
          OSError: it could not be written; the checkpoints before it stay as they are.
        """
        self._asked = True
        self._future.result()

    def exception(self) -> BaseException | None:
        """Waits as well, but returns what went wrong, so that training can go on."""
        self._asked = True
        return self._future.exception()

    def _unasked(self) -> BaseException | None:
        """Waits as well, and returns what went wrong if nobody has asked, once."""
        asked, error = self._asked, self.exception()
        return None if asked else error


_newest_saving: dict[Path, SaveHandle] = {}  # of each folder


class Info(NamedTuple):
    """What a checkpoint tells about itself.

    Attributes:
      step: its number.
      metadata: what was given to `save`, as JSON makes it: lists for tuples.
      saved_by: `jaxgan.environment()` of the program that saved it, with all versions.
      leaves: the dtype and shape of every leaf, by its path.
    """

    step: int
    metadata: Any
    saved_by: dict[str, Any]
    leaves: dict[str, str]


def save(
    directory: _Directory,
    state: TrainState,
    *,
    keep: int = 3,
    keep_every: int | None = None,
    metadata: Any = None,
) -> SaveHandle:
    """Begins to write a checkpoint of a state, and returns while it is being written.

    From then on this process alone may save in the folder. A save waits for the one before it, and
    the program for the last. Call `result()` or `exception()`; else the next save warns about
    one that failed. A checkpoint counts, and older ones are deleted for it, when it was
    read back as it was written. What an earlier, killed save has left behind is removed; a damaged
    checkpoint of this step or a later one is set aside, as `N.damaged`.

    Args:
      directory: the run's folder of checkpoints; made if missing.
      state: what to save: of one run, or of a population. Its step names the checkpoint.
      keep: how many of the newest to keep, at least 1; older ones are deleted.
      keep_every: keep also all steps that are multiples of it, at least 1.
      metadata: anything that JSON can hold, such as the configuration, to be read with `info`.

    Returns:
      A `SaveHandle`. It reports what goes wrong while writing (a full disk, a read-only folder);
      `save` does not raise it.

    Raises:
      BlockingIOError: another process saves in this folder.
      TypeError: JSON cannot hold the metadata, a leaf is no array or of 64 bits while JAX is not,
        or an argument of another kind than said.
      ValueError: a number is below 1, there is a sound checkpoint of this step or a later one, a
        folder of that name holds something else, the members of a population are at different
        steps, the state was donated, or the directory has a name that Orbax cannot read.

    Example:
      >>> import tempfile, jax, jaxgan, optax
      >>> from jaxgan.train_state import create
      >>> params = jaxgan.Pair({"w": jax.numpy.ones(3)}, {"w": jax.numpy.ones(2)})
      >>> state = create(jax.random.key(0), params, jaxgan.Pair(optax.sgd(0.1), optax.sgd(0.1)))
      >>> directory = tempfile.mkdtemp()
      >>> jaxgan.checkpoint.save(directory, state).result()
      >>> jaxgan.checkpoint.latest(directory)
      0
      >>> print(jaxgan.checkpoint.restore(directory, like=state).params.generator["w"])
      [1. 1. 1.]
    """
    if not isinstance(state, TrainState):
        raise TypeError(f"state must be a jaxgan.TrainState; got {checks.show(state)}.")
    checks.integer("keep", keep)
    if keep_every is not None:
        checks.integer("keep_every", keep_every)
    named, folder = arrays.by_name(state), _absolute(directory)
    arrays.check_values(named)
    step, metadata = _step_of(state), json.loads(checks.as_json("metadata", metadata))
    if "[" in str(folder):  # Orbax would write, and take it for a pattern when it reads
        raise ValueError(f"directory must be a path without '['; got {str(folder)!r}. Rename it.")
    _await(folder)
    try:
        file_lock.acquire(folder)
    except BlockingIOError:
        raise
    except OSError:
        pass  # nor can it be written to then, which `SaveHandle` tells
    _check_later(folder, step)
    hosts = {name: arrays.to_host(leaf) for name, leaf in named.items()}
    contents = {"step": step, "metadata": metadata, "saved_by": environment()}
    saving = SaveHandle(_writer.submit(_write, folder, named, hosts, contents, keep, keep_every))
    _newest_saving[folder] = saving
    return saving


def restore(
    directory: _Directory,
    like: T,
    *,
    step: int | None = None,
    at: str = "",
    member: int | None = None,
) -> T:
    """Reads the newest checkpoint that is sound, onto the devices of `like`.

    Every file and every leaf is held against the digest that was stored with it. A damaged
    checkpoint is named in a warning, and the one before it is taken.

    Args:
      directory: the run's folder of checkpoints.
      like: a state of the same structure, shapes and dtypes: a real one, or an abstract one as
        `jax.eval_shape(gan.init, key, images)` gives. Its shardings say where to put the arrays,
        however many devices they were on; without any, they go to the default device.
      step: which one, and no other; by default the newest.
      at: read only a part of the state, by its path, such as ".params.generator"; `like` is then
        of that part.
      member: read only this member of a population, from 0; `like` is then of a single one.

    Returns:
      The saved state, bit for bit.

    Raises:
      FileNotFoundError: there is no such checkpoint.
      DamagedCheckpointError: none is sound: a `ValueError` that lists what is wrong with each.
      IndexError: there is no such member.
      TypeError: an argument is of another kind than said, or `like` of 64 bits while JAX is not.
      ValueError: the checkpoint and `like` differ, and the message names the leaves that do; or
        another version of jaxgan wrote it in another format.

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
    if not isinstance(at, str):
        raise TypeError(f"at must be text, such as '.params.generator'; got {checks.show(at)}.")
    folder, wanted = _absolute(directory), arrays.by_name(like, at)

    def read(number: int) -> T:
        contents, where = manifest.check(folder / str(number)), f"{folder}, step {number},"
        chosen = arrays.choose(contents["leaves"], at, where) if wanted else {}
        arrays.check_same(chosen, wanted, member, where)
        loaded = storage.load(folder / str(number), chosen)
        if not at and member is None:
            _compare_versions(contents["saved_by"]["versions"], where)
        placed = [arrays.place(chosen[k], loaded[k], wanted[k], member) for k in wanted]
        return jax.tree.unflatten(jax.tree.structure(like), placed)

    return _newest(folder, step, read, stacklevel=3)


def verify(directory: _Directory, step: int) -> str | None:
    """Holds every bit of a checkpoint against the digests that were stored with it.

    Args:
      directory: the run's folder of checkpoints.
      step: which one.

    Returns:
      What is wrong with it; None if nothing is.

    Raises:
      FileNotFoundError: there is no such checkpoint.
      ValueError: another version of jaxgan wrote it in another format.
    """
    checks.integer("step", step, 0)
    folder = _absolute(directory)
    if step not in storage.steps(folder):
        raise _not_found(folder, step)
    try:
        storage.check(folder / str(step))
    except DamagedCheckpointError as error:
        return str(error)
    return None


def info(directory: _Directory, *, step: int | None = None) -> Info:
    """Reads what a checkpoint tells about itself, and none of its arrays.

    Args:
      directory: the run's folder of checkpoints.
      step: which one; by default the newest that is sound.

    Returns:
      An `Info`.

    Raises:
      FileNotFoundError: there is no such checkpoint.
      DamagedCheckpointError: it is damaged, or all are.
    """
    folder = _absolute(directory)
    contents = _newest(
        folder, step, lambda number: manifest.check(folder / str(number)), stacklevel=3
    )
    told = {k: arrays.as_text(v["dtype"], v["shape"]) for k, v in contents["leaves"].items()}
    return Info(contents["step"], contents["metadata"], contents["saved_by"], told)


def steps(directory: _Directory) -> list[int]:
    """Lists the steps that were saved, oldest first, without looking whether they are sound.

    Args:
      directory: the run's folder of checkpoints; it need not exist.

    Returns:
      The steps; none if there is no such folder.
    """
    return storage.steps(_absolute(directory))


def latest(directory: _Directory) -> int | None:
    """Returns the newest step that has a sound checkpoint, or None.

    Args:
      directory: the run's folder of checkpoints; it need not exist.
    """
    sound = (step for step in reversed(steps(directory)) if verify(directory, step) is None)
    return next(sound, None)


def _absolute(directory: _Directory) -> Path:
    folder = checks.path("directory", directory)
    if "://" in str(directory):
        raise ValueError(f"directory must be a folder of this machine; got {str(directory)!r}.")
    return folder.absolute()  # Orbax takes no relative path


def _step_of(state: TrainState) -> int:
    if not jax.numpy.issubdtype(state.step.dtype, np.integer):
        raise TypeError(f"state.step must be an integer; got {checks.show(state.step)}.")
    numbers = np.unique(state.step)
    if len(numbers) != 1:
        raise ValueError(
            f"A checkpoint holds one step, but this population is at {numbers.tolist()}: save its "
            "members by themselves, jaxgan.population.pick(states, i)."
        )
    checks.integer("state.step", int(numbers[0]), 0)
    return int(numbers[0])


def _await(folder: Path) -> None:
    """Waits for the save before, and makes a failure loud that nobody has asked about."""
    before = _newest_saving.get(folder)
    if before and (error := before._unasked()):
        warnings.warn(f"NOT SAVED: {error}", stacklevel=3)


def _check_later(folder: Path, step: int) -> None:
    """Nothing sound is replaced, and nothing that is not ours."""
    for later in (number for number in storage.steps(folder) if number >= step):
        if not storage.is_ours(folder / str(later)):
            raise ValueError(
                f"{folder / str(later)} is no checkpoint of jaxgan, and in the way of step {step}. "
                "Choose another folder."
            )
        damage = verify(folder, later)
        if damage is None:
            problem = "already" if later == step else "of a later step: it is of another course"
            raise ValueError(
                f"{folder} has a checkpoint of step {later} {problem}. To write step {step}, "
                "choose another folder, or delete that one."
            )
        warnings.warn(
            f"{folder}, step {later}, is damaged, and set aside as {later}.damaged: {damage}.",
            stacklevel=3,
        )


def _write(folder: Path, named, hosts, contents, keep: int, keep_every: int | None) -> None:
    storage.write(folder, named, hosts, contents)
    storage.prune(folder, keep, keep_every)


def _finish() -> None:
    """Before the interpreter ends: what is being saved is, and what could not be is told."""
    for saving in _newest_saving.values():
        if error := saving._unasked():
            print(f"NOT SAVED: {error}", file=sys.stderr)


def _forget() -> None:
    """In a forked child, which has none of the threads."""
    global _writer
    _writer = ThreadPoolExecutor(1, "jaxgan-checkpoint")
    _newest_saving.clear()


# Not `atexit`, which comes when Orbax can start no thread any more.
if hasattr(threading, "_register_atexit"):
    threading._register_atexit(_finish)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _newest(folder: Path, step: int | None, read: Callable[[int], T], stacklevel: int) -> T:
    """Reads the newest checkpoint that can be read; names those that cannot."""
    if step is not None:
        checks.integer("step", step, 0)
    there = storage.steps(folder)
    if not there or (step is not None and step not in there):
        raise _not_found(folder, step)
    problems: list[str] = []

    def tell(number: int) -> None:
        if problems:
            told = f"{folder} has damaged checkpoints. Step {number} is used instead of"
            warnings.warn("\n  ".join([told, *problems]), stacklevel=stacklevel + 1)

    for number in reversed(there) if step is None else [step]:
        try:
            found = read(number)
        except DamagedCheckpointError as error:
            problems.append(f"step {number}: {error}")
        except ValueError:  # it is sound, but not what is wanted
            tell(number)
            raise
        else:
            tell(number)
            return found
    raise DamagedCheckpointError(
        "\n  ".join([f"{folder} has no sound checkpoint to use. Restore a copy of one.", *problems])
    )


def _compare_versions(saved: dict[str, str], where: str) -> None:
    """Exactness to the bit is a promise about one version of everything."""
    now = environment()["versions"]
    other = [
        f"{name} {saved.get(name)} then, {now.get(name)} now"
        for name in ("jaxgan", "jax", "jaxlib", "flax", "optax")
        if saved.get(name) != now.get(name)
    ]
    if other:
        warnings.warn(
            f"{where} was saved by other versions ({'; '.join(other)}). All values are as they "
            "were saved, but what follows may differ in the last bits.",
            stacklevel=5,
        )


def _not_found(folder: Path, step: int | None) -> FileNotFoundError:
    wanted = "no checkpoint" if step is None else f"no checkpoint of step {step}"
    there = (
        f"it has steps {found}; choose one" if (found := storage.steps(folder)) else "it has none"
    )
    return FileNotFoundError(f"{folder} has {wanted}: {there}. Is it the right folder?")
