"""Checks the shapes in the annotations of jaxgan's internal functions during tests.

Functions with shapes in their signatures do not check their arguments, so a wrong call is a bug in
jaxgan. All other functions check their arguments and raise readable errors.
"""

import types
import typing

import jaxtyping
from beartype import beartype

# The packages whose internal functions have shapes.
PACKAGES = ["jaxgan._game", "jaxgan.training", "jaxgan.evaluation"]

CHECKED: set[str] = set()  # the functions whose shapes are checked


def check(function):
    """Applies beartype to those annotations of a function that have shapes."""
    hints = {name: hint for name, hint in function.__annotations__.items() if _has_shape(hint)}
    if not hints:
        return function
    CHECKED.add(f"{function.__module__}.{function.__qualname__}")
    function.__annotations__ = hints
    return beartype(function)


def _has_shape(hint) -> bool:
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    nested = typing.get_origin(hint) in (tuple, typing.Union, types.UnionType)
    return nested and any(map(_has_shape, typing.get_args(hint)))
