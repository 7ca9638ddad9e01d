"""Helper functions of the adapters."""

import importlib
import inspect
from collections.abc import Callable
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


def train_option(function: Callable) -> Callable[[bool], dict[str, Any]]:
    """Returns a function that makes the keyword arguments of a call from `train`.

    The keyword arguments are empty if `function` has no parameter `train`.

    Args:
      function: the function that receives the arguments.

    Example:
      >>> from jaxgan.networks.adapters._common import train_option
      >>> train_option(lambda x, train: x)(True), train_option(lambda x: x)(True)
      ({'train': True}, {})
    """
    has_train = "train" in inspect.signature(function).parameters
    return lambda train: {"train": train} if has_train else {}
