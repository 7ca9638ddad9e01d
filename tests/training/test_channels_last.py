"""Convolutions in the form that is fast in a loop: the same values, and no other form left."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import AS_USERS

from jaxgan.training import channels_last

FORMS = [("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW"), ("NHWC", "OIHW", "NCHW")]


def convolve(form, x, kernel, **options):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        **{"window_strides": (2, 1), "padding": "SAME", **options},
        dimension_numbers=form,
    )


def integers(key, shape):
    """Draws small integers. Sums of their products are exact in float32, in any order."""
    return jax.random.randint(key, shape, -3, 4).astype(jnp.float32)


def operands(form, channels=4, groups=1):
    sizes = {"N": 2, "H": 6, "W": 5, "C": channels, "I": channels // groups, "O": 8}
    spatial = {"H": 3, "W": 2}
    keys = jax.random.split(jax.random.key(0))
    x = integers(keys[0], [sizes[axis] for axis in form[0]])
    kernel = integers(keys[1], [spatial.get(axis, sizes[axis]) for axis in form[1]])
    return x, kernel


def assert_exact(function, x, kernel):
    """Checks that `channels_last` changes no bit of a function of integers.

    The function of the absolute values bounds every partial sum; below 2^24 float32 is exact.
    """
    for bound in jax.tree.leaves(function(jnp.abs(x), jnp.abs(kernel))):
        assert 0 < bound.max() < 2**24
    expected, found = function(x, kernel), channels_last(function)(x, kernel)
    assert jax.tree.structure(expected) == jax.tree.structure(found)
    jax.tree.map(np.testing.assert_array_equal, expected, found)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients_stay(form, groups):
    x, kernel = operands(form, groups=groups)

    def function(x, kernel):
        y = convolve(form, x, kernel, feature_group_count=groups)
        return jnp.sum(y * y) / 2, y

    gradient = jax.grad(function, argnums=(0, 1), has_aux=True)
    assert_exact(gradient, x, kernel)


@pytest.mark.parametrize("options", [{}, {"lhs_dilation": (2, 1), "padding": [(3, 2), (-1, 4)]}])
def test_a_map_smaller_than_its_kernel(options):
    """XLA would exchange the two, into a form that is slow."""
    keys = jax.random.split(jax.random.key(0))
    x = integers(keys[0], (3, 4, 4, 2))
    kernel = integers(keys[1], (5, 5, 2, 6))

    def function(x, kernel):
        y = convolve(FORMS[0], x, kernel, **options)
        return jnp.sum(y * y) / 2, y

    gradient = jax.grad(function, argnums=(0, 1), has_aux=True)
    assert_exact(gradient, x, kernel)
    if jax.default_backend() == "cpu":
        text = jax.jit(channels_last(gradient)).lower(x, kernel).compile(AS_USERS).as_text()
        assert set(re.findall(r"dim_labels=(\S+?)[,\s]", text)) == {"b01f_01io->b01f"}
        assert "rhs_reversal" not in text


def test_convolutions_inside_of_conditions_loops_and_calls_are_found():
    form = FORMS[1]
    x, kernel = (jnp.sign(values) for values in operands(form))  # so that no sum is too large

    def function(x, kernel):
        square = lambda x: jax.jit(lambda x: convolve(form, x, kernel, window_strides=(1, 1)))(x)
        x = jax.lax.cond(x.sum() > 0, square, lambda x: -square(x), x)
        x = jax.lax.fori_loop(0, 2, lambda _, x: jnp.concatenate([x[:, 4:], x[:, :4]], 1), x)
        return jax.lax.scan(lambda c, _: (square(c[:, :4])[:, :8], c.sum()), x, length=3)

    assert_exact(function, x, kernel)


def test_no_other_form_is_left_in_a_loop_on_a_cpu():
    """XLA's text names the form: batch, pixels, features, for all that is in the body."""
    x, kernel = operands(FORMS[1])
    gradient = jax.grad(lambda kernel, x: jnp.sum(convolve(FORMS[1], x, kernel) ** 2))

    def forms(gradient):
        step = lambda kernel, _: (kernel - 0.1 * gradient(kernel, x), None)
        loop = jax.jit(lambda kernel: jax.lax.scan(step, kernel, length=4)[0])
        text = loop.lower(kernel).compile({**AS_USERS, "xla_disable_hlo_passes": ""}).as_text()
        return set(re.findall(r"dim_labels=(\S+?)[,\s]", text))

    if jax.default_backend() != "cpu":
        pytest.skip("the form matters on CPUs only")
    assert forms(channels_last(gradient)) == {"b01f_01io->b01f"}
    if forms(gradient) == {"b01f_01io->b01f"}:
        pytest.skip("XLA now chooses this form without `channels_last`, which can go")


def test_batches_seeds_and_no_arrays_at_all():
    form = FORMS[1]
    x, kernel = operands(form)
    many = jnp.stack([kernel, 2 * kernel])
    run = jax.vmap(
        channels_last(lambda k, nothing, x: convolve(form, x, k)), in_axes=(0, None, None)
    )
    np.testing.assert_array_equal(run(many, None, x)[1], 2 * convolve(form, x, kernel))
