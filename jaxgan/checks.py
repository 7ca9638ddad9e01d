"""What public functions ask of their arguments: each check is here once, and says it one way.

An error names the argument, says what it must be and what it is. All of it happens where Python
runs, at trace time under `jit`, so that a compiled program has nothing of it; of a traced array
the shape and dtype are checked, and the values cannot be.
"""

import json
import math
import os
import reprlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_LARGEST = 2**31 - 1  # of JAX's usual integers
_KINDS = {jnp.floating: "float", jnp.integer: "integer"}


def show(value: Any) -> str:
    """Describes a value in an error: short, however large it is.

    Args:
      value: anything.

    Example:
      >>> import numpy as np
      >>> from jaxgan import checks
      >>> checks.show(np.zeros((2, 3))), checks.show("a" * 1000), checks.show(2.5)
      ('float64 of shape (2, 3)', "'aaaaaaaaaaaa...aaaaaaaaaaaaa'", '2.5')
    """
    if isinstance(value, np.ndarray | jax.Array) and value.shape != ():
        return f"{value.dtype} of shape {value.shape}"
    try:
        return reprlib.repr(value)
    except ValueError:  # a whole number of more digits than Python prints
        return f"{type(value).__name__} of more than a thousand digits"


def known(value: Any) -> bool:
    """Says whether an array has values yet; while a program is traced it has none.

    Args:
      value: anything.
    """
    return not isinstance(value, jax.core.Tracer)


