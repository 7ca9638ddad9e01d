"""Compares Unrolled GAN's numbers of parameters with its paper."""

import pytest
from network_tools import TRAIN, count, images, latents

from jaxgan import networks

# Each term is one layer's weights and biases, or a batch normalization's scales and shifts,
# computed by hand from the paper's table.
FIGURES = {
    # 256 x (4 x 4 x 64), 3 x 3 to 32, 16, 8 and 3 channels
    "unrolled setting, generator": (
        networks.UnrolledGenerator(),
        (latents(256),),
        TRAIN,
        262_144 + 128 + 18_432 + 64 + 4_608 + 32 + 1_152 + 16 + 219,
    ),
    # 3 x 3 to 2, 4 and 8 channels, 4 x 4 x 8 to 1
    "unrolled setting, D = G/4": (
        networks.UnrolledDiscriminator(),
        (images(28, 3),),
        TRAIN,
        54 + 4 + 72 + 8 + 288 + 16 + 129,
    ),
    "unrolled setting, D = G/2": (
        networks.UnrolledDiscriminator((4, 8, 16)),
        (images(28, 3),),
        TRAIN,
        108 + 8 + 288 + 16 + 1_152 + 32 + 257,
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_number_of_parameters_matches_the_paper(name):
    module, inputs, options, expected = FIGURES[name]
    assert count(module, *inputs, **options) == expected
