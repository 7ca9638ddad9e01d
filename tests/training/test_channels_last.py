"""Tests that `channels_last` converts all convolutions to one layout and keeps their values."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import AS_USERS

from jaxgan.training import channels_last

LAYOUTS = [("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW"), ("NHWC", "OIHW", "NCHW")]


def convolve(layout, x, kernel, **options):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        **{"window_strides": (2, 1), "padding": "SAME", **options},
        dimension_numbers=layout,
    )


def integers(key, shape):
    """Draws small integers. Sums of their products are exact in float32, in any order."""
    return jax.random.randint(key, shape, -3, 4).astype(jnp.float32)


def operands(layout, channels=4, groups=1):
    sizes = {"N": 2, "H": 6, "W": 5, "C": channels, "I": channels // groups, "O": 8}
    spatial = {"H": 3, "W": 2}
    keys = jax.random.split(jax.random.key(0))
    x = integers(keys[0], [sizes[axis] for axis in layout[0]])
    kernel = integers(keys[1], [spatial.get(axis, sizes[axis]) for axis in layout[1]])
    return x, kernel


def assert_exact(function, x, kernel):
    """Checks that `channels_last` changes no bit of a function of integers.

    The function of the absolute values bounds every partial sum. Sums below 2^24 are exact.
    """
    for bound in jax.tree.leaves(function(jnp.abs(x), jnp.abs(kernel))):
        assert 0 < bound.max() < 2**24
    expected, found = function(x, kernel), channels_last(function)(x, kernel)
    assert jax.tree.structure(expected) == jax.tree.structure(found)
    jax.tree.map(np.testing.assert_array_equal, expected, found)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_and_gradients_are_unchanged(layout, groups):
    x, kernel = operands(layout, groups=groups)

    def function(x, kernel):
        y = convolve(layout, x, kernel, feature_group_count=groups)
        return jnp.sum(y * y) / 2, y

    gradient = jax.grad(function, argnums=(0, 1), has_aux=True)
    assert_exact(gradient, x, kernel)


@pytest.mark.parametrize("options", [{}, {"lhs_dilation": (2, 1), "padding": [(3, 2), (-1, 4)]}])
def test_input_smaller_than_its_kernel(options):
    """XLA does not swap the input and the kernel, which would give a slow layout."""
    keys = jax.random.split(jax.random.key(0))
    x = integers(keys[0], (3, 4, 4, 2))
    kernel = integers(keys[1], (5, 5, 2, 6))

    def function(x, kernel):
        y = convolve(LAYOUTS[0], x, kernel, **options)
        return jnp.sum(y * y) / 2, y

    gradient = jax.grad(function, argnums=(0, 1), has_aux=True)
    assert_exact(gradient, x, kernel)
    if jax.default_backend() == "cpu":
        text = jax.jit(channels_last(gradient)).lower(x, kernel).compile(AS_USERS).as_text()
        assert set(re.findall(r"dim_labels=(\S+?)[,\s]", text)) == {"b01f_01io->b01f"}
        assert "rhs_reversal" not in text


@pytest.mark.parametrize("kernel_spread", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 5, 11])
@pytest.mark.parametrize("spread", [(2, 2), (1, 3)])
@pytest.mark.parametrize("padding", [((3, 2), (0, 1)), ((-1, 4), (5, -1)), ((9, 9), (9, 9))])
def test_maps_with_spread_pixels(padding, spread, size, kernel_spread):
    """Convolutions with kernels smaller and larger than the map have equal values and sizes."""
    keys = jax.random.split(jax.random.key(size))
    x = integers(keys[0], (2, 4, 5, 3))
    kernel = integers(keys[1], (size, size, 3, 2))
    options = {"window_strides": (1, 1), "padding": padding, "lhs_dilation": spread}
    options["rhs_dilation"] = (kernel_spread, 1)
    function = lambda x, kernel: convolve(LAYOUTS[0], x, kernel, **options)
    if 0 in jax.eval_shape(function, x, kernel).shape:
        pytest.skip("no output pixels")
    np.testing.assert_array_equal(channels_last(function)(x, kernel), function(x, kernel))


def test_gradient_penalty_has_only_fast_convolutions_on_cpu():
    """Second derivatives of strided convolutions keep their values, and have small kernels."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = integers(keys[0], (2, 8, 8, 1))
    kernels = [jnp.sign(integers(keys[1], (3, 3, 1, 2))), jnp.sign(integers(keys[2], (3, 3, 2, 2)))]

    def critic(kernels, x):
        for kernel in kernels:
            x = jax.nn.relu(convolve(LAYOUTS[0], x, kernel, window_strides=(2, 2)))
        return x.sum()

    def penalty(kernels, x):
        return (jax.grad(critic, argnums=1)(kernels, x) ** 2).sum() / 2

    gradient = jax.grad(penalty)
    rewritten = jax.jit(channels_last(gradient))
    jax.tree.map(np.testing.assert_array_equal, rewritten(kernels, x), gradient(kernels, x))
    if jax.default_backend() == "cpu":
        text = rewritten.lower(kernels, x).compile(AS_USERS).as_text()
        assert set(re.findall(r"dim_labels=(\S+?)[,\s]", text)) == {"b01f_01io->b01f"}
        kernels = re.findall(r"window={size=(\d+)x", text)
        assert max(map(int, kernels)) <= 4  # none is as large as an image
        assert "rhs_reversal" not in text


