"""Compares InfoGAN's numbers of parameters with its paper."""

import pytest
from network_tools import TRAIN, count, images, latents, shapes

from jaxgan import networks

# Each term is one layer's weights and biases, or a batch normalization's scales and shifts,
# computed by hand from the paper's table.
FIGURES = {
    # Table 1 of InfoGAN: 1024 units, 7 x 7 x 128, 4 x 4 to 64, 4 x 4 to 1
    "InfoGAN generator": (
        networks.InfoGANGenerator(),
        (latents(64),),
        TRAIN,
        65_536 + 2_048 + 6_422_528 + 12_544 + 131_072 + 128 + 1_025,
    ),
    # 4 x 4 to 64, 4 x 4 to 128, 6272 x 1024, 1024 x 1
    "InfoGAN discriminator": (
        networks.InfoGANDiscriminator(),
        (images(28, 1),),
        TRAIN,
        1_088 + 131_072 + 256 + 6_422_528 + 2_048 + 1_025,
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_number_of_parameters_matches_the_paper(name):
    module, inputs, options, expected = FIGURES[name]
    assert count(module, *inputs, **options) == expected


@pytest.mark.parametrize(
    ("module", "inputs", "options", "message"),
    [
        (
            networks.InfoGANGenerator((30, 30, 1)),
            latents(3),
            TRAIN,
            "multiples of 4 .*; got .*30, 30",
        ),
    ],
)
def test_indivisible_sizes_are_rejected(module, inputs, options, message):
    with pytest.raises(ValueError, match=message):
        shapes(module, inputs, **options)
