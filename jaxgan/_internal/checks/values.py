"""Checks numbers, text, functions and other Python values."""

import inspect
import math
import os
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_MAXIMUM = 2**31 - 1  # of int32, the default integer dtype of JAX


def show(value: object) -> str:
    """Returns a description of a value for an error message, short even for large values.

    Args:
      value: any value.

    Example:
      >>> import numpy as np
      >>> from jaxgan._internal import checks
      >>> checks.show(np.zeros((2, 3))), checks.show("a" * 1000), checks.show(2.5)
      ('float64 of shape (2, 3)', "'aaaaaaaaaaaa...aaaaaaaaaaaaa'", '2.5')
    """
    is_traced = isinstance(value, jax.core.Tracer)
    if isinstance(value, np.ndarray | jax.Array) and (is_traced or value.shape != ()):
        return f"{value.dtype} of shape {value.shape}"
    if type(value).__module__.split(".")[0] == "torch" and hasattr(value, "shape"):
        return f"a torch tensor of {tuple(value.shape)}, which x.detach().cpu().numpy() converts"
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer with more digits than Python prints
        return f"{type(value).__name__} of more than a thousand digits"


def shown(value: object) -> Callable[[], str]:
    """Returns a function that calls `show`, so that only a failed check builds the description.

    Args:
      value: any value.
    """
    return lambda: show(value)


def require(
    condition: bool | np.bool_,
    name: str,
    expected: str,
    got: str | Callable[[], str],
    advice: str = "",
    *,
    error: type[Exception] = ValueError,
) -> None:
    """Raises an error of the form `{name} must be {expected}; got {got}. {advice}`.

    Args:
      condition: whether the argument is valid.
      name: the argument's name in the error.
      expected: a description of the valid arguments.
      got: a description of the argument, such as from `show`; or a function that returns the
        description. The function is called only if the check fails.
      advice: one instruction.
      error: the exception's class.

    Raises:
      error: If the condition is false.

    Example:
      >>> from jaxgan._internal import checks
      >>> checks.require(2 < 1, "real_label", "in (0, 1]", "2", "0.9 is the usual choice.")
      Traceback (most recent call last):
      ...
      ValueError: real_label must be in (0, 1]; got 2. 0.9 is the usual choice.
    """
    if not condition:
        text = got() if callable(got) else got
        raise error(f"{name} must be {expected}; got {text}. {advice}".rstrip())


