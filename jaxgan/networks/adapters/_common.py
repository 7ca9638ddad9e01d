"""Helper functions of the adapters."""

import functools
import importlib
import inspect
import re
import types
import typing
from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any

from jaxgan._internal import checks


def import_library(name: str, package: str) -> ModuleType:
    """Imports a library when its adapter is called.

    Args:
      name: the library's import name.
      package: the library's name on PyPI.

    Raises:
      ImportError: If the library is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"from_{name} needs {name}: pip install {package}") from error


def check_make(make: object, form: str, module: type) -> None:
    """Checks that `make` is a function that makes modules, since jaxgan initializes them itself.

    Args:
      make: the argument.
      form: its arguments and result.
      module: the library's class of modules.

    Raises:
      TypeError: If `make` is a module, or not a function.
    """
    is_module, got = isinstance(make, module), f"the module {type(make).__name__}"
    checks.require(not is_module, "make", f"a function {form}", got, error=TypeError)
    checks.function("make", make, form)


# The parameters of a call that jaxgan passes, and whether they are true in training passes.
_FLAGS = {
    **dict.fromkeys(("train", "training", "is_training", "update_stats"), True),
    **dict.fromkeys(("deterministic", "use_running_average", "inference"), False),
}
# Words in the names and text values of other flags, such as is_train=1 and phase="test".
_WORDS = {"train", "training", "test", "testing", "eval", "evaluate", "evaluation", "inference"}
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def train_flags(
    name: str, call: Callable, others: Collection[str] = ()
) -> Callable[[bool], dict[str, Any]]:
    """Returns a function that makes the keyword arguments of a call from `train`.

    `train`, `training`, `is_training` and `update_stats` are true in training passes.
    `deterministic`, `use_running_average` and `inference` are true in other passes.

    Args:
      name: the call's name in an error.
      call: the function or module that receives the arguments.
      others: the names of parameters that the adapter passes itself.

    Raises:
      TypeError: If a parameter can be a flag that jaxgan does not know.

    Example:
      >>> from jaxgan.networks.adapters._common import train_flags
      >>> train_flags("f", lambda x, train: x)(True), train_flags("f", lambda x: x)(True)
      ({'train': True}, {})
      >>> train_flags("f", lambda x, *, training, deterministic=None: x)(False)
      {'training': False, 'deterministic': True}
    """
    parameters = inspect.signature(call).parameters.values()
    flags = [p.name for p in parameters if p.name in _FLAGS and p.kind in _NAMED]
    given = call.keywords if isinstance(call, functools.partial) else {}
    rest = [p for p in parameters if p.name not in {*flags, *others, *given}]
    inputs = [p for p in rest if p.kind in _POSITIONAL and p.default is p.empty]
    for p in rest:
        fits = not _may_be_flag(p) and p not in inputs[2:]
        expected = f"x, labels, or a flag that jaxgan passes by name ({', '.join(_FLAGS)})"
        advice = f"Rename {p.name}, make it a field, or pass it in your own jaxgan.Network."
        got = f"{p}, which is positional-only" if p.kind is p.POSITIONAL_ONLY else f"{p}"
        checks.require(fits, f"Each parameter of {name}", expected, got, advice, error=TypeError)
    return lambda train: {flag: train == _FLAGS[flag] for flag in flags}


def _may_be_flag(p: inspect.Parameter) -> bool:
    """Returns whether a parameter can be a flag, or needs a value that jaxgan does not know."""
    if p.kind not in (*_POSITIONAL, *_NAMED):
        return False  # *args and **kwargs
    is_bool = isinstance(p.default, bool) or _is_bool(p.annotation)
    needs_value = p.kind is p.KEYWORD_ONLY and p.default is p.empty
    words = f"{p.name}_{p.default}" if isinstance(p.default, str) else p.name
    is_number = isinstance(p.default, int) and p.default in (0, 1)
    may_be_switch = p.default is p.empty or is_number or isinstance(p.default, str)
    has_word = may_be_switch and bool(_WORDS & {*words.lower().split("_")})
    return is_bool or needs_value or p.name in _FLAGS or has_word


def _is_bool(annotation: Any) -> bool:
    """Returns whether an annotation, which may be text, is bool or a union with bool."""
    if isinstance(annotation, str):
        annotation = re.sub(r"^(typing\.)?(Optional|Union)\[(.*)\]$", r"\3", annotation)
        return "bool" in re.split(r"\W+", re.sub(r"\[.*\]", "", annotation))
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return annotation is bool or (is_union and bool in typing.get_args(annotation))
