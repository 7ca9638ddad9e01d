"""Defines hypothesis strategies for bad inputs, and checks that jaxgan rejects them."""

import collections
import math
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

import jaxgan
from jaxgan._internal import checks

PACKAGE = str(Path(jaxgan.__file__).parent)
SECONDS = 20  # of processor time; a check takes milliseconds
KEY, X = jax.random.key(0), np.zeros((2, 4, 4, 1), np.float32)
POINTS = np.random.default_rng(0).normal(size=(9, 2))

NOTHING = st.sampled_from([None, "three", b"3", [1, "x"], {}, object])
NO_FUNCTION = st.sampled_from([None, "f", 3.5, [], {}])
NO_BOOL = st.sampled_from([None, 0, 1.0, "no", [], np.ones(2)])
NO_KEY = st.sampled_from([None, 0, "key", np.zeros(2, np.uint32), jax.random.split(KEY, 3)])
NOT_FINITE = st.sampled_from([math.nan, math.inf, -math.inf])


def number(least=None, most=None):
    """Draws values that are not numbers, not finite, or out of range."""
    out = [NOTHING, st.sampled_from([True, 1j, np.zeros(2)]), NOT_FINITE]
    if least is not None:
        out.append(st.floats(max_value=least, exclude_max=True, min_value=-1e30))
    if most is not None:
        out.append(st.floats(min_value=most, exclude_min=True, max_value=1e30))
    return st.one_of(out)


def whole(least=1, most=2**31 - 1):
    """Draws values that are not integers, or out of range by any distance."""
    wrong = st.sampled_from([True, 2.0, math.nan, math.inf, np.float32(1), 1j, np.ones(3)])
    far = [st.integers(-(10**30), least - 1), st.integers(most + 1, 10**30)]
    return st.one_of(NOTHING, wrong, *far)


def array(rank, kinds="iubc", least=None):
    """Draws values that are not arrays, and arrays of wrong dtype or rank, or empty.

    With `least`, only ranks below `least` are wrong.
    """
    dtypes = {"i": np.int32, "u": np.uint8, "b": np.bool_, "c": np.complex64, "f": np.float32}
    good = "f" if "f" not in kinds else "i"
    shape = lambda r: st.tuples(*[st.integers(1, 5)] * r)
    wrong_dtype = st.builds(np.zeros, shape(rank), st.sampled_from([dtypes[k] for k in kinds]))
    ranks = [r for r in range(6) if r != rank] if least is None else range(least)
    wrong_rank = st.one_of([shape(r) for r in ranks]).map(lambda s: np.zeros(s, dtypes[good]))
    empty = st.permutations([0] + [3] * (rank - 1)).map(lambda s: np.zeros(s, dtypes[good]))
    return st.one_of(NOTHING, wrong_dtype, wrong_rank, empty)


def features(least=1):
    """Draws features that are not arrays, too few, non-finite, or too large to square."""
    broken = st.builds(
        lambda at, value: np.where(np.arange(18).reshape(9, 2) == at, value, POINTS),
        st.integers(0, 17),
        st.one_of(NOT_FINITE, st.sampled_from([1e60, -1e300])),
    )
    few = st.integers(0, least - 1).map(lambda n: np.zeros((n, 2)))
    return st.one_of(array(2), broken, few)


TRIED: dict[str, list[str]] = collections.defaultdict(list)  # tried values by argument


class Case(NamedTuple):
    name: str
    bad: Any  # a strategy for bad values
    call: Any  # the call that must reject them
    match: str | None = None  # a pattern of the message, which by default must show the value
    errors: tuple[type[Exception], ...] = (TypeError, ValueError)


def tokens(value):
    """Returns texts; an error about the value must contain one of them."""
    if isinstance(value, np.ndarray | jax.Array):
        found = {str(value.shape), str(value.dtype), "nan", "inf", "1e+60", "1e+300", "row"}
        return found | {f"{value.shape[0]} " if value.shape else "()"}
    return {checks.show(value), str(value), type(value).__name__}


def check_rejected(case, value):
    """Checks that the call raises a short, specific error from jaxgan, without delay."""
    TRIED[case.name].append(repr(value)[:200])
    start = time.process_time()
    with pytest.raises(case.errors) as caught:
        case.call(value)
    assert time.process_time() - start < SECONDS
    where = [frame.filename for frame in traceback.extract_tb(caught.tb)]
    message = str(caught.value)
    assert where[-1].startswith(PACKAGE), (where[-1], message)
    if case.match is not None:
        caught.match(case.match)
    else:
        assert any(token in message for token in tokens(value)), message
    assert message.count("\n") == 0 or "JAX" in message
    assert len(message) < 1500


def summary():
    """Returns a line with the number of tried values."""
    values = [value for values in TRIED.values() for value in values]
    distinct = sum(len(set(values)) for values in TRIED.values())
    return f"Tried {len(values)} bad inputs ({distinct} distinct) for {len(TRIED)} arguments."


def rejected(cases: Callable[[], Iterator[Case]]) -> Any:
    """Returns a test that jaxgan rejects every case: 2 values of each, 20 with `-m slow`."""
    table = list(cases())
    names = [f"{i}-{case.name}" for i, case in enumerate(table)]

    @pytest.mark.parametrize("examples", [2, pytest.param(20, marks=pytest.mark.slow)])
    @pytest.mark.parametrize("case", table, ids=names)
    def test(case, examples, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

        @hypothesis.settings(max_examples=examples, derandomize=True, database=None, deadline=None)
        @hypothesis.given(case.bad)
        def check(value):
            check_rejected(case, value)

        check()

    return test