def whole(name: str, value: Any, least: int = 1, most: int = _LARGEST) -> None:
    """Checks a whole number.

    Args:
      name: what to call it in an error.
      value: what was given.
      least, most: the range.

    Raises:
      TypeError: it is no whole number. `True` and 3.0 are none.
      ValueError: it is out of range.

    Example:
      >>> from jaxgan import checks
      >>> checks.whole("num_steps", 0)
      Traceback (most recent call last):
      ...
      ValueError: num_steps must be at least 1; got 0.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number; got {show(value)}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}; got {show(value)}.")
    if value > most:
        raise ValueError(f"{name} must be at most {most}; got {show(value)}.")


def number(
    name: str,
    value: Any,
    least: float = -math.inf,
    most: float = math.inf,
    *,
    positive: bool = False,
) -> None:
    """Checks a finite number, or a scalar array, of which a traced one has no value to check.

    Args:
      name: what to call it in an error.
      value: what was given.
      least, most: the range, with its ends.
      positive: it must be above 0.

    Raises:
      TypeError: it is no real number.
      ValueError: it is no scalar, not finite or out of range.

    Example:
      >>> from jaxgan import checks
      >>> checks.number("gamma", float("nan"), 0.0)
      Traceback (most recent call last):
      ...
      ValueError: gamma must be at least 0.0; got nan.
    """
    is_array = isinstance(value, np.ndarray | jax.Array)
    dtype = getattr(value, "dtype", np.dtype(type(value) if type(value) in (int, float) else "O"))
    real = any(jnp.issubdtype(dtype, kind) for kind in _KINDS)
    if is_array and value.shape != ():
        raise ValueError(f"{name} must be a number or a scalar array; got {show(value)}.")
    if not real:
        raise TypeError(f"{name} must be a number; got {show(value)}.")
    if not known(value):
        return
    try:
        found = float(value)
    except OverflowError:  # a whole number that no float can hold
        found = math.inf
    if positive and not 0 < found < math.inf:
        raise ValueError(f"{name} must be positive and finite; got {show(value)}.")
    if not (least <= found <= most and math.isfinite(found)):
        said = "a finite number" if least == -math.inf else f"at least {least}"
        said = f"in [{least}, {most}]" if most < math.inf else said
        finite = " and finite" if found == math.inf and least > -math.inf else ""
        raise ValueError(f"{name} must be {said}{finite}; got {show(value)}.")


def array(name: str, x: Any, kind: Any = None, form: str | None = "[batch, ...]") -> jax.Array:
    """Checks an array, and returns it as JAX's.

    Args:
      name: what to call it in an error.
      x: what was given: an array, or numbers in lists.
      kind: `jnp.floating` or `jnp.integer`; by default any that JAX knows.
      form: its axes, of which "..." stands for one or more; there must be at least one of each.
        None is any shape, also an empty one.

    Raises:
      TypeError: it is no array of that kind.
      ValueError: it has not that form, or is empty.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan import checks
      >>> checks.array("images", jnp.zeros((2, 4), jnp.uint8), jnp.floating)
      Traceback (most recent call last):
      ...
      TypeError: images must be float [batch, ...]; got uint8 of shape (2, 4).
    """
    expected = f"{name} must be {_KINDS.get(kind, 'of numbers')} {form or ''}".rstrip()
    given, is_array = x, isinstance(x, jax.Array | np.ndarray | np.generic)
    try:
        x = jnp.asarray(x if is_array else np.asarray(_numbers(x)))
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{expected}; got {show(given)}.") from None
    if kind is not None and not jnp.issubdtype(x.dtype, kind):
        raise TypeError(f"{expected}; got {x.dtype} of shape {x.shape}.")
    if form is None:
        return x
    axes = form.strip("[]").split(", ")
    fits = x.ndim >= len(axes) if axes[-1] == "..." else x.ndim == len(axes)
    if not fits:
        raise ValueError(f"{expected}; got shape {x.shape}.")
    if not x.size:
        raise ValueError(f"{expected}, with at least one of each; got shape {x.shape}.")
    return x


def finite(name: str, x: Any) -> None:
    """Checks that all values of an array are finite, if it has values yet.

    Args:
      name: what to call it in an error.
      x: floats of any shape.

    Raises:
      ValueError: some are not; it says how many, and which is the first.

    Example:
      >>> import numpy as np
      >>> from jaxgan import checks
      >>> checks.finite("real", np.array([[0.0, np.nan]]))
      Traceback (most recent call last):
      ...
      ValueError: real must be finite; 1 of 2 values are not, the first is nan at [0, 1].
    """
    if not known(x):
        return
    values = np.asarray(x)
    wrong = ~np.isfinite(values)
    if wrong.any():
        first = np.unravel_index(int(np.argmax(wrong)), values.shape)
        raise ValueError(
            f"{name} must be finite; {wrong.sum()} of {values.size} values are not, "
            f"the first is {values[first]} at {[int(i) for i in first]}."
        )


def labels(x: Any, batch: tuple[int, ...], num_classes: int | None) -> jax.Array:
    """Checks labels, their range where they have values yet.

    Args:
      x: what was given.
      batch: the shape that they must have.
      num_classes: how many classes there are; None where that is not known.

    Raises:
      TypeError: they are no integers.
      ValueError: they have another shape, or are out of range.
    """
    given, x = x, array("Labels", x, form=None)
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise TypeError(f"Labels must be integers; got {x.dtype} of shape {x.shape}.")
    if x.shape != batch:
        raise ValueError(
            f"Labels, one for each row of the batch, must have shape {batch}; got {x.shape}."
        )
    if num_classes is not None and known(given):
        low, high = np.min(np.asarray(given)), np.max(np.asarray(given))
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"Labels must be in [0, {num_classes}); got {low} to {high}, shape {x.shape}."
            )
    return x


def key(x: Any) -> None:
    """Checks that it is given a single typed PRNG key.

    Args:
      x: whatever may be one.

    Raises:
      TypeError: it is none.
    """
    dtype = getattr(x, "dtype", None)
    if not isinstance(x, jax.Array) or not jnp.issubdtype(x.dtype, jax.dtypes.prng_key) or x.ndim:
        got = f"{type(x).__name__} of shape {getattr(x, 'shape', ())} and dtype {dtype}"
        raise TypeError(
            f"key must be one typed PRNG key, as jax.random.key(seed) makes; got {got}."
        )


def function(name: str, value: Any, form: str) -> None:
    """Checks that something can be called.

    Args:
      name: what to call it in an error.
      value: what was given.
      form: what it takes and returns, such as "(key, images) -> images".

    Raises:
      TypeError: it cannot.
    """
    if not callable(value):
        raise TypeError(f"{name} must be a function {form}; got {show(value)}.")


def fits(name: str, tree: Any, expected: Any, advice: str = "") -> None:
    """Checks that a pytree has the structure, shapes and dtypes that it must have.

    Args:
      name: what to call it in an error.
      tree: what was given.
      expected: a pytree of arrays, or of what `jax.eval_shape` gives.
      advice: what to do, at the end of the error.

    Raises:
      ValueError: it does not fit; the first places that differ are named.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan import checks
      >>> checks.fits("state", {"a": jnp.ones(2)}, {"a": jnp.ones(3)})
      Traceback (most recent call last):
      ...
      ValueError: state does not fit: ['a'] must be float32(3,), is float32(2,).
    """

    def leaves(tree: Any) -> dict[str, str]:
        found = jax.tree_util.tree_flatten_with_path(tree)[0]
        return {
            jax.tree_util.keystr(at): f"{getattr(x, 'dtype', type(x).__name__)}{jnp.shape(x)}"
            if isinstance(x, int | float | np.ndarray | jax.Array | jax.ShapeDtypeStruct)
            else type(x).__name__
            for at, x in found
        }

    is_there, wanted = leaves(tree), leaves(expected)
    differences = [
        f"{at or 'it'} must be {wanted.get(at, 'absent')}, is {is_there.get(at, 'absent')}"
        for at in {**wanted, **is_there}
        if wanted.get(at) != is_there.get(at)
    ]
    nodes: Any = jax.tree.structure(expected)
    if not differences and jax.tree.structure(tree) != nodes:
        differences = [f"its nodes must be {nodes}"]
    if differences:
        more = f", and {len(differences) - 3} more" if len(differences) > 3 else ""
        said = "; ".join(text[:300] for text in differences[:3])
        raise ValueError(f"{name} does not fit: {said}{more}.{advice}")


def as_json(name: str, value: Any, *, finite: bool = False) -> str:
    """Checks that JSON can hold a value, and returns its text.

    Args:
      name: what to call it in an error.
      value: what was given.
      finite: refuse NaN and infinity, which are not equal to what is read again.

    Raises:
      TypeError: it holds something else.
      ValueError: it holds itself, is nested too deeply, or numbers that are not finite.

    Example:
      >>> from jaxgan import checks
      >>> checks.as_json("metadata", {"seed": 0, "sizes": (3, 4)})
      '{"seed": 0, "sizes": [3, 4]}'
    """
    expected = f"{name} must be numbers, text, None, or lists and dicts of them, as JSON holds"
    try:
        return json.dumps(value, allow_nan=not finite)
    except TypeError as error:
        raise TypeError(f"{expected}: {error}.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{expected}: {error}.") from error


def path(name: str, value: Any) -> Path:
    """Checks a path, and returns it with its leading `~` made the home folder.

    Args:
      name: what to call it in an error.
      value: what was given.

    Raises:
      TypeError: it is neither text nor a path.
      ValueError: no file can have that name, or the home folder is not known.

    Example:
      >>> from jaxgan import checks
      >>> checks.path("data_dir", "a\\0b")
      Traceback (most recent call last):
      ...
      ValueError: data_dir must be the path of a file or folder; got 'a\\x00b'.
    """
    expected = f"{name} must be the path of a file or folder"
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{expected}; got {show(value)}.")
    if not os.fspath(value) or "\0" in os.fspath(value):
        raise ValueError(f"{expected}; got {show(value)}.")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{expected}; got {show(value)}, of which no home is known.") from error


def _numbers(x: Any) -> Any:
    """What lists hold, if they hold numbers; anything else would become an array of objects."""
    if isinstance(x, int | float | complex | list | tuple):
        return x
    raise TypeError
