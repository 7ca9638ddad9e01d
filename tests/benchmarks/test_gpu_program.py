"""Tests what benchmarks read of programs for a GPU, and the counts of two programs."""

import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jaxlib
import pytest
from conftest import USERS
from scripts import run_here

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "gpu_program.py"
HAS_WHEELS = any(importlib.util.find_spec(f"jax_cuda{n}_plugin") for n in (12, 13))
needs_wheels = pytest.mark.skipif(not HAS_WHEELS, reason="needs jax[cuda13]")

# A loop of 6 turns with two chains, of 2 and 3 kernels. A fusion reads 2 of 50 rows of %table.
PROGRAM = """HloModule jit_f, is_scheduled=true

%fused (p0: f32[50,3], p1: s32[]) -> f32[2,3] {
  %p0 = f32[50,3]{1,0} parameter(0)
  %p1 = s32[] parameter(1)
  ROOT %cut = f32[2,3]{1,0} dynamic-slice(%p0, %p1, %p1), dynamic_slice_sizes={2,3}
}

%inner (arg: f32[2,3]) -> f32[2,3] {
  %arg.1 = f32[2,3]{1,0} parameter(0)
  ROOT %negate.1 = f32[2,3]{1,0} negate(%arg.1)
}

%more (arg: f32[2,3]) -> pred[] {
  %arg.2 = f32[2,3]{1,0} parameter(0)
  ROOT %less.1 = pred[] compare(%arg.2, %arg.2), direction=LT
}

%body (arg: (s32[], f32[50,3], /*index=2*/f32[2,3])) -> (s32[], f32[50,3], f32[2,3]) {
  %arg = (s32[], f32[50,3]{1,0}, /*index=2*/f32[2,3]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%arg), index=0
  %table = f32[50,3]{1,0} get-tuple-element(%arg), index=1
  %old = f32[2,3]{1,0} get-tuple-element(%arg), index=2
  %rows = f32[2,3]{1,0} fusion(%table, %i), kind=kLoop, calls=%fused
  %sum = f32[2,3]{1,0} add(%rows, %old)
  %next = s32[] copy(%i)
  %looped = f32[2,3]{1,0} while(%old), condition=%more, body=%inner, metadata={op_name="jit(f)/x"}
  %twice = f32[2,3]{1,0} add(%looped, %next), control-predecessors={%next}
  %new = f32[2,3]{1,0} multiply(%twice, %twice)
  ROOT %out = (s32[], f32[50,3]{1,0}, f32[2,3]{1,0}) tuple(%next, %table, %new)
}

%less (arg: (s32[], f32[50,3], f32[2,3])) -> pred[] {
  %arg.3 = (s32[], f32[50,3]{1,0}, f32[2,3]{1,0}) parameter(0)
  ROOT %less.2 = pred[] constant(false)
}

ENTRY %main (a: (s32[], f32[50,3], f32[2,3])) -> (s32[], f32[50,3], f32[2,3]) {
  %a = (s32[], f32[50,3]{1,0}, f32[2,3]{1,0}) parameter(0)
  ROOT %w = (s32[], f32[50,3]{1,0}, f32[2,3]{1,0}) while(%a), condition=%less, body=%body, \
backend_config={"known_trip_count":{"n":"6"},"known_init_step":{"init":"0","step":"1"}}
}
"""
DUMP = """
001: kCopy  [source       | next=002 (1)] kCopy
002: kWhile [prev=001 (1) | sink        ]
condition:
    003: kCustomKernel [source | sink] loop_compare grid: [1, 1, 1] threads: [1, 1, 1]
  body:
    000: kCommandBuffer [source | next=010 (1)]
        004: kCustomKernel [source | sink] gemm_fusion_dot_1 grid: [4, 1, 1] threads: [64, 1, 1]
        005: kCustomKernel [source | sink] loop_pad_fusion grid: [1, 1, 1] threads: [64, 1, 1]
    010: kConditional [prev=004 (1) | next=011 (1)]
      false_branch:
        006: kGemm [source | sink] (no description)
      true_branch:
        007: kWhile [source | next=009 (1)]
condition:
            008: kCustomKernel [source | sink] loop_or grid: [1, 1, 1] threads: [1, 1, 1]
          body:
            009: kCustomKernel [source | sink] loop_add_fusion grid: [7, 1, 1] threads: [64, 1, 1]
    011: kWhile [prev=010 (1) | sink]
condition:
        012: kCustomKernel [source | sink] loop_compare grid: [1, 1, 1] threads: [1, 1, 1]
      body:
        013: kCustomKernel [source | sink] input_reduce_fusion grid: [2, 1, 1] threads: [64, 1, 1]
014: kCopy  [prev=002 (1) | sink        ] kCopy
"""

