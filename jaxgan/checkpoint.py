"""Checkpoints of a run: Orbax does the work.

One folder holds one run, one subfolder a checkpoint, named after its step. A checkpoint appears
whole or not at all: a killed save leaves the one before it as the latest.
"""

import json
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from jaxgan.train_state import TrainState

_Directory = str | os.PathLike


class Saving:
    """A save under way. It holds a copy of the state, which may be donated at once."""

    def __init__(self, checkpointer: Any, response: Any):
        self._checkpointer, self._response = checkpointer, response

    def result(self) -> None:
        """Waits until the checkpoint is whole on disk.

        Raises:
          OSError: it could not be written; the checkpoints before it stay as they are.
        """
        try:
            self._response.result()
        finally:
            self._checkpointer.close()


def save(
    directory: _Directory, state: TrainState, *, keep: int = 3, metadata: Any = None
) -> Saving:
    """Begins to write a checkpoint of a state, and returns while it is being written.

    Wait for its `result()` before the next `save` and before leaving the program.

    Args:
      directory: the run's folder of checkpoints; made if missing.
      state: what to save: of one run, or of a population. Its step names the checkpoint.
      keep: how many of the newest to keep, at least 1; older ones are deleted.
      metadata: anything that JSON can hold, to be read back with `metadata`.

    Returns:
      A `Saving`.

    Raises:
      TypeError: JSON cannot hold the metadata.
      ValueError: `keep` is below 1, there is a checkpoint of this step already, or the members of
        a population are at different steps.

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
    if keep < 1:
        raise ValueError(f"keep must be at least 1; got {keep}.")
    numbers = np.unique(state.step)
    if len(numbers) != 1:
        raise ValueError(
            f"A checkpoint holds one step, but this population is at {numbers.tolist()}: save its "
            "members by themselves, jaxgan.population.pick(states, i)."
        )
    step = int(numbers[0])
    json.dumps(metadata)  # raises TypeError now rather than in the background
    if step in steps(directory):
        raise ValueError(f"{directory} has a checkpoint of step {step} already.")
    policy = ocp.training.preservation_policies.LatestN(keep)
    checkpointer = ocp.training.Checkpointer(_absolute(directory), preservation_policy=policy)
    contents = {"leaves": _leaves(state), "user": metadata}
    return Saving(checkpointer, checkpointer.save_async(step, state, custom_metadata=contents))


def restore(directory: _Directory, like: TrainState, *, step: int | None = None) -> TrainState:
    """Reads a checkpoint back, onto the devices of `like`.

    Args:
      directory: the run's folder of checkpoints.
      like: a state of the same structure, shapes and dtypes: a real one, or an abstract one as
        `jax.eval_shape(gan.init, key, images)` gives.
      step: which one; by default the latest.

    Returns:
      The saved state, bit for bit, as long as the files are undamaged: Orbax stores no checksum of
      array data, so a flipped bit on the disk is not noticed.

    Raises:
      FileNotFoundError: there is no such checkpoint.
      ValueError: the checkpoint and `like` differ; the message names the leaves that do.
    """
    step = _existing(directory, step)
    _check_same(_contents(directory, step)["leaves"], _leaves(like), f"{directory}, step {step},")
    abstract = jax.tree.map(_abstract, like)
    with ocp.training.Checkpointer(_absolute(directory)) as checkpointer:
        return checkpointer.load(step, abstract)


def metadata(directory: _Directory, *, step: int | None = None) -> Any:
    """Reads what was given to `save` as metadata.

    Args:
      directory: the run's folder of checkpoints.
      step: which checkpoint; by default the latest.

    Returns:
      What JSON makes of it: lists for tuples.

    Raises:
      FileNotFoundError: there is no such checkpoint.
      ValueError: the checkpoint was not saved by jaxgan.
    """
    return _contents(directory, _existing(directory, step))["user"]


def steps(directory: _Directory) -> list[int]:
    """Lists the steps that have a whole checkpoint, oldest first.

    Args:
      directory: the run's folder of checkpoints; it need not exist.

    Returns:
      The steps; none if there is no such folder.
    """
    if not _absolute(directory).is_dir():
        return []
    with ocp.training.Checkpointer(_absolute(directory)) as checkpointer:
        return sorted(checkpoint.step for checkpoint in checkpointer.checkpoints)


def latest(directory: _Directory) -> int | None:
    """Returns the newest step that has a whole checkpoint, or None.

    Args:
      directory: the run's folder of checkpoints; it need not exist.
    """
    return max(steps(directory), default=None)


def _absolute(directory: _Directory) -> Path:
    return Path(directory).expanduser().absolute()  # Orbax takes no relative path


def _existing(directory: _Directory, step: int | None) -> int:
    found = steps(directory)
    if not found or (step is not None and step not in found):
        wanted = "no checkpoint" if step is None else f"no checkpoint of step {step}"
        raise FileNotFoundError(f"{directory} has {wanted}; it has steps {found}.")
    return max(found) if step is None else step


def _contents(directory: _Directory, step: int) -> dict[str, Any]:
    with ocp.training.Checkpointer(_absolute(directory)) as checkpointer:
        contents = checkpointer.metadata(step).custom_metadata
    if not isinstance(contents, dict) or "leaves" not in contents:
        raise ValueError(f"{directory}, step {step}, was not saved by jaxgan, or is damaged.")
    return contents


def _leaves(state: TrainState) -> dict[str, str]:
    """Every leaf's path, with its dtype and shape."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}


def _check_same(saved: dict[str, str], wanted: dict[str, str], where: str) -> None:
    differing = [
        f"{path}: saved {saved.get(path, 'nothing')}, wanted {wanted.get(path, 'nothing')}"
        for path in sorted(saved.keys() | wanted.keys())
        if saved.get(path) != wanted.get(path)
    ]
    if differing:
        more = f"\n  and {len(differing) - 8} more" if len(differing) > 8 else ""
        raise ValueError(
            f"{where} was saved from another network, optimizer or PRNG. These leaves differ:\n  "
            + "\n  ".join(differing[:8])
            + more
        )


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    # Orbax wants a sharding for every leaf; where there is none, the default device is meant.
    sharding = getattr(leaf, "sharding", None)
    sharding = sharding or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
