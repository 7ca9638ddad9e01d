"""Saves checkpoints: checks and copies the state, then writes the copy in the background."""

import functools
import json
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxgan._internal import checks, file_lock, opt_states, processes, run_layout
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
    """Starts to save a checkpoint of a state. A background thread writes the files.

    `save` first copies the state to host memory, so the caller can donate or delete the state.
    Other processes cannot save in the folder until this process ends. `save` waits for the previous
    save, and the program waits for the last save before it exits. Call the handle's
    `result()` or `exception()` to get errors; otherwise the next save warns about a failure.

    The new checkpoint is read back and verified before it gets its final name and before older
    checkpoints are deleted. Remnants of killed saves are removed. Corrupted checkpoints of this
    step or a later one are renamed to `N.damaged`.

    In a run of several processes, all processes call `save` with the same state. Process 0 alone
    writes, while all continue to train. The handles of all processes report its error. If the
    processes hold different members of a population, each leaf is gathered in turn, so each device
    needs memory for one leaf of all members. The number of processes does not change the format.

    Args:
      directory: the run's folder of checkpoints; created if missing.
      state: the state of one run or of a population. The checkpoint is named after the state's
        step.
      keep: the number of newest checkpoints to keep, at least 1; older ones are deleted.
      keep_every: also keeps all steps that are multiples of this number, at least 1.
      metadata: any JSON-serializable value, such as the configuration. `info` returns it.

    Returns:
      A `SaveHandle`, which reports errors of the write, such as a full disk or a read-only folder.

    Raises:
      BlockingIOError: If another process saves in this folder.
      TypeError: If the metadata is not JSON-serializable, a leaf is not an array or has a dtype
        that JAX would convert, or an argument has the wrong type.
      ValueError: If a number is below 1, the members of a population are at different steps, the
        state was donated, or the directory's path contains "[". Also if the directory has an intact
        checkpoint, or a numbered folder that jaxgan did not write, of this step or a later one.

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
    folder = storage.absolute(directory)
    # Before `_step_of`, which waits for all processes if they hold different members.
    leaves = processes.together("checkpoint.save", lambda: _named_leaves(state))
    step = _step_of(state)
    steps = processes.gather("checkpoint.save", functools.partial(_prepare, folder, step))
    is_same = steps == [step] * len(steps)
    checks.require(is_same, "state.step", "the same in all processes", f"{steps}")
    is_first = processes.is_first()
    copied = {k: leaf for k, leaf in leaves.items() if is_first or arrays.is_shared(leaf)}
    copies = {name: arrays.to_host(leaf) for name, leaf in copied.items()}
    if is_first:
        _warn_of_non_finite(copies, folder)
    saved_by: Json = environment()
    optimizers = [opt_states.outline(part) for part in state.opt_state]
    header = Header(step=step, metadata=metadata, saved_by=saved_by, optimizers=optimizers)
    header["devices"] = arrays.num_devices(state.step)
    return writer.submit(folder, copies, header, keep, keep_every)


def _named_leaves(state: TrainState) -> dict[str, arrays.Leaf]:
    """Returns the leaves by path, and checks that this process can read their values."""
    leaves = arrays.by_name(state)
    arrays.check_values(leaves)
    return leaves


def _prepare(folder: Path, step: int) -> int:
    """Waits for the previous save, and checks the folder in the process that writes there."""
    writer.wait(folder, stacklevel=4)
    if processes.is_first():
        _lock(folder)
        _check_later_steps(folder, step)
    return step


def _warn_of_non_finite(copies: dict[str, arrays.HostArray], folder: Path) -> None:
    """Warns about parameters and moments that training cannot repair.

    Other optimizer states can be infinite, such as the best value of `optax.reduce_on_plateau`.
    """
    params = [leaf for name, leaf in copies.items() if name.startswith(".params")]
    shapes = {leaf.shape for leaf in params if leaf.shape != ()}
    checked = (".params", ".opt_state", ".ema_params")
    is_broken = lambda leaf: leaf.shape in shapes and not arrays.is_finite(leaf)
    broken = [k for k, leaf in copies.items() if k.startswith(checked) and is_broken(leaf)]
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        warnings.warn(
            f"{folder}: the saved state has non-finite values in {', '.join(broken[:3])}{more}. "
            "Training cannot recover from them. Restore an older checkpoint.",
            stacklevel=3,
        )


def _step_of(state: TrainState) -> int:
    """Returns the step of a state, or the common step of all members of a population."""
    numbers = arrays.values(state.step)
    steps = np.unique(checks.numpy_array("state.step", numbers, jnp.integer)).tolist()
    advice = "Save each member separately, with jaxgan.population.pick(states, i)."
    checks.require(len(steps) == 1, "state.step", "the same in all members", f"{steps}", advice)
    checks.integer("state.step", steps[0], 0)
    return steps[0]


def _lock(folder: Path) -> None:
    """Locks the folder for this process. Raises only if another process has the lock."""
    try:
        file_lock.acquire(folder)
    except BlockingIOError:
        raise
    except OSError:
        pass  # the folder cannot be written; the `SaveHandle` reports the error


def _check_later_steps(folder: Path, step: int) -> None:
    """Checks that the save replaces neither an intact checkpoint nor a user's folder."""
    try:
        found = storage.steps(folder)
    except OSError:
        return  # the write lists the folder again, and the `SaveHandle` reports the error
    for later in (number for number in found if number >= step):
        is_ours = run_layout.is_checkpoint(folder / str(later))
        expected = "a folder whose numbered folders are checkpoints"
        got = f"{folder / str(later)}, which is not a checkpoint"
        checks.require(is_ours, "directory", expected, got, "Rename it.")
        problem = read.find_problem(folder, later)
        got, advice = f"{folder} with step {later}", "Choose another folder, or delete that step."
        expected = f"without intact checkpoints of step {step} or later"
        checks.require(problem is not None, "directory", expected, got, advice)
        warnings.warn(
            f"{folder}: step {later} is corrupted, and will be renamed to {later}.damaged: "
            f"{problem}.",
            stacklevel=5,
        )
