"""Tests that fields and inputs of modules are checked by their annotations."""

import jax
import jax.numpy as jnp
import pytest
from jax.typing import DTypeLike

from jaxgan.networks._checked import Checked, check_sides


class Module(Checked):
    count: int = 1
    scale: float = 0.5
    flag: bool = True
    pair: tuple[int, int] = (1, 2)
    many: tuple[bool, ...] = ()
    optional: int | None = None
    dtype: DTypeLike | None = None

    def __call__(self, x):
        return self.as_floats(x, "[batch, features]")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"count": 2**16, "scale": 1e-9, "flag": False, "pair": [3, 4], "many": (True, False)},
        {"optional": 3, "dtype": "bfloat16"},
        {"dtype": jnp.float32},
    ],
)
def test_valid_fields_are_accepted(fields):
    module = Module(**fields)
    assert all(getattr(module, name) is not None for name in fields)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"count": 0}, ValueError, r"Module\.count must be at least 1; got 0\."),
        ({"count": True}, TypeError, r"Module\.count must be an integer; got True\."),
        ({"scale": 0.0}, ValueError, r"Module\.scale must be positive and finite; got 0\.0\."),
        ({"flag": 1}, TypeError, r"Module\.flag must be True or False; got 1\."),
        ({"pair": 3}, TypeError, r"Module\.pair must be a tuple; got 3\."),
        ({"pair": (1, 2, 3)}, ValueError, r"Module\.pair must be a tuple of length 2; got \(1, 2"),
        ({"pair": (1, 2.0)}, TypeError, r"Each of Module\.pair must be an integer; got 2\.0\."),
        ({"many": (1,)}, TypeError, r"Each of Module\.many must be True or False; got 1\."),
        ({"optional": 0}, ValueError, r"Module\.optional must be at least 1; got 0\."),
        ({"dtype": "int8"}, TypeError, r"Module\.dtype must be a float dtype or None; got 'int8'"),
        ({"dtype": 3}, TypeError, r"Module\.dtype must be a float dtype or None; got 3\."),
    ],
)
def test_invalid_fields_are_rejected(fields, error, message):
    with pytest.raises(error, match=message):
        Module(**fields)


def test_input_of_wrong_shape_or_dtype_is_rejected():
    with pytest.raises(ValueError, match=r"The input of Module must be float \[batch, features\]"):
        jax.eval_shape(lambda: Module().apply({}, jnp.ones(3)))
    with pytest.raises(TypeError, match=r"got int32 of shape \(2, 3\)"):
        jax.eval_shape(lambda: Module().apply({}, jnp.ones((2, 3), int)))


def test_sides_must_be_multiples():
    check_sides("images", (8, 12, 3), 4, "two halvings")
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the whole message is compared
        check_sides("images", (8, 14, 3), 4, "two halvings", "Pad them.")
    message = "The sides of images must be multiples of 4 (two halvings); got (8, 14, 3). Pad them."
    assert str(caught.value) == message
