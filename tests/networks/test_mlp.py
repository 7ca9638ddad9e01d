"""Compares the perceptrons with numpy and the recipe's numbers of parameters."""

import numpy as np
import pytest
from network_tools import apply, count, images, init, latents, random_like

from jaxgan import networks

# Each term is one layer's weights and biases, or a batch normalization's scales and shifts,
# computed by hand from the paper's table.
FIGURES = {
    # 100 x 128, 128 x 128, 128 x 784
    "MLP generator": (networks.MLPGenerator(), (latents(100),), {}, 12_928 + 16_512 + 101_136),
    "MLP discriminator": (
        networks.MLPDiscriminator(),
        (images(28, 1),),
        {},
        100_480 + 16_512 + 129,
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_number_of_parameters_matches_the_paper(name):
    module, inputs, options, expected = FIGURES[name]
    assert count(module, *inputs, **options) == expected


def mlp_in_numpy(params, x):
    layers = [params[f"Dense_{i}"] for i in range(len(params))]
    x = np.asarray(x, np.float64)
    for i, layer in enumerate(layers):
        x = x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)
        x = np.where(x > 0, x, 0.2 * x) if i < len(layers) - 1 else x
    return x


def test_mlp_generator_matches_numpy():
    generator = networks.MLPGenerator()
    params = random_like(init(generator, latents(100))["params"])
    expected = np.tanh(mlp_in_numpy(params, latents(100))).reshape(2, 28, 28, 1)
    found = apply(generator, {"params": params}, latents(100))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_mlp_discriminator_matches_numpy():
    discriminator = networks.MLPDiscriminator()
    params = random_like(init(discriminator, images(28, 1))["params"])
    logits = apply(discriminator, {"params": params}, images(28, 1))
    assert logits.shape == (2,)
    expected = mlp_in_numpy(params, images(28, 1).reshape(2, -1))[:, 0]
    np.testing.assert_allclose(logits, expected, atol=1e-4)
