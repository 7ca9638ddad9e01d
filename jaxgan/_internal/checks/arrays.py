"""Checks arrays: dtypes, axes, values, labels and PRNG keys."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxgan._internal.checks.values import require, show
from jaxgan.types import PyTree

A = TypeVar("A", jax.Array, np.ndarray)

_KINDS: dict[object, str] = {jnp.floating: "float", jnp.integer: "integer"}


class ShapeError(ValueError):
    """Reports that a user's function returned an array of the wrong shape."""


def is_concrete(value: object) -> bool:
    """Returns whether an array has values. A traced array has only a shape and a dtype.

    Args:
      value: any value.
    """
    return not isinstance(value, jax.core.Tracer)


def is_readable(value: object) -> bool:
    """Returns whether a value is concrete, and this process can read all of it.

    Several processes can hold different parts of an array.

    Args:
      value: any value.
    """
    if not isinstance(value, jax.Array) or not is_concrete(value):
        return is_concrete(value)
    return value.is_fully_addressable or value.is_fully_replicated


def readable(name: str, x: object) -> None:
    """Checks that no part of a concrete array is in other processes only.

    Args:
      name: the argument's name in an error.
      x: any value.

    Raises:
      ValueError: If other processes hold parts of the array.
    """
    expected, got = "an array of this process", "an array with parts in other processes"
    advice = "Gather it with jax.experimental.multihost_utils.process_allgather(x, tiled=True)."
    require(not is_concrete(x) or is_readable(x), name, expected, got, advice)


def array(
    name: str,
    x: object,
    kind: DTypeLike | None = None,
    form: str | None = "[batch, ...]",
    *,
    lists: bool = True,
) -> jax.Array:
    """Checks an array, and returns it as a JAX array.

    Args:
      name: the argument's name in an error.
      x: an array, or numbers in lists.
      kind: `jnp.floating`, `jnp.integer` or a dtype; None accepts all numbers and bools.
      form: the axes, such as "[batch] or [batch, ...]"; "..." means one or more axes. No axis may
        be empty. None accepts every shape, including empty ones.
      lists: whether to accept numbers in lists.

    Raises:
      TypeError: If `x` is not an array of that kind.
      ValueError: If `x` does not have these axes, or is empty.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan._internal import checks
      >>> checks.array("images", jnp.zeros((2, 4), jnp.uint8), jnp.floating)
      Traceback (most recent call last):
      ...
      TypeError: images must be float [batch, ...]; got uint8 of shape (2, 4).
    """
    return _array(name, x, kind, form, jnp.asarray, lists)


def numpy_array(
    name: str, x: object, kind: DTypeLike | None = None, form: str | None = None
) -> np.ndarray:
    """Checks an array, and returns it as a numpy array.

    Args:
      name: the argument's name in an error.
      x: an array, or numbers in lists.
      kind: `jnp.floating` (which includes bfloat16), `jnp.integer`, or None for all numbers and
        bools.
      form: the axes, as in `array`.

    Raises:
      TypeError: If `x` is not an array of that kind.
      ValueError: If `x` does not have these axes, is empty, or other processes hold parts of it.

    Example:
      >>> from jaxgan._internal import checks
      >>> checks.numpy_array("values", [[1.0], [2.0, 3.0]])
      Traceback (most recent call last):
      ...
      TypeError: values must be numbers; got [[1.0], [2.0, 3.0]].
    """
    readable(name, x)
    return _array(name, x, kind, form, np.asarray, True)


def _array(
    name: str,
    given: object,
    kind: DTypeLike | None,
    form: str | None,
    convert: Callable[[Any], A],
    lists: bool,
) -> A:
    expected = _expected(kind, form)
    is_array = isinstance(given, jax.Array | np.ndarray | np.generic)
    try:
        x = convert(given if is_array else _numbers(given, lists))
    except Exception:  # ragged lists, or any error of another library
        is_list = isinstance(given, list | tuple) and any(hasattr(x, "dtype") for x in given)
        got = f"a {type(given).__name__} of arrays" if is_list else show(given)
        advice = " Stack them with jax.numpy.stack." if is_list else ""
        raise TypeError(f"{name} must be {expected}; got {got}.{advice}") from None
    kinds = (jnp.number, jnp.bool_) if kind is None else (kind,)
    fits = any(jnp.issubdtype(x.dtype, one) for one in kinds)
    require(fits, name, expected, f"{x.dtype} of shape {x.shape}", error=TypeError)
    if form is not None:
        require(
            any(_fits(x.ndim, one) for one in form.split(" or ")),
            name,
            expected,
            f"shape {x.shape}",
        )
        require(x.size > 0, name, f"{expected} without empty axes", f"shape {x.shape}")
    return x


def _fits(ndim: int, form: str) -> bool:
    axes = form.strip("[]").split(", ")
    return ndim >= len(axes) if axes[-1] == "..." else ndim == len(axes)


def _expected(kind: DTypeLike | None, form: str | None) -> str:
    if kind is None:
        return "numbers" if form is None else f"of numbers {form}"
    name = _KINDS.get(kind) or np.dtype(kind).name
    if form is None:
        return f"{name}s" if kind in _KINDS else name
    return f"{name} {form}"


