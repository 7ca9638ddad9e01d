"""Tests that fields and inputs of modules are checked by their annotations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.typing import DTypeLike
from network_tools import images, latents, shapes

from jaxgan import networks
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


def test_arrays_of_latents_are_joined_in_the_order_of_the_leaves():
    a, b, c = (jnp.full((2, n), float(n)) for n in (1, 2, 3))
    assert Module().as_latents(a) is a
    assert Module().as_latents({"noise": a}) is a
    joined = Module().as_latents({"noise": a, "codes": (b, {"x": c})})
    np.testing.assert_array_equal(joined, 2 * [[2.0, 2.0, 3.0, 3.0, 3.0, 1.0]])


@pytest.mark.parametrize(
    ("latents", "error", "message"),
    [
        ({}, TypeError, r"The input of Module must be float \[batch, latent_dim\]; got \{\}"),
        (
            {"z": jnp.ones(3)},
            ValueError,
            r"The input\['z'\] of Module must be float \[batch, latent_dim\]; got shape \(3,\)",
        ),
        (
            (jnp.ones((2, 1)), jnp.ones((3, 1))),
            ValueError,
            r"The input\[1\] of Module must be float32 with 2 rows; got float32 with 3 rows",
        ),
        (
            (jnp.ones((2, 1)), jnp.ones((2, 1), jnp.bfloat16)),
            ValueError,
            r"The input\[1\] of Module must be float32 with 2 rows; got bfloat16",
        ),
    ],
)
def test_latents_that_do_not_fit_are_rejected(latents, error, message):
    with pytest.raises(error, match=message):
        Module().as_latents(latents)


@pytest.mark.parametrize("name", [x for x in networks.__all__ if x.endswith("Generator")])
def test_every_generator_takes_a_pytree_of_latents(name):
    module = getattr(networks, name)()
    condition = (images(28, 1),) if name == "UNetGenerator" else ()
    train = {} if name in ("MLPGenerator", "R3GANGenerator") else {"train": False}
    tree = {"noise": latents(2), "codes": (latents(1), latents(3))}
    joined = shapes(module, latents(6), *condition, **train)
    assert shapes(module, tree, *condition, **train) == joined


def test_sides_must_be_multiples():
    check_sides("images", (8, 12, 3), 4, "two halvings")
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the whole message is compared
        check_sides("images", (8, 14, 3), 4, "two halvings", "Pad them.")
    message = "The sides of images must be multiples of 4 (two halvings); got (8, 14, 3). Pad them."
    assert str(caught.value) == message
