"""Checks arguments. An error names the argument, the valid values and the given value.

All checks run in Python, at trace time under `jit`, so compiled programs contain no checks. A
traced array has no values, so only its shape and dtype are checked.
"""

from jaxgan._internal.checks.arrays import (
    ShapeError,
    array,
    channels_first,
    channels_first_note,
    finite,
    is_concrete,
    is_readable,
    key,
    labels,
    not_donated,
    numpy_array,
    readable,
    shape,
)
from jaxgan._internal.checks.ranges import SIGNED, images_in_range, plausible
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
    "SIGNED",
    "ShapeError",
    "array",
    "as_json",
    "boolean",
    "channels_first",
    "channels_first_note",
    "file",
    "finite",
    "function",
    "images_in_range",
    "instance",
    "integer",
    "is_concrete",
    "is_readable",
    "key",
    "labels",
    "not_donated",
    "numpy_array",
    "optimizers",
    "pair",
    "path",
    "plausible",
    "readable",
    "real",
    "require",
    "shape",
    "show",
    "shown",
    "text",
    "tree_matches",
]
