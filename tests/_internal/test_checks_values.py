"""Tests which Python values the checks accept, and the errors for the others."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan._internal import checks

HUGE = 10**5000  # more digits than Python prints


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2.5, "2.5"),
        (None, "None"),
        (np.zeros((2, 3)), "float64 of shape (2, 3)"),
        (jnp.zeros((0,), jnp.bfloat16), "bfloat16 of shape (0,)"),
        (np.float32(1.5), "np.float32(1.5)"),
        (list(range(100)), "[0, 1, 2, 3, 4, 5, ...]"),
        pytest.param(HUGE, "int of more than a thousand digits", id="huge"),
    ],
)
def test_show(value, shown):
    assert checks.show(value) == shown


def test_show_is_brief():
    assert len(checks.show("a" * 10**6)) < 100
    assert len(checks.show({str(i): list(range(100)) for i in range(100)})) < 500


def test_show_of_a_torch_tensor_names_the_conversion(torch_tensor):
    shown = "a torch tensor of (5, 4, 4, 1), which x.detach().cpu().numpy() converts"
    assert checks.show(torch_tensor) == shown


def test_show_of_a_traced_array():
    shown = []
    jax.eval_shape(lambda x: shown.append(checks.show(x)), jnp.zeros((2, 3), jnp.int32))
    assert shown == ["int32 of shape (2, 3)"]


class TestRequire:
    def test_accepts(self):
        checks.require(True, "x", "1", "2")
        checks.require(np.bool_(True), "x", "1", "2")

    @pytest.mark.parametrize("error", [ValueError, TypeError, IndexError, FileNotFoundError])
    def test_raises_the_class_with_the_message(self, error):
        with pytest.raises(error) as caught:
            checks.require(False, "x", "1", "2", error=error)
        assert type(caught.value) is error
        assert caught.value.args == ("x must be 1; got 2.",)

    def test_advice_comes_last(self):
        with pytest.raises(ValueError, match=r"^x must be 1; got 2\. Use 1\.$"):
            checks.require(np.bool_(False), "x", "1", "2", "Use 1.")


class TestInteger:
    @pytest.mark.parametrize("value", [1, 2**31 - 1, np.int8(1), np.uint64(7), np.int64(2**31 - 1)])
    def test_accepts(self, value):
        checks.integer("n", value)

    def test_both_ends_of_the_range_are_included(self):
        checks.integer("n", -3, -3, 4)
        checks.integer("n", 4, -3, 4)

    @pytest.mark.parametrize(
        "value", [True, np.bool_(True), 3.0, np.float32(3), "3", None, 3j, [3], np.array(3)]
    )
    def test_other_types_are_rejected(self, value):
        with pytest.raises(TypeError, match=r"^n must be an integer; got .+\.$"):
            checks.integer("n", value)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (0, "at least 1; got 0"),
            (-(10**30), "at least 1; got -1000000000000000000000000000000"),
            (np.int32(-1), r"at least 1; got np\.int32\(-1\)"),
            (2**31, "at most 2147483647; got 2147483648"),
            pytest.param(HUGE, "at most 2147483647; got int of more than a thou.*", id="huge"),
            pytest.param(-HUGE, "at least 1; got int of more than a thou.*", id="minus huge"),
        ],
    )
    def test_values_out_of_range_are_rejected(self, value, message):
        with pytest.raises(ValueError, match=f"^n must be {message}.$"):
            checks.integer("n", value)


class TestReal:
    @pytest.mark.parametrize(
        "value",
        [
            0,
            -1.5,
            1e308,
            np.float16(2),
            np.int8(-3),
            np.array(0.5),
            jnp.float32(0.5),
            jnp.array(0.5, jnp.bfloat16),
            10**300,
        ],
    )
    def test_accepts(self, value):
        checks.real("x", value)

    def test_both_ends_of_the_range_are_included(self):
        checks.real("x", 0.0, 0.0, 1.0)
        checks.real("x", 1, 0.0, 1.0)

    @pytest.mark.parametrize("value", [True, np.bool_(1), "1", None, 1j, jnp.array(1j), [1.0], {}])
    def test_other_types_are_rejected(self, value):
        with pytest.raises(TypeError, match=r"^x must be a number; got .+\.$"):
            checks.real("x", value)

    @pytest.mark.parametrize("value", [np.zeros(1), jnp.zeros((2, 3))])
    def test_arrays_with_axes_are_rejected(self, value):
        with pytest.raises(ValueError, match=r"^x must be a number or a scalar array; got float"):
            checks.real("x", value)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((np.nan,), "a finite number; got nan"),
            ((np.inf,), "a finite number; got inf"),
            ((-HUGE,), "a finite number; got int of more than a thousand digits"),
            ((-1e-9, 0.0), "at least 0.0; got -1e-09"),
            ((np.inf, 0.0), "at least 0.0 and finite; got inf"),
            ((1.5, 0.0, 1.0), r"in \[0.0, 1.0\]; got 1.5"),
            ((jnp.float32(2.0), 0.0, 1.0), r"in \[0.0, 1.0\]; got Array\(2., dtype=float32\)"),
        ],
    )
    def test_values_out_of_range_are_rejected(self, arguments, message):
        with pytest.raises(ValueError, match=f"^x must be {message}.$"):
            checks.real("x", *arguments)

    @pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf])
    def test_positive_excludes_zero(self, value):
        checks.real("x", 1e-30, positive=True)
        with pytest.raises(ValueError, match=r"^x must be positive and finite; got"):
            checks.real("x", value, positive=True)

    def test_dtype_and_shape_of_traced_scalars_are_checked(self):
        jax.eval_shape(lambda x: checks.real("x", x, 0.0, 1.0), 7.0)
        with pytest.raises(TypeError, match="x must be a number; got"):
            jax.eval_shape(lambda x: checks.real("x", x), jnp.array(True))
        with pytest.raises(ValueError, match="x must be a number or a scalar array; got"):
            jax.eval_shape(lambda x: checks.real("x", x), jnp.zeros(2))


@pytest.mark.parametrize("value", [1, 0, None, "yes", np.bool_(True), np.array(True)])
def test_boolean(value):
    checks.boolean("flag", True)
    checks.boolean("flag", False)
    with pytest.raises(TypeError, match=r"^flag must be True or False; got .+\.$"):
        checks.boolean("flag", value)


@pytest.mark.parametrize("value", [b"a", None, 3, ["a"]])
def test_text(value):
    checks.text("name", "")
    with pytest.raises(TypeError, match=r"^name must be text; got .+\. Name it\.$"):
        checks.text("name", value, "Name it.")


def test_instance():
    checks.instance("state", {}, dict, "a dict")
    checks.instance("state", True, int, "an int")  # a subclass
    with pytest.raises(TypeError, match=r"^state must be a dict; got \[\]\. Use one\.$"):
        checks.instance("state", [], dict, "a dict", "Use one.")


class TestFunction:
    @pytest.mark.parametrize("value", [len, lambda: None, jax.jit(lambda x: x), int])
    def test_accepts(self, value):
        checks.function("f", value, "x -> y")

    @pytest.mark.parametrize("value", [None, "len", 3, []])
    def test_non_callables_are_rejected(self, value):
        with pytest.raises(TypeError, match=r"^f must be a function x -> y; got .+\.$"):
            checks.function("f", value, "x -> y")

    def test_classes_are_rejected_on_request(self):
        checks.function("f", len, "x -> y", or_class=False)
        with pytest.raises(TypeError, match="f must be a function x -> y; got <class 'int'>"):
            checks.function("f", int, "x -> y", or_class=False)

    def test_functions_without_a_module_are_accepted(self):
        """`exec` with a new namespace defines such functions."""
        namespace: dict = {}
        exec("f = lambda x: x", namespace)
        assert namespace["f"].__module__ is None
        checks.function("f", namespace["f"], "x -> y", or_class=False)


class Folder(os.PathLike):
    """Imitates a path of another library."""

    def __init__(self, name):
        self.name = name

    def __fspath__(self):
        return self.name


class TestPath:
    @pytest.mark.parametrize("value", ["a/b", Path("a/b"), Folder("a/b")])
    def test_accepts(self, value):
        assert checks.path("p", value) == Path("a/b")

    def test_leading_tilde_is_the_home_folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert checks.path("p", "~/a") == tmp_path / "a"
        assert checks.path("p", "a/~") == Path("a/~")

    @pytest.mark.parametrize("value", [None, 3, b"a", ["a"], Folder(b"a")])
    def test_other_types_are_rejected(self, value):
        with pytest.raises(TypeError, match=r"^p must be the path of a file or folder; got"):
            checks.path("p", value)

    @pytest.mark.parametrize("value", ["", "a\0b", Folder("")])
    def test_impossible_file_names_are_rejected(self, value):
        with pytest.raises(ValueError, match=r"^p must be the path of a file or folder; got"):
            checks.path("p", value)

    def test_unknown_home_folder_is_named(self):
        with pytest.raises(ValueError, match="got '~nobody-here/x', whose home folder is unknown"):
            checks.path("p", "~nobody-here/x")


class TestFile:
    def test_existing_file_is_accepted(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "a").touch()
        assert checks.file("p", "~/a") == tmp_path / "a"

    @pytest.mark.parametrize("name", ["missing", "folder", "file/a"])
    def test_other_paths_are_rejected(self, tmp_path, name):
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").touch()
        with pytest.raises(FileNotFoundError, match=f"^p must be an existing file; got .*{name}.$"):
            checks.file("p", tmp_path / name)

    def test_path_is_checked_first(self):
        with pytest.raises(TypeError, match="p must be the path of a file or folder; got 3"):
            checks.file("p", 3)


def test_valid_value_is_not_formatted():
    class Large:
        def __repr__(self):
            raise AssertionError

    checks.instance("x", Large(), Large, "large")
    checks.function("x", lambda: Large(), "() -> x")
    checks.require(True, "x", "large", checks.shown(Large()))
    with pytest.raises(ValueError, match=r"^x must be small; got 3\.$"):
        checks.require(False, "x", "small", checks.shown(3))