# The thunks of PROGRAM.
SEQUENCE = """
001: kWhile [source | sink]
condition:
    002: kCustomKernel [source | sink] wrapped_constant grid: [1, 1, 1] threads: [1, 1, 1]
  body:
    003: kCustomKernel [source | sink] loop_slice_fusion grid: [1, 1, 1] threads: [6, 1, 1]
    004: kCustomKernel [source | sink] wrapped_add grid: [1, 2, 1] threads: [6, 1, 1]
    005: kCopy [source | sink] kCopy
    006: kWhile [source | sink]
condition:
        007: kCustomKernel [source | sink] wrapped_compare grid: [1, 1, 1] threads: [6, 1, 1]
      body:
        008: kCustomKernel [source | sink] wrapped_negate grid: [1, 1, 1] threads: [6, 1, 1]
    009: kCustomKernel [source | sink] wrapped_add_1 grid: [2, 1, 1] threads: [6, 1, 1]
    010: kCustomKernel [source | sink] wrapped_multiply grid: [2, 1, 1] threads: [6, 1, 1]
"""


@pytest.fixture
def readers(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu_thunks
    import hlo

    return gpu_thunks, hlo.Program(PROGRAM)


def test_program_lists_loops_in_order_with_their_turns(readers):
    loops = list(readers[1].loops())
    assert [(loop.name, loop.trips, loop.source) for loop in loops] == [
        ("w", 6, ""),
        ("looped", None, "jit(f)/x"),
    ]


def test_chain_follows_data_and_control_dependencies(readers):
    # A turn of the inner loop with its condition, an addition and a multiplication.
    assert readers[1].chain("body") == 2 + 1 + 1
    assert readers[1].chain("main") == 6 * 4


def test_traffic_counts_operands_results_and_slices_once(readers):
    array, scalar = 2 * 3 * 4, 4  # bytes
    rows, added, copied = 2 * array + scalar, 3 * array, 2 * scalar
    turn = (2 * array + 1) + 2 * array  # the inner loop's condition and body
    added_again, multiplied = 2 * array + scalar, 3 * array
    total = rows + added + copied + turn + added_again + multiplied
    assert readers[1].traffic("body") == total
    assert readers[1].traffic("main") == 6 * total


def test_thunks_are_read_with_their_loops_and_graphs(readers):
    thunks, _ = readers
    top = thunks.parse(DUMP, [10, None, 5])
    assert [thunk.kind for thunk in top] == ["Copy", "While", "Copy"]
    loop = top[1]
    assert [one.kind for one in loop.turn] == ["CommandBuffer", "Conditional", "While"]
    branch = ["loop_or", "loop_add_fusion"]  # more kernels than in the other branch
    names = ["gemm_fusion_dot_1", "loop_pad_fusion", *branch, *["input_reduce_fusion"] * 5]
    assert [kernel.name for kernel in thunks.kernels(loop.turn)] == names
    kinds = [kernel.work for kernel in thunks.kernels(loop.turn)]
    assert kinds == ["product", "pad", "elementwise", "elementwise", *["reduction"] * 5]
    # The graph, a turn of the loop of unknown length, and five of the last loop.
    assert thunks.launches(loop.turn) == 1 + 2 + 5
    assert thunks.host_waits(top) == 2  # the conditional, and the loop of unknown length
    assert thunks.host_waits([thunks.Thunk("CommandBuffer", parts=[top])]) == 0
    assert not thunks.in_graph(loop, top)
    assert thunks.in_graph(loop.turn[0].parts[0][0], top)


@pytest.mark.parametrize(("in_graph", "launches"), [(False, 7), (True, 0)])
def test_step_is_the_loop_with_its_number_of_turns(readers, in_graph, launches):
    thunks, program = readers
    gpu_program = importlib.import_module("gpu_program")
    before, after = (thunks.parse(SEQUENCE, [6, None]) for _ in range(2))
    if in_graph:
        after = [thunks.Thunk("CommandBuffer", parts=[after])]
    counts = gpu_program.count(program, before, after, steps=6)
    assert counts.pop("megabytes") == program.traffic("body") / 1e6
    assert counts == {
        "kernels": 7,
        "inner_kernels": 2,
        "single_block": 3,
        "host_launches": launches,
        "longest_chain": 4,
        "kinds": {"elementwise": 5, "slice": 1, "copy": 1},
        "sources": {"XLA": 5},  # without the inner loop
    }


def test_unequal_numbers_of_loops_are_refused(readers):
    with pytest.raises(ValueError, match="zip"):
        readers[0].parse(DUMP, [10, None])


@pytest.mark.skipif(HAS_WHEELS, reason="the wheels are installed")
def test_script_names_the_missing_wheels():
    done = run_here(SCRIPT, "--quick")
    assert done.returncode == 1
    assert done.stderr == (
        "JAX's CUDA plugin must be installed; got none. Run: pip install 'jax[cuda13]'\n"
    )


def rows_of(path: Path, *options: str) -> dict[str, dict]:
    command = [sys.executable, str(SCRIPT), "--json", str(path), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=USERS)
    assert done.returncode == 0, done.stderr
    report = json.loads(path.read_text())
    assert {"versions", "compiled_for", "command"} <= set(report)
    return {row["name"]: row for row in report["rows"]}


@needs_wheels
def test_gpu_program_runs_and_reports(tmp_path):
    rows = rows_of(tmp_path / "gpu.json", "--quick", "--only", "products alone")
    ((name, row),) = rows.items()
    assert name == "products alone"
    assert sum(row["kinds"].values()) == row["kernels"] == sum(row["sources"].values())
    assert row["loops"] == [
        {"source": "jit(epoch)/while", "turns": 2, "kernels_a_turn": row["kernels"]}
    ]
    assert 0 < row["kinds"]["product"] <= 30  # XLA merges some and computes some as reductions
    assert 0 < row["longest_chain"] < row["kernels"]
    assert row["host_launches"] == 1


COUNTED = "0.11.2"  # the version of jaxlib


@needs_wheels
@pytest.mark.slow
@pytest.mark.skipif(jaxlib.__version__ != COUNTED, reason=f"counted with jaxlib {COUNTED}")
def test_counts_of_steps_are_unchanged(tmp_path):
    """Holds the counts of two programs, which another version of XLA may change.

    The environment of CI has no CUDA. Run the test where the extra `cuda13` is installed, with or
    without a GPU: `python -m pytest -m slow tests/benchmarks/test_gpu_program.py`.
    """
    rows = rows_of(tmp_path / "gpu.json", "--only", "MNIST GAN", "DCGAN")
    counts = ("kernels", "inner_kernels", "host_launches", "longest_chain", "host_waits")
    assert {name: tuple(row[count] for count in counts) for name, row in rows.items()} == {
        "MNIST GAN": (85, 0, 1, 43, 0),
        "DCGAN": (201, 0, 71, 99, 0),
        "DCGAN, graphs with convolutions": (201, 0, 1, 99, 0),
    }
