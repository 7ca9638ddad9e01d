"""Writes and verifies the manifest of a checkpoint: a description, and digests of all data."""

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from jaxgan._internal import checks, processes, run_layout
from jaxgan.checkpoint._arrays import ArraySpec

FORMAT = 1
NAME = run_layout.MANIFEST
_FIELDS: dict[str, type] = {"step": int, "leaves": dict, "files": dict}
_LEAF: dict[str, type] = {"dtype": str, "shape": list, "sha256": str}

Json = Any
"""Numbers, text, bools, None, and lists and dicts of them."""


@processes.shared
class DamagedCheckpointError(ValueError):
    """Reports that a checkpoint differs from the saved state. The message names the difference."""


class Header(TypedDict):
    """Describes a checkpoint as a whole.

    Attributes:
      step: the step of the state.
      metadata: the metadata passed to `save`.
      saved_by: `jaxgan.environment()` of the program that saved the checkpoint.
      optimizers: the types of both networks' optimizer states; missing in older checkpoints.
      members: a digest of each member of a population; missing in older checkpoints.
      devices: the number of devices that held the state; missing in older checkpoints.
    """

    step: int
    metadata: Json
    saved_by: dict[str, Json]
    optimizers: NotRequired[list[str]]
    members: NotRequired[list[str]]
    devices: NotRequired[int]


class Manifest(Header):
    """Holds the contents of a manifest.

    Attributes:
      leaves: descriptions of all arrays, by name.
      format: the version of the format on disk.
      files: the SHA-256 of each file, by path in the checkpoint's folder.
    """

    leaves: dict[str, ArraySpec]
    format: int
    files: dict[str, str]


def write(folder: Path, header: Header, leaves: dict[str, ArraySpec]) -> None:
    """Writes the manifest of all files in a folder, and flushes all files to the disk."""
    files = _digest_files(folder, list_files(folder), sync=True)
    contents = Manifest(**header, leaves=leaves, format=FORMAT, files=files)
    path = folder / NAME
    path.write_text(json.dumps({"sha256": _digest_json(contents), "contents": contents}))
    _digest_files(folder, [NAME, run_layout.MARK], sync=True)
    for place in (folder, *(path for path in walk(folder) if path.is_dir())):
        sync_folder(place)


def sync_folder(folder: Path) -> None:
    """Flushes the file names in a folder to the disk, because a power failure could lose them."""
    if os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems cannot do this
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def read(folder: Path) -> Manifest:
    """Reads the manifest and verifies the manifest's own digest.

    Raises:
      DamagedCheckpointError: If the manifest is missing or corrupted.
      ValueError: If the checkpoint has another format.
    """
    path = folder / NAME
    try:
        require_intact(path.is_file(), f"{NAME} is missing")  # opening a named pipe would block
        stored = json.loads(path.read_bytes())
        contents = stored["contents"]
        require_intact(stored["sha256"] == _digest_json(contents), f"{NAME} is corrupted")
    except DamagedCheckpointError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedCheckpointError(f"{NAME} cannot be read ({error})") from error
    _check_contents(contents, folder)
    return contents


def verify(folder: Path) -> Manifest:
    """Reads the manifest and verifies the digests of all files.

    Raises:
      DamagedCheckpointError: If files are missing or corrupted. The message names the files.
      ValueError: If the checkpoint has another format.
    """
    contents = read(folder)
    number, step = folder.name, contents["step"]
    is_named = not number.isdecimal() or int(number) == step
    require_intact(is_named, f"the folder contains step {step}: rename it to {step}")
    files = contents["files"]
    try:
        found = _digest_files(folder, files)
    except OSError as error:
        raise DamagedCheckpointError(str(error)) from error
    problems = [f"{name} is missing" for name in sorted(files.keys() - found.keys())]
    changed = sorted(name for name, sha256 in files.items() if found.get(name, sha256) != sha256)
    problems += [f"{name} is corrupted" for name in changed]
    require_intact(not problems, "; ".join(problems))
    return contents


def require_intact(condition: bool, problem: str) -> None:
    """Raises DamagedCheckpointError with a description of the problem if a condition is false."""
    if not condition:
        raise DamagedCheckpointError(problem)


def _check_contents(contents: Json, folder: Path) -> None:
    """Checks the fields of a manifest, first the fields that all formats share.

    A checkpoint of another format is intact, but needs another version of jaxgan.
    """
    problem = f"{NAME} has invalid fields"
    shared = _has(contents, {"format": int, "saved_by": dict})
    require_intact(shared and _has(contents["saved_by"], {"versions": dict}), problem)
    advice = f"Install jaxgan {contents['saved_by']['versions'].get('jaxgan')}, which saved it."
    found = contents["format"]
    checks.require(found == FORMAT, f"{folder}", f"of format {FORMAT}", f"format {found}", advice)
    require_intact("metadata" in contents and _has(contents, _FIELDS), problem)
    require_intact(all(_has(leaf, _LEAF) for leaf in contents["leaves"].values()), problem)


def _has(value: object, fields: dict[str, type]) -> bool:
    """Returns whether a value is a dict with these fields, of these types."""
    if not isinstance(value, dict):
        return False
    return all(isinstance(value.get(name), kind) for name, kind in fields.items())


def list_files(folder: Path) -> list[str]:
    """Lists the files of a checkpoint, except the manifest and the mark, by path in the folder."""
    others = (folder / NAME, folder / run_layout.MARK)  # copies often lack hidden files
    files = (path for path in walk(folder) if path.is_file() and path not in others)
    return sorted(path.relative_to(folder).as_posix() for path in files)


def walk(folder: Path) -> Iterator[Path]:
    """Yields the paths of all files and folders below a folder.

    Raises:
      OSError: If a folder cannot be listed. `Path.rglob` would skip the folder.
    """

    def fail(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=fail):
        yield from (Path(place, name) for name in (*folders, *files))


def _digest_files(folder: Path, names: Iterable[str], sync: bool = False) -> dict[str, str]:
    """Returns the digests of those files that exist."""
    found = {name: folder / name for name in names if (folder / name).is_file()}
    return {name: _digest_file(path, sync) for name, path in found.items()}


def _digest_file(path: Path, sync: bool = False) -> str:
    with path.open("rb") as file:
        if sync:  # otherwise a power failure may leave an empty file under the final name
            os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_json(contents: Json) -> str:
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
