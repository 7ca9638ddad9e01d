"""R3GAN against the numbers of parameters of its paper; resampling by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from network_tools import apply, count, images, init, latents, shapes

from jaxgan import networks
from jaxgan.networks._r3gan import resample

# Each sum is one layer a term, weights and biases (or a batch normalization's scales and shifts),
# worked out by hand from the paper's table.
FIGURES = {
    # 4 x 4 x 768 and 64 x 768; eight blocks of 768 x 1536, 1536 x 16 x 9, 1536 x 768 and two
    # biases of 1536; 768 x 3. The paper says 20.7 M.
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
def test_parameters_are_as_many_as_in_the_paper(name):
    module, inputs, options, expected = FIGURES[name]
    assert count(module, *inputs, **options) == expected


def test_r3gan_begins_as_its_resampled_basis():
    """Fix-up: the last layer of each block is zero, so a new network is linear in the latents."""
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
    # 1 3 3 1 over eight; at the edges what lies outside is left out and the rest made up to one.
    np.testing.assert_allclose(down, [(3 * 0 + 3 * 1 + 4) / 7, (1 + 3 * 4 + 3 * 2) / 7], rtol=1e-6)


@pytest.mark.parametrize(
    ("module", "inputs", "options", "said"),
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
def test_sizes_and_groups_that_do_not_divide_are_refused(module, inputs, options, said):
    with pytest.raises(ValueError, match=said):
        shapes(module, inputs, **options)
