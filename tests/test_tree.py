"""Tests public names and imports between modules."""

import ast
import graphlib
import importlib
import pkgutil
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

import jaxgan

ROOT = Path(jaxgan.__file__).parent
# From the lowest layer, as in docs/development/design.md. A module imports only from lower layers.
LAYERS = [
    {"types"},
    {"_internal"},
    {"train_state"},
    {"runs", "compilation"},
    {"datasets", "images", "latents", "_spectrum"},
    {"losses", "augment", "optimizers", "diagnostics"},
    {"terms", "_players"},
    {"penalties", "dynamics"},
    {"networks"},
    {"evaluation"},
    {"population", "checkpoint"},
    {"_game"},
    {"distributed", "updates"},
    {"training"},
    {"streaming"},
    {"__init__", "__main__"},
]


def public_modules() -> list[str]:
    names = [module.name for module in pkgutil.walk_packages(jaxgan.__path__, "jaxgan.")]
    return ["jaxgan", *(name for name in names if "._" not in name)]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Returns the modules of jaxgan that a file imports, at any place in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "jaxgan":
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in submodules if name in FILES} or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "jaxgan"}
    return found


FILES = {name_of(path): path for path in ROOT.rglob("*.py")}


def part_of(module: str) -> str:
    """Returns the top-level module or package of jaxgan that contains a module."""
    return module.split(".")[1] if "." in module else "__init__"


@pytest.mark.parametrize("name", public_modules())
def test_public_module_lists_its_names(name):
    module = importlib.import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        assert getattr(module, public) is not None
    own = {
        key
        for key, value in vars(module).items()
        if getattr(value, "__module__", None) == name and not key.startswith("_")
        if not isinstance(value, TypeVar | ParamSpec)
    }
    assert own <= set(module.__all__)


def test_no_module_shares_its_name_with_a_function():
    """`import jaxgan.x` binds a module, never a function of that name."""
    for name in public_modules():
        module = importlib.import_module(name)
        for _, child, _ in pkgutil.iter_modules(getattr(module, "__path__", [])):
            value = getattr(module, child, None)
            assert value is None or isinstance(value, type(ast)), f"{name}.{child}"


def test_imports_have_no_cycles():
    graph = {name: imports_of(path) for name, path in FILES.items() if name != "jaxgan"}
    # A package's __init__ only re-exports its files, which import each other by their full names.
    order = [*graphlib.TopologicalSorter(graph).static_order()]
    assert set(graph) <= set(order)


def test_no_module_imports_from_a_higher_layer():
    layer = {part: i for i, parts in enumerate(LAYERS) for part in parts}
    upward = [
        f"{name} imports {imported}"
        for name, path in FILES.items()
        for imported in imports_of(path)
        if part_of(imported) != part_of(name) and layer[part_of(imported)] >= layer[part_of(name)]
    ]
    assert not upward


def test_private_files_are_imported_only_within_their_package():
    shared = ("jaxgan._internal", "jaxgan._game")
    invalid = [
        f"{name} imports {imported}"
        for name, path in FILES.items()
        for imported in imports_of(path)
        if "._" in imported and not imported.startswith(shared)
        if not name.startswith(imported.split("._")[0])
    ]
    assert not invalid
