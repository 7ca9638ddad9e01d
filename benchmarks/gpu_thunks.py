"""Reads what XLA launches on a GPU, the dump of its "thunk sequence".

A thunk is a kernel, a copy, a library call, a loop, a conditional or a command buffer. A command
buffer is a CUDA graph: the host launches all of its thunks at once.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_THUNK = re.compile(r"( *)\d+: k(\w+) *\[.*?\] *(\S*)(?: grid: \[([\d, ]+)\])?")
_HEADING = re.compile(r"( *)(?:condition|body|true_branch|false_branch|branch_\d+):$")
# Parts of XLA's names of kernels, and the kind of such a kernel.
_KINDS = {
    "gemm": "product",
    "pad": "pad",
    "reduce": "reduction",
    "transpose": "transpose",
    "concatenate": "concatenation",
    "slice": "slice",
    "scatter": "scatter",
    "sort": "sort",
}


@dataclass(eq=False)
class Thunk:
    """Holds a thunk.

    Args:
      kind: such as `CustomKernel` or `While`.
      name: a kernel's name.
      grid: the number of a kernel's blocks in each dimension, or an empty string.
      parts: lists of the thunks inside: a loop's condition and body, a conditional's branches, or
        what a command buffer launches.
      trips: a loop's number of turns, or None if XLA does not know it.
    """

    kind: str = ""
    name: str = ""
    grid: str = ""
    parts: list[list["Thunk"]] = field(default_factory=list)
    trips: int | None = None

    @property
    def work(self) -> str:
        """The kind of a kernel, according to its name."""
        if self.kind != "CustomKernel":
            return self.kind.lower()
        return next((kind for part, kind in _KINDS.items() if part in self.name), "elementwise")

    @property
    def turn(self) -> list["Thunk"]:
        """The thunks of a loop's turn. A loop of known length does not run its condition."""
        condition, body = self.parts
        return body if self.trips else [*condition, *body]


def parse(dump: str, trips: Iterable[int | None]) -> list[Thunk]:
    """Returns the thunks of a dump.

    Args:
      dump: the text of a thunk sequence.
      trips: the number of turns of each loop, in the order of the dump.
    """
    root = Thunk(parts=[[]])
    owners = [(-1, root)]  # the last thunk and those around it, with their indentation
    for line in dump.splitlines():
        heading, match = _HEADING.match(line), _THUNK.match(line)
        if (
            heading and heading[1]
        ):  # a loop's condition is not indented, and follows the loop's line
            _close(owners, len(heading[1]))
        elif match:
            _close(owners, len(match[1]))
            thunk = Thunk(match[2], match[3], match[4] or "")
            owners[-1][1].parts[-1].append(thunk)
            owners.append((len(match[1]), thunk))
        if heading or (match and thunk.kind == "CommandBuffer"):
            owners[-1][1].parts.append([])
    found = root.parts[0]
    for loop, turns in zip(loops(found), trips, strict=True):
        loop.trips = turns
    return found


def _close(owners: list[tuple[int, Thunk]], indentation: int) -> None:
    while owners[-1][0] >= indentation:
        owners.pop()


def walk(thunks: Iterable[Thunk]) -> Iterator[Thunk]:
    """Yields the thunks, each before those inside of it."""
    for thunk in thunks:
        yield thunk
        for part in thunk.parts:
            yield from walk(part)


def loops(thunks: Iterable[Thunk]) -> list[Thunk]:
    return [thunk for thunk in walk(thunks) if thunk.kind == "While"]


def kernels(thunks: Iterable[Thunk]) -> list[Thunk]:
    """Returns the kernels in the order in which they run.

    Includes those of each turn of a loop (of one turn, if the number is unknown), and those of a
    conditional's largest branch.
    """
    found: list[Thunk] = []
    for thunk in thunks:
        if thunk.kind == "While":
            found += kernels(thunk.turn) * (thunk.trips or 1)
        elif thunk.parts:
            largest = max([kernels(part) for part in thunk.parts], key=len)
            found += largest
        else:
            found.append(thunk)
    return found


def launches(thunks: Iterable[Thunk]) -> int:
    """Returns the number of the host's launches. A command buffer is one launch."""
    total = 0
    for thunk in thunks:
        if thunk.kind == "While":
            total += launches(thunk.turn) * (thunk.trips or 1)
        elif thunk.kind == "Conditional":
            total += max(map(launches, thunk.parts))
        else:
            total += 1
    return total


def in_graph(thunk: Thunk, thunks: list[Thunk]) -> bool:
    """Returns whether a thunk is inside of a command buffer."""
    graphs = [one for one in walk(thunks) if one.kind == "CommandBuffer"]
    return any(one is thunk for one in walk(graphs))


def host_waits(thunks: list[Thunk]) -> int:
    """Returns the number of loops and conditionals whose next thunk depends on the device."""
    found = [one for one in walk(thunks) if one.kind in ("While", "Conditional")]
    return sum(one.trips is None and not in_graph(one, thunks) for one in found)
