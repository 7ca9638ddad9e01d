"""Reads a compiled program, the HLO text of `compiled.as_text()`."""

import functools
import math
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

# Instructions without a kernel: bookkeeping, and names for parts of memory.
FREE = {"parameter", "get-tuple-element", "tuple", "bitcast", "constant", "after-all"}
# Instructions whose kernels are those of the computations that they call.
CALLERS = {"while", "conditional", "call"}
# Without s8, the type of the workspaces of cuBLAS.
BYTES = {"pred": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "f64": 8}

_COMPUTATION = re.compile(r"^(ENTRY )?%?(\S+) [^\n]*\{\n(.*?)^\}", re.M | re.S)
_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%(\S+) = (\(.*?\)|\S+) ([a-z][\w\-]*)\((.*?)\)(, .*|$)")
_CALLED = re.compile(r"\b(?:condition|body|to_apply|calls|\w+_computations?)=(\{.*?\}|%?[\w.\-]+)")


class Instruction(NamedTuple):
    """Holds an instruction of a computation.

    Args:
      name: its name, unique in the program.
      shape: the type of its result, such as `f32[2,3]{1,0}` or a tuple of types.
      opcode: such as `fusion`.
      arguments: the text between its parentheses.
      attributes: the text after its parentheses.
    """

    name: str
    shape: str
    opcode: str
    arguments: str
    attributes: str

    @property
    def operands(self) -> list[str]:
        return re.findall(r"%([\w.\-]+)", self.arguments)

    @property
    def predecessors(self) -> list[str]:
        """The names of the instructions that must end before this one starts."""
        control = re.search(r"control-predecessors=\{(.*?)\}", self.attributes)
        return self.operands + re.findall(r"%([\w.\-]+)", control[1] if control else "")

    @property
    def called(self) -> list[str]:
        found = " ".join(_CALLED.findall(self.attributes))
        return re.findall(r"[\w.\-]+", found)

    @property
    def trips(self) -> int | None:
        """The number of turns of a loop, or None if XLA does not know it."""
        known = re.search(r'"known_trip_count":\{"n":"(\d+)"', self.attributes)
        return int(known[1]) if known else None

    @property
    def source(self) -> str:
        """The JAX function that the instruction is from."""
        known = re.search(r'op_name="(.*?)"', self.attributes)
        return known[1] if known else ""

    @property
    def part(self) -> str:
        """The part of a step that the instruction is from, such as `jvp(Generator)/Dense`."""
        path = re.sub(r"_\d+", "", self.source).split("eval_jaxpr/")[-1]
        return path.rpartition("/")[0] or path or "XLA"

    @property
    def has_kernel(self) -> bool:
        return self.opcode not in FREE | CALLERS and not self.opcode.endswith("-done")


class Program:
    """Holds the computations of a compiled program by name."""

    def __init__(self, text: str) -> None:
        found = _COMPUTATION.findall(re.sub(r"/\*.*?\*/", "", text))
        self.computations = {name: _instructions(body) for _, name, body in found}
        self.entry = next(name for entry, name, _ in found if entry)
        # A recursion would parse the same computations again.
        self.chain = functools.cache(self._chain)
        self.traffic = functools.cache(self._traffic)

    def loops(self, name: str | None = None) -> Iterator[Instruction]:
        """Yields the loops in the order of execution, each before its inner loops."""
        for instruction in self.computations[name or self.entry]:
            if instruction.opcode in CALLERS:
                if instruction.opcode == "while":
                    yield instruction
                for called in instruction.called:
                    yield from self.loops(called)

    def kernels(self, name: str) -> list[Instruction]:
        """Returns the kernels of a computation, without those of its loops."""
        found: list[Instruction] = []
        for one in self.computations[name]:
            if one.opcode in CALLERS - {"while"}:
                branch = max([self.kernels(called) for called in one.called], key=len)
                found += branch
            elif one.has_kernel:
                found.append(one)
        return found

    def _chain(self, name: str) -> int:
        """Returns the number of kernels of a computation that must run one after another."""
        depth: dict[str, int] = {}
        for one in self.computations[name]:
            before = max((depth.get(other, 0) for other in one.predecessors), default=0)
            inner = _total(one, self.chain) if one.opcode in CALLERS else 0
            depth[one.name] = before + one.has_kernel + inner
        return max(depth.values(), default=0)

    def _traffic(self, name: str) -> int:
        """Returns the bytes that a computation's kernels read and write.

        Counts each operand and result of a kernel once, and the parts of operands that are read.
        """
        shapes = {one.name: one.shape for one in self.computations[name]}
        total = 0
        for one in self.computations[name]:
            if one.opcode in CALLERS:
                total += _total(one, self.traffic)
            elif one.has_kernel:
                reads = (self._read(one, i, shapes[x]) for i, x in enumerate(one.operands))
                total += num_bytes(one.shape) + sum(reads)
        return total

    def _read(self, kernel: Instruction, number: int, shape: str) -> int:
        """Returns the bytes that a kernel reads of an operand: all, or those of its slices."""
        called = kernel.called if kernel.opcode == "fusion" else []
        body = self.computations[called[0]] if called else []
        parameter = {x.name for x in body if x.opcode == "parameter" and x.arguments == str(number)}
        users = [x for x in body if parameter & set(x.operands)]
        sliced = (
            x.opcode in ("dynamic-slice", "gather") and {x.operands[0]} == parameter for x in users
        )
        return sum(num_bytes(x.shape) for x in users) if users and all(sliced) else num_bytes(shape)


def num_bytes(shape: str) -> int:
    """Returns the bytes of a type. Types that are not in `BYTES` count as 0."""
    arrays = re.findall(r"(\w+)\[([\d,]*)\]", shape)
    return sum(BYTES.get(d, 0) * math.prod(int(n) for n in s.split(",") if n) for d, s in arrays)


def _total(caller: Instruction, measure: Callable[[str], int]) -> int:
    """Returns a measure of all turns of a loop, or of the largest branch of a conditional.

    A loop of unknown length counts as one turn, with its condition.
    """
    measured = [measure(name) for name in caller.called]
    if caller.opcode != "while":
        return max(measured)
    condition, body = measured
    return body * caller.trips if caller.trips else condition + body


def _instructions(text: str) -> list[Instruction]:
    return [
        Instruction(*match.groups())
        for match in map(_INSTRUCTION.match, text.splitlines())
        if match
    ]