def integer(name: str, value: object, minimum: int = 1, maximum: int = _MAXIMUM) -> None:
    """Checks an integer.

    Args:
      name: the argument's name in an error.
      value: the argument.
      minimum, maximum: the range, both ends included.

    Raises:
      TypeError: If the value is not an integer. `True` and 3.0 are not integers.
      ValueError: If the value is out of range.

    Example:
      >>> from jaxgan._internal import checks
      >>> checks.integer("num_steps", 0)
      Traceback (most recent call last):
      ...
      ValueError: num_steps must be at least 1; got 0.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer; got {show(value)}.")
    require(value >= minimum, name, f"at least {minimum}", shown(value))
    require(value <= maximum, name, f"at most {maximum}", shown(value))


def real(
    name: str,
    value: Any,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    *,
    positive: bool = False,
) -> None:
    """Checks a finite number or scalar array. The value of a traced scalar is not checked.

    Args:
      name: the argument's name in an error.
      value: the argument.
      minimum, maximum: the range, both ends included.
      positive: whether the number must be greater than 0.

    Raises:
      TypeError: If the value is not a real number.
      ValueError: If the value is not scalar, is non-finite, or is out of range.

    Example:
      >>> from jaxgan._internal import checks
      >>> checks.real("gamma", float("nan"), 0.0)
      Traceback (most recent call last):
      ...
      ValueError: gamma must be at least 0.0; got nan.
    """
    is_array = isinstance(value, np.ndarray | jax.Array)
    require(not is_array or value.shape == (), name, "a number or a scalar array", shown(value))
    dtype = getattr(value, "dtype", np.dtype(type(value) if type(value) in (int, float) else "O"))
    is_real = any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer))
    require(is_real, name, "a number", shown(value), error=TypeError)
    if isinstance(value, jax.core.Tracer):
        return
    try:
        found = float(value)
    except OverflowError:  # an integer too large for a float
        found = math.inf
    if positive:
        require(0 < found < math.inf, name, "positive and finite", shown(value))
    fits = minimum <= found <= maximum and math.isfinite(found)
    require(fits, name, _range(found, minimum, maximum), shown(value))


def _range(found: float, minimum: float, maximum: float) -> str:
    if maximum < math.inf:
        return f"in [{minimum}, {maximum}]"
    if minimum == -math.inf:
        return "a finite number"
    return f"at least {minimum}" + (" and finite" if found == math.inf else "")


def boolean(name: str, value: object) -> None:
    """Checks that a value is `True` or `False`.

    Args:
      name: the argument's name in an error.
      value: the argument.

    Raises:
      TypeError: If the value is not a bool. 1 and arrays are not bools.
    """
    require(isinstance(value, bool), name, "True or False", shown(value), error=TypeError)


def text(name: str, value: object, advice: str = "") -> None:
    """Checks that a value is a `str`.

    Args:
      name: the argument's name in an error.
      value: the argument.
      advice: one instruction.

    Raises:
      TypeError: If the value is not a `str`.
    """
    require(isinstance(value, str), name, "text", shown(value), advice, error=TypeError)


def instance(name: str, value: object, kind: type, expected: str, advice: str = "") -> None:
    """Checks that a value is an instance of a class.

    Args:
      name: the argument's name in an error.
      value: the argument.
      kind: the class.
      expected: a description of the valid values, such as "a jaxgan.TrainState".
      advice: one instruction.

    Raises:
      TypeError: If the value is not an instance of `kind`.
    """
    require(isinstance(value, kind), name, expected, shown(value), advice, error=TypeError)


def function(name: str, value: object, form: str, *, or_class: bool = True) -> None:
    """Checks that a value is callable.

    Args:
      name: the argument's name in an error.
      value: the argument.
      form: the function's arguments and result, such as "(key, images) -> images".
      or_class: whether the value may be a class, or a public function of jaxgan. Such a function
        makes the wanted function when it is called.

    Raises:
      TypeError: If the value is not callable, or makes the wanted function.
    """
    expected = f"a function {form}"
    fits = callable(value) and (or_class or not inspect.isclass(value))
    require(fits, name, expected, shown(value), error=TypeError)
    if not or_class and inspect.isfunction(value) and f"{value.__module__}".startswith("jaxgan."):
        maker = value.__qualname__
        got, advice = f"the function {maker}", f"Call it: {maker}(...)."
        is_made = not maker.isidentifier()  # such as r1.<locals>.apply
        require(is_made, name, expected, got, advice, error=TypeError)


def path(name: str, value: Any) -> Path:
    """Checks a path, and returns it with a leading `~` replaced by the home folder.

    Args:
      name: the argument's name in an error.
      value: the argument.

    Raises:
      TypeError: If the value is neither text nor a path.
      ValueError: If the value is not a valid file name, or the home folder is unknown.

    Example:
      >>> from jaxgan._internal import checks
      >>> checks.path("data_dir", "a\\0b")
      Traceback (most recent call last):
      ...
      ValueError: data_dir must be the path of a file or folder; got 'a\\x00b'.
    """
    expected = "the path of a file or folder"
    is_path = isinstance(value, str | os.PathLike) and isinstance(os.fspath(value), str)
    require(is_path, name, expected, shown(value), error=TypeError)
    is_name = os.fspath(value) != "" and "\0" not in os.fspath(value)
    require(is_name, name, expected, shown(value))
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"{name} must be {expected}; got {show(value)}, whose home folder is unknown."
        ) from error


def file(name: str, value: Any) -> Path:
    """Checks the path of a file that must exist, and returns it as `path` does.

    Args:
      name: the argument's name in an error.
      value: the argument.

    Raises:
      TypeError: If the value is neither text nor a path.
      ValueError: If the value is not a valid file name, or the home folder is unknown.
      FileNotFoundError: If there is no such file.

    Example:
      >>> from jaxgan._internal import checks
      >>> checks.file("picture", "missing.png")
      Traceback (most recent call last):
      ...
      FileNotFoundError: picture must be an existing file; got missing.png.
    """
    found = path(name, value)
    require(found.is_file(), name, "an existing file", f"{found}", error=FileNotFoundError)
    return found
