"""Saving: checks on the calling thread, a copy in host memory, and a write in the background."""

import json
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxgan._internal import checks, file_lock, run_layout
from jaxgan._internal.environment import environment
from jaxgan.checkpoint import _arrays as arrays
from jaxgan.checkpoint import _read as read
from jaxgan.checkpoint import _storage as storage
from jaxgan.checkpoint import _writer as writer
from jaxgan.checkpoint._manifest import Header, Json
from jaxgan.checkpoint._writer import SaveHandle
from jaxgan.train_state import TrainState


def save(
    directory: storage.Directory,
    state: TrainState,
    *,
    keep: int = 3,
    keep_every: int | None = None,
    metadata: Json = None,
) -> SaveHandle:
    """Begins to write a checkpoint of a state, and returns while a thread writes it.

    The state is copied to host memory before `save` returns, so it may be donated or dropped. Other
    processes cannot save in the folder until this one ends. A save waits for the save before it,
    and the program waits for the last one. Call `result()` or `exception()` of the handle;
    otherwise the next save warns of a failure.

    The checkpoint gets its final name, and older ones are deleted, only after it was read back and
    verified. Remnants of killed saves are removed. A corrupted checkpoint of this step or a later
    one is set aside as `N.damaged`.

    Args:
      directory: the run's folder of checkpoints; made if missing.
      state: the state of one run or of a population. Its step names the checkpoint.
      keep: how many of the newest checkpoints to keep, at least 1; older ones are deleted.
      keep_every: also keeps all steps that are multiples of this number, at least 1.
      metadata: anything that JSON can hold, such as the configuration, for `info` to read.

    Returns:
      A `SaveHandle`, which reports errors of the write, such as a full disk or a read-only folder.

    Raises:
      BlockingIOError: If another process saves in this folder.
      TypeError: If JSON cannot hold the metadata, a leaf is no array or has a dtype that JAX
        changes, or an argument has another type.
      ValueError: If a number is below 1, the folder has an intact checkpoint of this step or a
        later one, a folder of such a name is not jaxgan's, the members of a population are at
        different steps, the state was donated, or the directory has a name that Orbax cannot read.

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
    checks.instance("state", state, TrainState, "a jaxgan.TrainState")
    checks.integer("keep", keep)
    if keep_every is not None:
        checks.integer("keep_every", keep_every)
    metadata = json.loads(checks.as_json("metadata", metadata))
    folder, leaves = storage.absolute(directory), arrays.by_name(state)
    name = str(folder)  # Orbax would write to a path with a bracket, but read it as a pattern
    checks.require("[" not in name, "directory", "a path without '['", repr(name), "Rename it.")
    arrays.check_values(leaves)
    step = _step_of(state)
    writer.wait(folder)
    _lock(folder)
    _check_later_steps(folder, step)
    copies = {name: arrays.to_host(leaf) for name, leaf in leaves.items()}
    saved_by: Json = environment()
    header = Header(step=step, metadata=metadata, saved_by=saved_by)
    return writer.submit(folder, copies, header, keep, keep_every)


def _step_of(state: TrainState) -> int:
    """Returns the one step of a state or of all members of a population."""
    steps = np.unique(checks.numpy_array("state.step", state.step, jnp.integer)).tolist()
    advice = "Save each member by itself, jaxgan.population.pick(states, i)."
    checks.require(len(steps) == 1, "state.step", "the same in all members", f"{steps}", advice)
    checks.integer("state.step", steps[0], 0)
    return steps[0]


def _lock(folder: Path) -> None:
    """Reserves the folder for this process. Only another process's lock is an error here."""
    try:
        file_lock.acquire(folder)
    except BlockingIOError:
        raise
    except OSError:
        pass  # the folder cannot be written, which the `SaveHandle` reports


def _check_later_steps(folder: Path, step: int) -> None:
    """Checks that the save replaces neither an intact checkpoint nor a folder of the user."""
    for later in (number for number in storage.steps(folder) if number >= step):
        is_ours = run_layout.is_checkpoint(folder / str(later))
        expected = "a folder of checkpoints alone"
        got = f"{folder / str(later)}, which is no checkpoint of jaxgan"
        checks.require(is_ours, "directory", expected, got, "Choose another folder.")
        problem = read.verify(folder, later)
        got, advice = f"{folder} with step {later}", "Choose another folder, or delete that one."
        expected = f"without intact checkpoints of step {step} or later"
        checks.require(problem is not None, "directory", expected, got, advice)
        warnings.warn(
            f"{folder}, step {later}, is damaged, and set aside as {later}.damaged: {problem}.",
            stacklevel=3,
        )
