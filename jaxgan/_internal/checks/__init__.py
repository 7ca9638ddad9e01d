"""Checks of arguments, one line each: an error names the argument, what it must be and what it is.

All checks run in Python, at trace time under `jit`, so that compiled programs contain none of them.
A traced array has a shape and a dtype but no values, so only those are checked.
"""

from jaxgan._internal.checks.arrays import (
    ShapeError,
    array,
    finite,
    is_concrete,
    key,
    labels,
    numpy_array,
    shape,
)
from jaxgan._internal.checks.trees import as_json, optimizers, pair, tree_matches
from jaxgan._internal.checks.values import (
    boolean,
    file,
    function,
    instance,
    integer,
    path,
    real,
    require,
    show,
    shown,
    text,
)

__all__ = [
    "ShapeError",
    "array",
    "as_json",
    "boolean",
    "file",
    "finite",
    "function",
    "instance",
    "integer",
    "is_concrete",
    "key",
    "labels",
    "numpy_array",
    "optimizers",
    "pair",
    "path",
    "real",
    "require",
    "shape",
    "show",
    "shown",
    "text",
    "tree_matches",
]