def _numbers(x: object, lists: bool) -> np.ndarray:
    """Converts numbers, lists of numbers, and arrays of other libraries, such as PyTorch."""
    is_traced = isinstance(x, list | tuple) and not all(map(is_concrete, x))
    if not lists or is_traced:
        raise TypeError
    array = np.asarray(x)
    is_number = any(jnp.issubdtype(array.dtype, kind) for kind in (jnp.number, jnp.bool_))
    if not is_number:  # numpy converts other values to arrays of objects or text
        raise TypeError
    return array


def finite(name: str, x: object) -> None:
    """Checks that all values of a concrete array are finite.

    Args:
      name: the argument's name in an error.
      x: floats of any shape.

    Raises:
      ValueError: If values are non-finite. The message gives their number and the first one.

    Example:
      >>> import numpy as np
      >>> from jaxgan._internal import checks
      >>> checks.finite("real", np.array([[0.0, np.nan]]))
      Traceback (most recent call last):
      ...
      ValueError: real must be finite; 1 of 2 values are not. The first is nan at [0, 1].
    """
    if not is_readable(x):
        return
    values: np.ndarray = np.asarray(x)
    wrong = ~np.isfinite(values)
    if wrong.any():
        first = np.unravel_index(int(np.argmax(wrong)), values.shape)
        raise ValueError(
            f"{name} must be finite; {wrong.sum()} of {values.size} values are not. "
            f"The first is {values[first]} at {[int(i) for i in first]}."
        )


def labels(
    x: object, batch: tuple[int, ...], num_classes: int | None, *, lists: bool = True
) -> jax.Array:
    """Checks the shape and dtype of labels, and the range if this process can read them.

    Args:
      x: the labels.
      batch: the required shape.
      num_classes: the number of classes; None if unknown.
      lists: whether to accept numbers in lists.

    Raises:
      TypeError: If the labels are not integers.
      ValueError: If the shape differs from `batch`, or a label is out of range.
    """
    integers = array("Labels", x, jnp.integer, form=None, lists=lists)
    fits, expected = integers.shape == batch, f"one for each example, of shape {batch}"
    require(fits, "Labels", expected, f"{integers.shape}")
    if num_classes is not None and is_readable(x) and integers.size:
        low, high = np.min(np.asarray(x)), np.max(np.asarray(x))
        in_range = low >= 0 and high < num_classes
        got = f"{low} to {high}, shape {integers.shape}"
        require(in_range, "Labels", f"in [0, {num_classes})", got)
    return integers


def key(x: object) -> None:
    """Checks that a value is one typed PRNG key.

    Args:
      x: the value.

    Raises:
      TypeError: If the value is not one typed PRNG key.
    """
    dtype, shape = getattr(x, "dtype", None), getattr(x, "shape", ())
    is_key = isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    got = f"{type(x).__name__} of shape {shape} and dtype {dtype}"
    expected = "one typed PRNG key, such as jax.random.key(seed)"
    require(is_key and shape == (), "key", expected, got, error=TypeError)


def not_donated(name: str, tree: PyTree, verb: str = "Use") -> None:
    """Checks that no array of a pytree was donated. A traced array is not checked.

    Args:
      name: the pytree's name in an error.
      tree: an array or a pytree of arrays.
      verb: the first word of the advice.

    Raises:
      ValueError: If an array was donated or deleted. The message names the first one.
    """
    for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if isinstance(x, jax.Array) and is_concrete(x) and x.is_deleted():
            full_name, expected = name + jax.tree_util.keystr(path), "an array with values"
            advice = f"{verb} the state that the donating call returned."
            require(False, full_name, expected, "a donated array", advice)


def shape(name: str, x: object, expected: tuple[int, ...], advice: str) -> None:
    """Checks the shape of an array that a user's function returned.

    Args:
      name: the array's name in an error.
      x: the array.
      expected: the required shape.
      advice: one instruction.

    Raises:
      ShapeError: If the shape differs from `expected`, or `x` is not an array.
    """
    found = getattr(x, "shape", type(x).__name__)
    require(found == expected, name, f"of shape {expected}", f"{found}", advice, error=ShapeError)


def channels_first(shape: tuple[int, ...], ndim: int = 4) -> str:
    """Returns one instruction if images have the layout of PyTorch, otherwise an empty string.

    Args:
      shape: the shape of the images.
      ndim: 4 if the shape should be that of a batch, 3 if it should be that of one picture.

    Example:
      >>> from jaxgan._internal import checks
      >>> checks.channels_first((8, 3, 32, 32))
      'The shape looks channels-first; pass np.transpose(images, (0, 2, 3, 1)).'
      >>> checks.channels_first((8, 32, 32, 3)), checks.channels_first((8, 3, 3, 64))
      ('', '')
    """
    if len(shape) != ndim or shape[-3] not in (1, 3) or min(shape[-2:]) <= 4:
        return ""
    name, axes = ("images", (0, 2, 3, 1)) if ndim == 4 else ("picture", (1, 2, 0))
    return f"The shape looks channels-first; pass np.transpose({name}, {axes})."


@contextlib.contextmanager
def channels_first_note(shape: tuple[int, ...]) -> Iterator[None]:
    """Adds the instruction of `channels_first` to an error that occurs in the block.

    Only a failure shows that the channels are first, because feature maps can have any shape.

    Args:
      shape: the shape of the images.
    """
    try:
        yield
    except Exception as error:
        advice = channels_first(shape)
        if advice and advice not in str(error):
            error.add_note(advice)
        raise
