"""Compares the shared layers with flax and numpy."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_tools import (
    apply,
    images,
    init,
    random_like,
    shapes,
)

from jaxgan import networks


@pytest.mark.parametrize("kernel_size", [3, 4, 5])
def test_upconv_and_its_gradients_match_conv_transpose(kernel_size):
    x = images(7, 3)
    upconv = networks.UpConv(4, kernel_size)
    reference = nn.ConvTranspose(4, (kernel_size, kernel_size), strides=(2, 2))
    variables = {"params": random_like(shapes(reference, x)["params"])}
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, shapes(upconv, x))
    weights = jax.random.normal(jax.random.key(2), (2, 14, 14, 4))

    @functools.partial(jax.jit, static_argnums=0)
    @functools.partial(jax.grad, argnums=(1, 2), has_aux=True)
    def gradient(module, variables, x):
        y = module.apply(variables, x)
        return jnp.sum(weights * y), y

    (upconv, upconv_y), (reference, reference_y) = (
        gradient(m, variables, x) for m in (upconv, reference)
    )
    assert upconv_y.shape == reference_y.shape == (2, 14, 14, 4)
    np.testing.assert_allclose(upconv_y, reference_y, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), upconv, reference)


@pytest.mark.parametrize("kernel_size", [3, 4, 5])
def test_upconv_to_odd_sizes_matches_tensorflow(kernel_size):
    """TensorFlow defines a transposed convolution as the gradient of a convolution.

    Padding SAME of 7 x 8 pixels with stride 2 gives 4 x 4. It adds `kernel_size - 1` rows and
    `kernel_size - 2` columns, and the larger half of an odd number at the end.
    """
    x = np.asarray(images(4, 3))
    upconv = networks.UpConv(2, kernel_size)
    params = random_like(shapes(upconv, jnp.asarray(x))["params"])
    y = apply(upconv, {"params": params}, x, size=(7, 8))
    kernel = np.asarray(params["kernel"])[::-1, ::-1]  # as a convolution's gradient has it
    rows, columns = (kernel_size - 1) // 2, (kernel_size - 2) // 2
    padded = np.zeros((2, 7 + kernel_size, 8 + kernel_size, 2))
    for i, j in np.ndindex(4, 4):
        window = np.s_[:, 2 * i : 2 * i + kernel_size, 2 * j : 2 * j + kernel_size]
        padded[window] += np.einsum("nc,hwcf->nhwf", x[:, i, j], kernel)
    expected = padded[:, rows : rows + 7, columns : columns + 8] + np.asarray(params["bias"])
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_upconv_rejects_other_kernels_and_sizes():
    with pytest.raises(ValueError, match="kernel_size must be 3, 4 or 5; got 7"):
        shapes(networks.UpConv(4, 7), images(7, 3))
    with pytest.raises(ValueError, match=r"size must be twice 7 x 7, or one less; got \(14, 12\)"):
        shapes(networks.UpConv(4), images(7, 3), size=(14, 12))
    with pytest.raises(ValueError, match=r"size must be .*; got 13"):
        shapes(networks.UpConv(4), images(7, 3), size=13)


def test_conditional_batch_norm_matches_numpy():
    norm = networks.ConditionalBatchNorm(num_classes=3)
    x, labels = images(4, 5, batch=6) * 2.0 + 3.0, jnp.array([0, 1, 2, 2, 1, 0])
    variables = init(norm, x, labels, train=False)
    variables = {**variables, "params": random_like(variables["params"])}
    y, moved = apply(norm, variables, x, labels, train=True, mutable=["batch_stats"])
    wide = np.asarray(x, np.float64)
    mean, var = wide.mean(axis=(0, 1, 2)), wide.var(axis=(0, 1, 2))
    scale, shift = (
        np.float64(variables["params"][k]["embedding"])[labels] for k in ("scale", "shift")
    )
    expected = (wide - mean) / np.sqrt(var + 1e-5) * scale[:, None, None] + shift[:, None, None]
    np.testing.assert_allclose(y, expected, atol=1e-5)
    stats = moved["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(stats["mean"], 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * var, rtol=1e-5)


def test_minibatch_stddev_matches_numpy():
    x = images(3, 2, batch=8)
    y = apply(networks.MinibatchStddev(4), {}, x)
    np.testing.assert_array_equal(y[..., :2], x)
    for i in range(8):
        group = np.float64(x)[i % 2 :: 2]
        expected = np.sqrt(group.var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(y[i, ..., 2], expected, rtol=1e-5)
    same = apply(networks.MinibatchStddev(4), {}, jnp.ones((8, 3, 3, 2)))
    np.testing.assert_allclose(same[..., 2], 1e-4, rtol=1e-5)  # the root of 1e-8, for equal images
    assert apply(networks.MinibatchStddev(4), {}, x[:2]).shape == (2, 3, 3, 3)
    with pytest.raises(ValueError, match="must be a multiple of 4; got 6 images"):
        apply(networks.MinibatchStddev(4), {}, x[:6])
