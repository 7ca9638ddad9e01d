"""Compares a checkpoint with the state to restore and with the environment of this process."""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxgan._internal import checks, opt_states
from jaxgan._internal.environment import environment
from jaxgan.checkpoint import _arrays as arrays
from jaxgan.checkpoint._arrays import OPT_STATE, ArraySpec, Leaf, as_text
from jaxgan.checkpoint._manifest import Json, Manifest
from jaxgan.train_state import TrainState
from jaxgan.types import Pair

_PATH_ENTRY = re.compile(r"\.[^.\[]*|\[[^\]]*\]")


def select(specs: dict[str, ArraySpec], at: str, checkpoint: Path) -> dict[str, ArraySpec]:
    """Selects the arrays of a part of a state.

    Args:
      specs: all arrays of a checkpoint.
      at: the path of the part; empty for the whole state.
      checkpoint: the checkpoint's folder, for errors.

    Raises:
      ValueError: If the state has no such part.
    """
    below = (f"{at}.", f"{at}[")
    chosen = {k: v for k, v in specs.items() if at in ("", k) or k.startswith(below)}
    if specs and not chosen:
        near = _nearby(specs, at)
        raise ValueError(f"at must be a path in {checkpoint}; got {at!r}. Choose {near}.")
    return chosen


def check_matches(
    specs: dict[str, ArraySpec], leaves: dict[str, Leaf], member: int | None, checkpoint: Path
) -> None:
    """Checks that leaves have the names, dtypes and shapes of the saved arrays.

    Args:
      specs: the saved arrays.
      leaves: the leaves to restore.
      member: the member of a population to restore; None restores all saved arrays.
      checkpoint: the checkpoint's folder, for errors.

    Raises:
      ValueError: If leaves and saved arrays differ, or `member` is given for a single GAN. The
        message names the first eight leaves that differ.
      IndexError: If there is no such member.
    """
    if member is not None:
        _check_member(specs, member, checkpoint)
    axes = slice(0 if member is None else 1, None)
    saved = {k: as_text(spec["dtype"], spec["shape"][axes]) for k, spec in specs.items()}
    wanted = {k: as_text(leaf.dtype, leaf.shape) for k, leaf in leaves.items()}
    differing = [
        f"{name}: saved {saved.get(name, 'nothing')}, wanted {wanted.get(name, 'nothing')}"
        for name in sorted(saved.keys() | wanted.keys())
        if saved.get(name) != wanted.get(name)
    ]
    more = f"\n  and {len(differing) - 8} more" if len(differing) > 8 else ""
    expected = f"of the same networks, optimizers and PRNG as {checkpoint}"
    got = "\n  ".join(["different leaves:", *differing[:8]]) + more
    checks.require(not differing, "like", expected, got, _advice(saved, differing))


def check_optimizers(saved: list[str] | None, like: TrainState) -> None:
    """Checks the types of optimizer states, because other states can have the same arrays."""
    found = [opt_states.outline(part) for part in like.opt_state]
    for player, then, now in zip(Pair._fields, saved or found, found, strict=True):
        advice = "To start with a new optimizer, pass it as optimizer."
        checks.require(then == now, f"like.opt_state.{player}", then, now, advice)


def warn_of_environment(contents: Manifest, step: Leaf | None, checkpoint: Path) -> None:
    """Warns about versions, settings and devices that can change results in the last bits.

    Args:
      contents: the manifest.
      step: the step of the state to restore, whose devices are compared.
      checkpoint: the checkpoint's folder.
    """
    saved = contents["saved_by"]
    then, now = _relevant(saved), _relevant(environment())
    # Each member of a population is computed alone, usually on one device.
    devices = contents.get("devices", 0), arrays.num_devices(step)
    if step is not None and step.shape == () and all(devices):
        then["devices of the state"], now["devices of the state"] = devices
    other = [
        f"{name} {_shown(then.get(name))} then, {_shown(value)} now"
        for name, value in now.items()
        if then.get(name) != value and (name in then or "settings" in saved)
    ]
    if other:
        num, advice = then.get("CPU threads"), ""
        if num != now["CPU threads"]:
            advice = f" Set the environment variable NPROC={num} to use as many threads."
        warnings.warn(
            f"{checkpoint} was saved in another environment ({'; '.join(other)}). The restored "
            f"values are exact, but further training may differ in the last bits.{advice}",
            stacklevel=7,
        )


def _nearby(specs: dict[str, ArraySpec], at: str) -> str:
    """Lists the paths that extend the longest valid prefix of `at` by one entry."""
    paths, wanted = [_PATH_ENTRY.findall(name) for name in specs], _PATH_ENTRY.findall(at)
    is_valid = lambda depth: any(path[:depth] == wanted[:depth] for path in paths)
    depth = max(filter(is_valid, range(len(wanted) + 1)))
    found = sorted({"".join(p[: depth + 1]) for p in paths if p[:depth] == wanted[:depth]})
    more = f" or {len(found) - 8} more" if len(found) > 8 else ""
    return ", ".join(found[:8]) + more


def _advice(saved: dict[str, str], differing: Sequence[str]) -> str:
    """Returns one instruction for leaves that differ, each a path with a description."""
    is_whole = not all(name.startswith(OPT_STATE) for name in saved)
    if is_whole and all(name.startswith(OPT_STATE) for name in differing):
        return "To start with a new optimizer, pass it as optimizer."
    if saved and all(": saved nothing, " in text for text in differing):
        parts = "Restore the other parts with at, and initialize these."
        return f"The checkpoint lacks these leaves. {parts}"
    return ""


def _check_member(specs: dict[str, ArraySpec], member: int, checkpoint: Path) -> None:
    sizes = {spec["shape"][0] if spec["shape"] else None for spec in specs.values()}
    size = sizes.pop() if len(sizes) == 1 else None
    checks.require(size is not None, "member", f"None: {checkpoint} holds one GAN", f"{member}")
    is_member = size is not None and member < size
    expected = f"below {size}, the number of members of {checkpoint}"
    checks.require(is_member, "member", expected, f"{member}", error=IndexError)


def _shown(value: Json) -> Json:
    return "unset" if value == "" else value  # XLA_FLAGS


def _relevant(environment: Mapping[str, Json]) -> dict[str, Json]:
    """Returns those parts of an environment that can change results, by name."""
    names = ("jaxgan", "jax", "jaxlib", "flax", "optax")
    settings = environment.get("settings", {})
    return {
        **{name: environment["versions"].get(name) for name in names},
        **{k: environment[k] for k in ("backend", "device", "processor") if k in environment},
        "CPU threads": settings.get("NPROC", environment.get("cpus")),
        **{name: value for name, value in settings.items() if name != "NPROC"},
    }
