"""Tests named arrays: copies, digests, selection of parts, and errors that name leaves."""

import hashlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import Pair
from jaxgan.checkpoint import _arrays as arrays
from jaxgan.checkpoint import _compare as compare

FOLDER = Path("run") / "3"
TREE = Pair({"w": jnp.ones((2, 3)), "b": [jnp.zeros(3), jnp.int32(7)]}, jnp.arange(4.0))


def specs(**shapes):
    return {k: arrays.ArraySpec(dtype="float32", shape=v, sha256="") for k, v in shapes.items()}


def test_names_are_the_paths_of_the_leaves():
    named = arrays.by_name(TREE, prefix=".params")
    assert list(named) == [
        ".params.generator['b'][0]",
        ".params.generator['b'][1]",
        ".params.generator['w']",
        ".params.discriminator",
    ]
    assert named[".params.generator['w']"] is TREE.generator["w"]


def test_digest_is_sha256_of_the_bytes_in_row_major_order():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    expected = hashlib.sha256(np.array([0, 3, 1, 4, 2, 5], "<f4").tobytes()).hexdigest()
    assert arrays.digest(values.T) == expected
    assert arrays.digest(np.float32(2.5)) == hashlib.sha256(b"\0\0\x20\x40").hexdigest()
    assert arrays.digest(np.zeros((0, 3))) == hashlib.sha256(b"").hexdigest()


def test_copy_is_independent_of_its_leaf():
    values = np.arange(3, dtype=np.float32)
    copy = arrays.to_host(values)
    values[:] = 9
    np.testing.assert_array_equal(copy.data, [0, 1, 2])
    assert (copy.dtype, copy.shape, copy.impl) == ("float32", (3,), None)
    device = arrays.to_host(jnp.arange(3))
    assert isinstance(device.data, np.ndarray)
    assert device.data.flags.owndata


def test_description_contains_dtype_shape_and_digest():
    data = np.array([1.0, 2.0], jnp.bfloat16)
    expected = {"dtype": "bfloat16", "shape": [2], "sha256": hashlib.sha256(data).hexdigest()}
    assert arrays.describe(arrays.to_host(data)) == expected
    keys = jax.random.split(jax.random.key(3, impl="rbg"), 5)
    described = arrays.describe(arrays.to_host(keys))
    data = np.asarray(jax.random.key_data(keys))
    assert described == {
        "dtype": "key<rbg>",
        "shape": [5],
        "sha256": hashlib.sha256(data).hexdigest(),
        "impl": "rbg",
    }


@pytest.mark.parametrize("leaf", [jnp.ones((2, 3), jnp.int8), jnp.zeros((0, 3)), jax.random.key(1)])
def test_placed_copy_equals_its_leaf(leaf):
    copy = arrays.to_host(leaf)
    spec = arrays.describe(copy)
    blank = arrays.empty(spec)
    assert (blank.dtype, blank.shape) == (copy.data.dtype, copy.data.shape)
    placed = arrays.place(spec, copy.data, leaf, None)
    assert (placed.dtype, placed.shape) == (leaf.dtype, leaf.shape)
    values = jax.random.key_data if copy.impl else jnp.asarray
    np.testing.assert_array_equal(values(placed), values(leaf))


def test_parts_are_selected_by_whole_names():
    saved = specs(**{".a.b": [1], ".a['b']": [1], ".ab": [1], ".c": [1]})
    select = lambda at: list(compare.select(saved, at, FOLDER))
    assert select("") == list(saved)
    assert select(".a") == [".a.b", ".a['b']"]
    assert select(".a.b") == [".a.b"]
    with pytest.raises(ValueError, match=r"in run.3; got '\.a\.x'\. Choose \.a\.b, \.a\['b'\]\."):
        select(".a.x")
    many = specs(**{f".n{i}": [1] for i in range(10)})
    with pytest.raises(ValueError, match=r"Choose \.n0, .*\.n7 or 2 more\."):
        compare.select(many, ".m", FOLDER)
    assert compare.select({}, ".m", FOLDER) == {}


def test_mismatch_error_names_at_most_eight_leaves():
    saved = specs(a=[2], b=[3])
    wanted = {"a": np.ones(2, "f"), "b": np.ones(4, "f"), "c": np.ones(1, "f")}
    compare.check_matches(saved, {"a": wanted["a"], "b": np.ones(3, "f")}, None, FOLDER)
    with pytest.raises(ValueError, match=r"must be of the same networks, .* as run.3") as caught:
        compare.check_matches(saved, wanted, None, FOLDER)
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == [
        "b: saved float32[3], wanted float32[4]",
        "c: saved nothing, wanted float32[1].",
    ]
    many = {f"n{i}": np.ones(1, "f") for i in range(10)}
    with pytest.raises(ValueError, match="and 2 more"):
        compare.check_matches({}, many, None, FOLDER)


def test_member_is_matched_without_the_first_axis():
    saved, one = specs(a=[3, 2], b=[3]), {"a": np.ones(2, "f"), "b": np.float32(1)}
    compare.check_matches(saved, one, 2, FOLDER)
    with pytest.raises(IndexError, match=r"must be below 3, .*; got 3\."):
        compare.check_matches(saved, one, 3, FOLDER)
    for single in (specs(a=[3, 2], b=[]), specs(a=[3, 2], b=[2]), {}):
        with pytest.raises(ValueError, match="holds one GAN"):
            compare.check_matches(single, one, 0, FOLDER)
