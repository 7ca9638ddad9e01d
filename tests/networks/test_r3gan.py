"""Compares R3GAN's numbers of parameters with its paper, and tests resampling."""

import jax.numpy as jnp
import numpy as np
import pytest
from network_tools import apply, count, images, init, latents, shapes

from jaxgan import networks
from jaxgan.networks._r3gan import resample

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


def test_resampling_is_bilinear():
    row = jnp.array([0.0, 1.0, 4.0, 2.0]).reshape(1, 1, 4, 1).repeat(4, axis=1)
    up = resample(row, 2)[0, 3, :, 0]
    np.testing.assert_allclose(up, [0, 0.25, 0.75, 1.75, 3.25, 3.5, 2.5, 2], rtol=1e-6)
    down = resample(row, 0.5)[0, 1, :, 0]
    # Weights 1 3 3 1 over 8. At the edges, the weights inside are rescaled to sum to 1.
    np.testing.assert_allclose(down, [(3 * 0 + 3 * 1 + 4) / 7, (1 + 3 * 4 + 3 * 2) / 7], rtol=1e-6)


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