def test_gradients_of_grouped_convolutions_have_no_groups_of_the_batch_on_cpu():
    """XLA has no fast code for groups of the batch."""
    x, kernel = operands(LAYOUTS[0], groups=2)
    loss = lambda kernel: jnp.sum(convolve(LAYOUTS[0], x, kernel, feature_group_count=2) ** 2)
    gradient = jax.jit(channels_last(jax.grad(loss)))
    if jax.default_backend() == "cpu":
        text = gradient.lower(kernel).compile(AS_USERS).as_text()
        assert "feature_group_count=2" in text
        assert "batch_group_count" not in text


def test_empty_results_are_accepted():
    x, kernel = jnp.ones((2, 2, 2, 1)), jnp.ones((2, 2, 1, 3))
    options = {"window_strides": (4, 4), "padding": "VALID", "rhs_dilation": (2, 2)}
    function = lambda x: convolve(LAYOUTS[0], x, kernel, **options)
    assert channels_last(function)(x).shape == (2, 0, 0, 3)
    np.testing.assert_array_equal(channels_last(jax.grad(lambda x: function(x).sum()))(x), 0 * x)


def test_nested_convolutions_are_unchanged():
    layout = LAYOUTS[1]
    x, kernel = (jnp.sign(values) for values in operands(layout))  # keeps all sums below 2^24

    def function(x, kernel):
        square = lambda x: jax.jit(lambda x: convolve(layout, x, kernel, window_strides=(1, 1)))(x)
        x = jax.lax.cond(x.sum() > 0, square, lambda x: -square(x), x)
        x = jax.lax.fori_loop(0, 2, lambda _, x: jnp.concatenate([x[:, 4:], x[:, :4]], 1), x)
        return jax.lax.scan(lambda c, _: (square(c[:, :4])[:, :8], c.sum()), x, length=3)

    assert_exact(function, x, kernel)


def test_named_tuples_of_jaxprs_are_kept():
    """`jnp.linalg.solve` has a named tuple of jaxprs."""
    x, matrix = jnp.ones(3), jnp.diag(jnp.array([1.0, 2, 4]))
    np.testing.assert_array_equal(
        channels_last(jnp.linalg.solve)(matrix, x), jnp.linalg.solve(matrix, x)
    )


def test_functions_without_convolutions_are_lowered_once():
    square = jax.jit(lambda x: x * x)
    function = jax.jit(channels_last(lambda x: square(square(x))))
    assert function.lower(1.0).as_text().count("func.func private") == 1


def test_function_runs_without_a_trace_if_jit_is_disabled():
    x, kernel = operands(LAYOUTS[1])
    seen = []
    with jax.disable_jit():
        channels_last(lambda x: seen.append(x) or convolve(LAYOUTS[1], x, kernel))(x)
    assert seen[0] is x


@pytest.mark.parametrize("wrap", [lambda function: function, jax.checkpoint])
def test_all_convolutions_of_a_loop_are_channels_last_on_cpu(wrap):
    """XLA's text shows the layout batch, pixels, features for every convolution."""
    x, kernel = operands(LAYOUTS[1])
    gradient = jax.grad(wrap(lambda kernel, x: jnp.sum(convolve(LAYOUTS[1], x, kernel) ** 2)))

    def layouts(gradient):
        step = lambda kernel, _: (kernel - 0.1 * gradient(kernel, x), None)
        loop = jax.jit(lambda kernel: jax.lax.scan(step, kernel, length=4)[0])
        text = loop.lower(kernel).compile({**AS_USERS, "xla_disable_hlo_passes": ""}).as_text()
        return set(re.findall(r"dim_labels=(\S+?)[,\s]", text))

    if jax.default_backend() != "cpu":
        pytest.skip("the layout matters only on CPUs")
    assert layouts(channels_last(gradient)) == {"b01f_01io->b01f"}
    if layouts(gradient) == {"b01f_01io->b01f"}:
        pytest.skip("XLA now chooses this layout without `channels_last`, which can be removed")


def test_vmap_and_none_arguments_are_accepted():
    layout = LAYOUTS[1]
    x, kernel = operands(layout)
    many = jnp.stack([kernel, 2 * kernel])
    run = jax.vmap(
        channels_last(lambda k, none, x: convolve(layout, x, k)), in_axes=(0, None, None)
    )
    np.testing.assert_array_equal(run(many, None, x)[1], 2 * convolve(layout, x, kernel))
