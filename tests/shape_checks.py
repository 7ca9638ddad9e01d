"""Checks the shapes in the annotations of jaxgan's inner functions, while tests run.

A function with shapes in its signature trusts its callers, so a wrong call is an error of jaxgan's.
All other functions check their arguments themselves, with errors for people.
"""

import types
import typing

import jaxtyping
from beartype import beartype

# The packages whose inner functions have shapes.
PACKAGES = ["jaxgan._game", "jaxgan.training", "jaxgan.evaluation"]

CHECKED: set[str] = set()  # the functions whose shapes are checked


def check(function):
    """Applies beartype to a function with shapes in its signature, for these shapes alone."""
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
