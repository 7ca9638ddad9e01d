"""Checks pytrees, pairs and JSON values."""

import inspect
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan._internal.checks.values import require, show, shown
from jaxgan.types import Pair


def pair(
    name: str,
    value: Any,
    what: str,
    fits: Callable[[Any], bool] = lambda x: True,
    advice: str = "",
) -> None:
    """Checks that a value is a `Pair`, with one part for each network.

    Args:
      name: the argument's name in an error.
      value: the argument.
      what: a description of the parts, such as "losses".
      fits: returns whether a part is valid.
      advice: one instruction.

    Raises:
      TypeError: If the value is not a `Pair`, or a part is invalid.
    """
    expected = f"a jaxgan.Pair of {what}"
    require(isinstance(value, Pair), name, expected, shown(value), advice, error=TypeError)
    for player, part in value._asdict().items():
        got = lambda player=player, part=part: f"{player}={show(part)}"
        require(fits(part), name, expected, got, advice, error=TypeError)


def optimizers(name: str, value: Any) -> None:
    """Checks that a value is a `Pair` of optax transformations.

    Args:
      name: the argument's name in an error.
      value: the argument.

    Raises:
      TypeError: If the value is not a `Pair`, or a part has no `init` or `update`, or is a class.
    """
    has_both = lambda x: all(callable(getattr(x, part, None)) for part in ("init", "update"))
    fits = lambda x: has_both(x) and not inspect.isclass(x)
    pair(name, value, "optax transformations", fits, "optax.adam(1e-3) is an example.")


def tree_matches(name: str, tree: Any, expected: Any, advice: str = "") -> None:
    """Checks the structure, shapes and dtypes of a pytree.

    Args:
      name: the argument's name in an error.
      tree: the pytree.
      expected: a pytree of arrays or of `jax.ShapeDtypeStruct`.
      advice: one instruction.

    Raises:
      ValueError: If the pytrees differ; the message names the first differences.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan._internal import checks
      >>> checks.tree_matches("state", {"a": jnp.ones(2)}, {"a": jnp.ones(3)})
      Traceback (most recent call last):
      ...
      ValueError: state must be a pytree like the expected one; got ['a'] float32(2,), not
      float32(3,).
    """
    found, wanted = _describe(tree), _describe(expected)
    differences = [
        f"{path or 'the root'} {found.get(path, 'absent')}, not {wanted.get(path, 'absent')}"
        for path in {**wanted, **found}
        if wanted.get(path) != found.get(path)
    ]
    structure: Any = jax.tree.structure(expected)
    if not differences and jax.tree.structure(tree) != structure:
        differences = [f"nodes other than {structure}"]
    if differences:
        more = f", and {len(differences) - 3} more" if len(differences) > 3 else ""
        first = "; ".join(text[:300] for text in differences[:3])
        require(False, name, "a pytree like the expected one", f"{first}{more}", advice)


def _describe(tree: Any) -> dict[str, str]:
    """Returns the dtype and shape of each leaf, by path."""
    arrays = int | float | np.generic | np.ndarray | jax.Array | jax.ShapeDtypeStruct
    return {
        jax.tree_util.keystr(path): f"{getattr(x, 'dtype', type(x).__name__)}{jnp.shape(x)}"
        if isinstance(x, arrays)
        else type(x).__name__
        for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]
    }


def as_json(name: str, value: Any, *, finite: bool = False) -> str:
    """Checks that a value is JSON-serializable, and returns it as JSON text.

    Args:
      name: the argument's name in an error.
      value: the argument.
      finite: whether to refuse NaN and infinity, which the JSON standard does not allow.

    Raises:
      TypeError: If the value is not JSON-serializable.
      ValueError: If the value contains itself or is nested too deeply. With `finite`, also if the
        value contains NaN or infinity.

    Example:
      >>> from jaxgan._internal import checks
      >>> checks.as_json("metadata", {"seed": 0, "sizes": (3, 4)})
      '{"seed": 0, "sizes": [3, 4]}'
    """
    expected = f"{name} must be numbers, text, None, or lists and dicts of them"
    try:
        return json.dumps(value, allow_nan=not finite)
    except TypeError as error:
        raise TypeError(f"{expected}; JSON cannot store it: {error}.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{expected}; JSON cannot store it: {error}.") from error
