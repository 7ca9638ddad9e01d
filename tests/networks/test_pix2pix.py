"""Tests pix2pix's networks by their parameters, and by the pixels on which a result depends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_tools import TRAIN, apply, count, images, latents, random_like, shapes

from jaxgan import networks

# Each term is one layer's weights and biases, or a batch normalization's scales and shifts,
# computed by hand from the paper's table.
FIGURES = {
    # 4 x 4 from 6 to 64, 128, 256, 512 and 1 channels
    "PatchGAN of 70 pixels": (
        networks.PatchDiscriminator(),
        (images(32, 3), images(32, 3)),
        6_208 + 131_072 + 256 + 524_288 + 512 + 2_097_152 + 1_024 + 8_193,
    ),
    # 4 x 4 from 1 to 64, 128 and 256; 256 + 100 to 128, 128 + 128 to 64, 64 + 64 to 1
    "U-Net": (
        networks.UNetGenerator(),
        (latents(100), images(28, 1)),
        1_088 + 131_072 + 256 + 524_544 + 729_088 + 256 + 262_144 + 128 + 2_049,
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_number_of_parameters_matches_the_paper(name):
    module, inputs, expected = FIGURES[name]
    assert count(module, *inputs, **TRAIN) == expected


def test_patch_logit_depends_exactly_on_its_patch():
    """Patches have 16 pixels and a distance of two pixels, with three pixels of padding each."""
    discriminator = networks.PatchDiscriminator((2, 3))
    pair = images(28, 1, batch=1), images(28, 2, batch=1)
    variables = shapes(discriminator, *pair, **TRAIN)
    variables = {**variables, "params": random_like(variables["params"])}
    variables["batch_stats"] = jax.tree.map(lambda x: jnp.ones(x.shape), variables["batch_stats"])

    @jax.jit
    def gradients(row, column):
        logit = lambda *pair: discriminator.apply(variables, *pair, **TRAIN)[0, row, column]
        return jax.grad(logit, argnums=(0, 1))(*pair)

    for row, column in ((0, 5), (6, 11), (11, 0)):
        # Layers of stride 2, 1 and 1 with one pixel of padding start at 2 (row - 2) - 1.
        expected = np.zeros((28, 28), bool)
        rows, columns = (slice(max(2 * at - 5, 0), 2 * at - 5 + 16) for at in (row, column))
        expected[rows, columns] = True
        for gradient in gradients(row, column):
            found = np.any(np.asarray(gradient)[0] != 0, axis=-1)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("size", "grid"), [((28, 28), (12, 12)), ((33, 20), (14, 8))])
def test_patch_discriminator_takes_any_size_with_and_without_a_condition(size, grid):
    discriminator, x = networks.PatchDiscriminator((2, 3)), jnp.zeros((2, *size, 1))
    for inputs in ((x,), (x, jnp.zeros((2, *size, 3)))):
        logits, _ = jax.eval_shape(
            lambda *x: discriminator.init_with_output(jax.random.key(0), *x, **TRAIN), *inputs
        )
        assert (logits.shape, logits.dtype) == ((2, *grid), jnp.float32)


def test_unet_depends_on_every_pixel_and_latent():
    generator = networks.UNetGenerator(channels=2, features=(3, 4, 5))
    inputs = {"a": latents(2, batch=1), "b": latents(1, batch=1)}, images(28, 1, batch=1)
    variables = shapes(generator, *inputs, **TRAIN)
    variables = {**variables, "params": random_like(variables["params"])}
    variables["batch_stats"] = jax.tree.map(lambda x: jnp.ones(x.shape), variables["batch_stats"])

    @jax.jit
    def run(inputs):
        weights = jax.random.normal(jax.random.key(2), (1, 28, 28, 2))
        total = lambda inputs: jnp.sum(weights * generator.apply(variables, *inputs, **TRAIN))
        return jax.grad(total)(inputs), generator.apply(variables, *inputs, **TRAIN)

    gradient, image = run(inputs)
    assert (image.shape, image.dtype) == ((1, 28, 28, 2), jnp.float32)
    assert np.abs(image).max() < 1.0
    for leaf in jax.tree.leaves(gradient):
        assert np.all(np.asarray(leaf) != 0)


def test_unet_appends_latents_as_equal_channels():
    """Without other inputs and biases, one layer is a transposed convolution of constant images."""
    generator = networks.UNetGenerator(features=(3,))
    z, condition = latents(2), jnp.zeros((2, 8, 8, 1))
    params = random_like(shapes(generator, z, condition, **TRAIN)["params"])
    params["Conv_0"]["bias"] = jnp.zeros(3)
    found = apply(generator, {"params": params}, z, condition, **TRAIN)
    kernel = np.float64(params["UpConv_0"]["kernel"])[:, :, 3:, 0]
    # Away from the border, an output pixel receives every second row and column of the kernel.
    sums = np.stack([kernel[i::2, j::2].sum(axis=(0, 1)) for i, j in np.ndindex(2, 2)])
    expected = np.tanh(np.float64(z) @ sums.T + np.float64(params["UpConv_0"]["bias"]))
    inner = np.asarray(found)[:, 2:-2, 2:-2, 0]
    corner = inner[:, :2, :2]
    np.testing.assert_allclose(np.sort(corner.reshape(2, 4)), np.sort(expected), atol=1e-6)
    np.testing.assert_allclose(inner, np.tile(corner, (1, 2, 2)), atol=1e-6)


@pytest.mark.parametrize(
    ("module", "inputs", "message"),
    [
        (networks.PatchDiscriminator(), (images(20, 1),), "at least 24 with 4 widths; got"),
        (
            networks.PatchDiscriminator((2, 3)),
            (images(28, 1), images(14, 1)),
            r"condition of PatchDiscriminator must be float32 of shape \(2, 28, 28\) and channels",
        ),
        (
            networks.UNetGenerator(),
            (latents(3), images(28, 1, batch=4)),
            "condition of UNetGenerator must be float32 with 2 rows; got float32 with 4 rows",
        ),
        (networks.UNetGenerator(3), (latents(3), images(2, 1)), "larger than one pixel"),
    ],
)
def test_conditions_and_sizes_that_do_not_fit_are_rejected(module, inputs, message):
    with pytest.raises(ValueError, match=message):
        shapes(module, *inputs, **TRAIN)


@pytest.mark.parametrize(
    ("module", "first", "shape"),
    [
        (networks.UNetGenerator(features=(3, 4), dtype=jnp.bfloat16), latents(3), (2, 28, 28, 1)),
        (networks.PatchDiscriminator((3, 4), jnp.bfloat16), images(28, 1), (2, 12, 12)),
    ],
)
def test_bfloat16_is_used_only_for_computation(module, first, shape):
    run = lambda *x: module.init_with_output(jax.random.key(0), *x, train=True)
    text, (y, variables) = jax.make_jaxpr(run, return_shape=True)(first, images(28, 1))
    assert "bf16" in str(text)
    assert (y.shape, y.dtype) == (shape, jnp.float32)
    assert {x.dtype.name for x in jax.tree.leaves(variables)} == {"float32"}
