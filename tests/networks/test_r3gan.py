"""Compares R3GAN with figures of its authors' code and the numbers of parameters in its paper.

The figures are outputs of their PyTorch networks in float64, with the parameters `cosines_like`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_tools import apply, cosines_like, count, images, init, latents, shapes

from jaxgan import networks
from jaxgan.networks._r3gan import doubled, halved

# Each term is one layer's weights and biases, or a batch normalization's scales and shifts,
# computed by hand from the paper's table.
FIGURES = {
    # 4 x 4 x 768 and 64 x 768; eight blocks of 768 x 1536, 1536 x 16 x 9, 1536 x 768 and two
    # biases of 1536; 768 x 3. The paper reports 20.7 M.
    "R3GAN generator": (
        networks.R3GANGenerator(),
        (latents(64),),
        {},
        12_288 + 49_152 + 8 * (1_179_648 + 221_184 + 1_179_648 + 3_072) + 2_304,
    ),
    "R3GAN discriminator": (
        networks.R3GANDiscriminator(),
        (images(32, 3),),
        {},
        2_304 + 8 * (1_179_648 + 221_184 + 1_179_648 + 3_072) + 12_288 + 768,
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_number_of_parameters_matches_the_paper(name):
    module, inputs, options, expected = FIGURES[name]
    assert count(module, *inputs, **options) == expected


def test_new_r3gan_generator_is_linear():
    """The last layer of each block starts at zero (Fix-up), so the generator is linear."""
    generator = networks.R3GANGenerator((8, 8, 1), (8, 4), group_size=4)
    variables = init(generator, latents(6))
    x, y = (apply(generator, variables, scale * latents(6)) for scale in (1.0, 3.0))
    np.testing.assert_allclose(y, 3.0 * x, rtol=1e-4, atol=1e-5)
    assert float(jnp.abs(x).max()) > 0.01


def test_resampling_weights_pixels_by_1_3_3_1():
    row = jnp.array([0.0, 1.0, 4.0, 2.0]).reshape(1, 1, 4, 1).repeat(4, axis=1)
    up = doubled(row)[0, 3, :, 0]
    np.testing.assert_allclose(up, [0, 0.25, 0.75, 1.75, 3.25, 3.5, 2.5, 1.5], rtol=1e-6)
    down = halved(row)[0, 1, :, 0]  # the last row is next to one row of zeros: 7 / 8
    expected = [(3 * 0 + 3 * 1 + 4) * 7 / 64, (1 + 3 * 4 + 3 * 2) * 7 / 64]
    np.testing.assert_allclose(down, expected, rtol=1e-6)


def test_resampling_darkens_borders_as_the_authors_do():
    ones = jnp.ones((1, 8, 8, 1))
    up, down = doubled(ones)[0, :, :, 0], halved(ones)[0, :, :, 0]
    assert up.shape == (16, 16)
    assert down.shape == (4, 4)
    np.testing.assert_allclose(up[:2, :2], [[0.5625, 0.75], [0.75, 1.0]])
    np.testing.assert_allclose(down[:2, :2], [[0.765625, 0.875], [0.875, 1.0]])
    np.testing.assert_array_equal(up, up[::-1, ::-1])
    np.testing.assert_array_equal(down, down[::-1, ::-1])


def test_generator_matches_the_authors_code():
    generator = networks.R3GANGenerator((8, 8, 3), (8, 4), blocks=1, group_size=4)
    x = np.sin(np.arange(10.0)).reshape(2, 5)
    variables = cosines_like(shapes(generator, jnp.asarray(x)))
    with jax.enable_x64(True):
        y = apply(generator, variables, x)
    corners = [
        [-0.03852470117885157, 0.027195340179491684, -0.40737137720029853],
        [0.09478655245640769, 0.1672006808966278, -0.4477958664062776],
    ]
    centers = [
        [0.19945523932235282, 0.3278432029887991, -1.4274843558068855],
        [0.09013732242642983, 0.13825260340287915, -1.1353930460749615],
    ]
    np.testing.assert_allclose(y[:, 0, 0], corners, rtol=1e-12)
    np.testing.assert_allclose(y[:, 3, 4], centers, rtol=1e-12)
    np.testing.assert_allclose(np.square(y).mean(), 0.2990787541206455, rtol=1e-12)


def test_discriminator_and_its_gradient_match_the_authors_code():
    discriminator = networks.R3GANDiscriminator((4, 8), blocks=1, group_size=4)
    x = np.sin(np.arange(384.0)).reshape(2, 8, 8, 3)
    variables = cosines_like(shapes(discriminator, jnp.asarray(x)))

    def total(x):
        logits = discriminator.apply(variables, x)
        return logits.sum(), logits

    with jax.enable_x64(True):
        gradient, y = jax.jit(jax.grad(total, has_aux=True))(x)
    np.testing.assert_allclose(y, [-0.23297585942379512, -0.10891506846146051], rtol=1e-12)
    norms = np.square(gradient).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(norms, [0.11080084842132762, 0.09172288197818612], rtol=1e-12)


@pytest.mark.parametrize(
    ("module", "inputs", "options", "message"),
    [
        (networks.R3GANGenerator((28, 28, 1)), latents(3), {}, r"multiples of 8 \(4 widths\); got"),
        (networks.R3GANDiscriminator(), images(28, 1), {}, r"multiples of 8 .*; got \(28, 28"),
        (
            networks.R3GANDiscriminator((6,)),
            images(4, 1),
            {},
            "group_size must be a divisor of 12, .* got 16",
        ),
    ],
)
def test_indivisible_sizes_and_groups_are_rejected(module, inputs, options, message):
    with pytest.raises(ValueError, match=message):
        shapes(module, inputs, **options)
