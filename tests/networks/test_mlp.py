"""Compares the perceptrons with numpy and the recipe's numbers of parameters."""

import jax
import numpy as np
import pytest
from network_tools import LABELS, apply, count, images, init, latents, random_like, shapes

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


@pytest.mark.parametrize(
    ("module", "x"),
    [
        (networks.MLPGenerator((2, 2, 1), (5,), num_classes=3), latents(4)),
        (networks.MLPDiscriminator((5,), num_classes=3), images(2, 1)),
    ],
)
def test_label_is_appended_in_one_hot_form(module, x):
    params = random_like(shapes(module, x, LABELS)["params"])
    assert params["Dense_0"]["kernel"].shape == (4 + 3, 5)
    joined = np.concatenate([np.reshape(x, (2, 4)), [[1, 0, 0], [0, 0, 1]]], axis=1)  # 0 and 2
    expected = mlp_in_numpy(params, joined)
    found = apply(module, {"params": params}, x, LABELS)
    if isinstance(module, networks.MLPGenerator):
        expected = np.tanh(expected)
    np.testing.assert_allclose(np.reshape(found, expected.shape), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("module", "x"),
    [(networks.MLPGenerator, latents(4)), (networks.MLPDiscriminator, images(2, 1))],
)
def test_labels_are_given_if_and_only_if_there_are_classes(module, x):
    with pytest.raises(ValueError, match=r"labels must be None with num_classes=None; got int32"):
        shapes(module(), x, LABELS)
    with pytest.raises(ValueError, match="labels must be integers with num_classes=3; got None"):
        shapes(module(num_classes=3), x)
    with pytest.raises(ValueError, match=r"Labels must be in \[0, 2\); got 0 to 2"):
        module(num_classes=2).init(jax.random.key(0), x, LABELS)
