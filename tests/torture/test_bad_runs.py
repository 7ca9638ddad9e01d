"""Checkpoints and runs reject bad arguments by name, before they write files."""

import functools

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bad import KEY, NO_BOOL, NOT_FINITE, NOTHING, Case, rejected, whole
from hypothesis import strategies as st

from jaxgan import Pair, checkpoint, runs
from jaxgan._internal import file_lock
from jaxgan.train_state import create

NO_PATH = st.sampled_from([None, 3, b"a", "", "a\0b", "~unknown-user/x", ["a"]])
NO_DICT = st.sampled_from([None, 3, "abc", [1], object])
NO_JSON = st.sampled_from([object(), {"a": {1, 2}}, [1j], b"x", np.zeros(2), {(1, 2): 3}, KEY])


@functools.cache
def state(**changes):
    params = Pair({"w": jnp.ones(3)}, {"w": jnp.ones(2)})
    return create(KEY, params, Pair(optax.sgd(0.1), optax.sgd(0.1)))


def holding(leaf):
    return state().replace(model_state=Pair({"leaf": leaf}, {}))


def no_leaf():
    """Draws values that are not arrays, and arrays that JAX would change."""
    wide = st.sampled_from([np.float64, np.int64, np.uint64, np.complex128])
    arrays = st.builds(np.ones, st.integers(1, 3), wide)
    other = st.sampled_from([np.array(["a"]), np.array([1.5], ">f4"), np.array([object()])])
    return st.one_of(arrays, other, st.sampled_from([3, 0.5, True, "a", b"a", object()]))


def checkpoint_cases():
    save = lambda directory="run", s=None, **x: checkpoint.save(directory, s or state(), **x)
    for name, call in (
        ("save", save),
        ("restore", lambda x: checkpoint.restore(x, like=state())),
        ("verify", lambda x: checkpoint.verify(x, 0)),
        ("info", checkpoint.info),
        ("steps", checkpoint.steps),
        ("latest", checkpoint.latest),
        ("hold", file_lock.acquire),
    ):
        yield Case(f"{name}.directory", NO_PATH, call)
    names = st.text(st.characters(codec="ascii", exclude_characters="\0/"), max_size=9)
    yield Case("bracket", names.map(lambda x: f"{x}[{x}"), save, "without")
    yield Case("url", names.map(lambda x: f"gs://{x}"), save, "this machine")
    yield Case("state", st.one_of(NOTHING, st.just(Pair(1, 2))), lambda x: checkpoint.save("a", x))
    yield Case("leaf", no_leaf(), lambda x: save(s=holding(x)), r"\['leaf'\] must be")
    yield Case(
        "like", no_leaf(), lambda x: checkpoint.restore("a", holding(x)), r"'leaf'\] must be"
    )
    steps = st.one_of(st.integers(-(2**31), -1).map(jnp.int32), st.floats(0, 9).map(jnp.float32))
    yield Case("step", steps, lambda x: save(s=state().replace(step=x)), r"state\.step must")
    yield Case("keep", whole(), lambda x: save(keep=x))
    yield Case("keep_every", whole().filter(lambda x: x is not None), lambda x: save(keep_every=x))
    yield Case("metadata", NO_JSON, lambda x: save(metadata=x), "metadata must be")
    optional = whole(0).filter(lambda x: x is not None)
    yield Case("restore.step", optional, lambda x: checkpoint.restore("a", state(), step=x))
    yield Case("member", optional, lambda x: checkpoint.restore("a", state(), member=x))
    yield Case("at", st.sampled_from([None, 3, b"a"]), lambda x: checkpoint.restore("a", 1, at=x))
    some = NOTHING.filter(lambda x: x is not None)
    yield Case("optimizer", some, lambda x: checkpoint.restore("a", state(), optimizer=x))
    yield Case("verify.step", whole(0), lambda x: checkpoint.verify("a", x))
    yield Case("info.step", optional, lambda x: checkpoint.info("a", step=x))


def run_cases():
    yield Case("workdir", NO_PATH, lambda x: runs.begin(x, {}))
    yield Case("config", NO_DICT, lambda x: runs.begin("a", x))
    yield Case("config of", NO_JSON, lambda x: runs.begin("a", {"x": x}), "config must be")
    yield Case("config nan", NOT_FINITE, lambda x: runs.begin("a", {"x": x}), "config must be")
    yield Case(
        "extends", st.sampled_from([None, 3, b"a"]), lambda x: runs.begin("a", {}, extends=x)
    )
    yield Case("resume", NO_BOOL, lambda x: runs.begin("a", {}, resume=x))
    yield Case("overwrite", NO_BOOL, lambda x: runs.begin("a", {}, overwrite=x))
    for name, call in (
        ("write_log", lambda x: runs.write_log(x, [])),
        ("write_json", lambda x: runs.write_json(x, {})),
    ):
        yield Case(f"{name}.path", NO_PATH, call)
    yield Case("records", NO_DICT, lambda x: runs.write_log("a", x), "records must be")
    yield Case("record", NO_JSON, lambda x: runs.write_log("a", [{"x": x}]), "records must be")
    yield Case("contents", NO_JSON, lambda x: runs.write_json("a", {"x": x}), "contents must be")
    flags = st.sampled_from([None, "abc", 3, [[1]], [None], np.zeros((2, 2)), object()])
    yield Case("flags", flags, runs.longest_streak, "flags must be")
    signals = st.sampled_from([None, "SIGINT", 2, 2.0, object()])
    no_text = st.sampled_from([None, 3, b"a", ["a"]])
    yield Case("message", no_text, lambda x: runs.stop_signals(message=x))
    yield Case("signals", signals, lambda x: runs.stop_signals(x).__enter__())


@pytest.fixture(autouse=True)
def check_that_no_file_is_written(tmp_path):
    yield
    assert not list(tmp_path.iterdir())


test_checkpoints_reject_bad_arguments = rejected(checkpoint_cases)
test_runs_reject_bad_arguments = rejected(run_cases)
