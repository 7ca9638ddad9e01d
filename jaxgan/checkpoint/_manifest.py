"""What makes a checkpoint trustworthy: digests of its files, of what is told of it, and of them."""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

FORMAT = 1
NAME = "seal.json"
_KINDS: dict[str, type] = {"step": int, "leaves": dict, "files": dict}
_LEAF: dict[str, type] = {"dtype": str, "shape": list, "sha256": str}


class DamagedCheckpointError(ValueError):
    """A checkpoint is not what was saved, and the message says where it differs."""


def write(folder: Path, contents: dict[str, Any]) -> None:
    """Seals all files in a folder, once they are on the disk."""
    contents = {**contents, "format": FORMAT, "files": _digest_files(folder, sync=True)}
    path = folder / NAME
    path.write_text(json.dumps({"sha256": _digest_json(contents), "contents": contents}))
    _digest_file(path, sync=True)
    for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync_folder(place)


def sync_folder(folder: Path) -> None:
    """Puts the names in a folder on the disk, which else a power failure may take back."""
    with contextlib.suppress(OSError):  # not on Windows, nor on some network file systems
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read(folder: Path) -> dict[str, Any]:
    """What was sealed, after checking the seal itself, but not the files."""
    path = folder / NAME
    try:
        if not path.is_file():  # a pipe of that name would be waited for
            raise DamagedCheckpointError(f"{NAME} is missing")
        sealed = json.loads(path.read_bytes())
        found, contents = sealed["sha256"], sealed["contents"]
        genuine = found == _digest_json(contents)
    except DamagedCheckpointError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedCheckpointError(f"{NAME} cannot be read ({error})") from error
    if not genuine:
        raise DamagedCheckpointError(f"{NAME} has been changed")
    _check_contents(contents, folder)
    return contents


def check(folder: Path) -> dict[str, Any]:
    """What was sealed, after checking every file against its digest."""
    contents = read(folder)
    try:
        found = _digest_files(folder)
    except OSError as error:
        raise DamagedCheckpointError(str(error)) from error
    missing = sorted(contents["files"].keys() - found.keys())
    changed = sorted(k for k, v in contents["files"].items() if found.get(k, v) != v)
    told = [f"{name} is missing" for name in missing]
    told += [f"{name} has been changed" for name in changed]
    if told:
        raise DamagedCheckpointError("; ".join(told))
    return contents


def _check_contents(contents: Any, folder: Path) -> None:
    """What every format has comes first: another one is no damage, but needs another version."""

    def has(there: Any, kinds: dict[str, type]) -> bool:
        if not isinstance(there, dict):
            return False
        return all(isinstance(there.get(name), kind) for name, kind in kinds.items())

    strange = DamagedCheckpointError(f"{NAME} is not as jaxgan writes it")
    if not has(contents, {"format": int, "saved_by": dict}):
        raise strange
    if not has(contents["saved_by"], {"versions": dict}):
        raise strange
    if contents["format"] != FORMAT:
        raise ValueError(
            f"{folder} has format {contents['format']}; this version of jaxgan reads format "
            f"{FORMAT}. It was saved by jaxgan {contents['saved_by']['versions'].get('jaxgan')}: "
            "install that one."
        )
    if not has(contents, _KINDS) or "metadata" not in contents:
        raise strange
    if not all(has(leaf, _LEAF) for leaf in contents["leaves"].values()):
        raise strange


def _digest_files(folder: Path, sync: bool = False) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    return {path.relative_to(folder).as_posix(): _digest_file(path, sync) for path in files}


def _digest_file(path: Path, sync: bool = False) -> str:
    with path.open("rb") as file:
        if sync:  # else a power failure may leave it empty under its final name
            os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_json(contents: Any) -> str:
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
