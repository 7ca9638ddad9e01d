"""Compares the hyper-parameters that a checkpoint and `like` store."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from jaxgan._internal import checks
from jaxgan.checkpoint import _arrays as arrays
from jaxgan.checkpoint._arrays import Leaf
from jaxgan.types import PyTree

_ADVICE = "jaxgan.population.with_hyperparameters sets other values."


def names(tree: PyTree, prefix: str = "") -> Iterator[str]:
    """Yields the paths of the stored hyper-parameters, except those that a schedule sets.

    `optax.inject_hyperparams` and `jaxgan.penalties.inject` store hyper-parameters.

    Args:
      tree: a state or a part of one.
      prefix: the path of that part.
    """
    stores = lambda node: isinstance(getattr(node, "hyperparams", None), dict)
    for path, node in jax.tree_util.tree_flatten_with_path(tree, is_leaf=stores)[0]:
        if stores(node):
            place = prefix + jax.tree_util.keystr(path)
            fixed = node.hyperparams.keys() - getattr(node, "hyperparams_states", {}).keys()
            arrays = (k for k in sorted(fixed) if jax.tree_util.all_leaves([node.hyperparams[k]]))
            yield from (f"{place}.hyperparams[{name!r}]" for name in arrays)
            yield from names(getattr(node, "inner_state", ()), f"{place}.inner_state")


def warn_of_changes(
    saved: dict[str, np.ndarray], like: dict[str, Leaf], checkpoint: Path, *, stacklevel: int
) -> None:
    """Warns if saved hyper-parameters differ from those of `like`, which `restore` ignores.

    Args:
      saved: the saved hyper-parameters, by path.
      like: the hyper-parameters of `like`, by path. Those without values are not compared.
      checkpoint: the checkpoint's folder.
      stacklevel: the number of stack frames from this function to the user's call.
    """
    given = {name: arrays.values(leaf) for name, leaf in like.items() if _has_values(leaf)}
    changed = [
        f"{name}: saved {_text(saved[name])}, in like {_text(value)}"
        for name, value in given.items()
        if not np.array_equal(saved[name], value, equal_nan=True)
    ]
    if changed:
        more = f"\n  and {len(changed) - 8} more" if len(changed) > 8 else ""
        first = f"{checkpoint} and like have different hyper-parameters. The saved values are used."
        text = "\n  ".join([f"{first} {_ADVICE}", *changed[:8]]) + more
        warnings.warn(text, stacklevel=stacklevel + 1)


def _has_values(leaf: Leaf) -> bool:
    """Returns whether this process can read the values of a leaf."""
    if isinstance(leaf, jax.Array):
        return checks.is_concrete(leaf) and not (leaf.is_deleted() or arrays.is_shared(leaf))
    return isinstance(leaf, np.ndarray | np.generic)


def _text(value: np.ndarray) -> str:
    """Returns a hyper-parameter as short text, such as "0.1" or "[0.1 0.2]"."""
    return np.array2string(value.astype(np.float64), precision=6, threshold=8, edgeitems=2)
