"""Compares DCGAN's numbers of parameters with its papers, and tests the image sizes."""

import pytest
from network_tools import TRAIN, count, images, latents

from jaxgan import networks
from jaxgan.networks._dcgan import halvings

# Each term is one layer's weights and biases, or a batch normalization's scales and shifts,
# computed by hand from the paper's table.
FIGURES = {
    # Figure 1: 100 x (4 x 4 x 1024), then 5 x 5 to 512, 256, 128 and 3 channels
    "DCGAN generator, 64 pixels": (
        networks.DCGANGenerator((64, 64, 3), features=128),
        (latents(100),),
        TRAIN,
        1_638_400 + 2_048 + 13_107_200 + 1_024 + 3_276_800 + 512 + 819_200 + 256 + 9_603,
    ),
    # the reverse: 5 x 5 from 3 to 64, 128, 256 and 512 channels, then 4 x 4 x 512 to 1
    "DCGAN discriminator, 64 pixels": (
        networks.DCGANDiscriminator(),
        (images(64, 3),),
        TRAIN,
        4_864 + 204_800 + 256 + 819_200 + 512 + 3_276_800 + 1_024 + 8_193,
    ),
    # 100 x (7 x 7 x 128), 5 x 5 to 64, 5 x 5 to 1
    "DCGAN generator, 28 pixels": (
        networks.DCGANGenerator(),
        (latents(100),),
        TRAIN,
        627_200 + 256 + 204_800 + 128 + 1_601,
    ),
    # PacGAN's Stacked MNIST: 2 x 2 x 512, 4 x 4 x 256, 7 x 7 x 128, 14 x 14 x 64, 28 x 28 x 3
    "DCGAN generator, VEEGAN setting": (
        networks.DCGANGenerator((28, 28, 3), stages=4),
        (latents(100),),
        TRAIN,
        204_800 + 1_024 + 3_276_800 + 512 + 819_200 + 256 + 204_800 + 128 + 4_803,
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_number_of_parameters_matches_the_paper(name):
    module, inputs, options, expected = FIGURES[name]
    assert count(module, *inputs, **options) == expected


def test_halvings():
    assert halvings(32, 32, None) == [(32, 32), (16, 16), (8, 8), (4, 4)]
    assert halvings(64, 48, None) == [(64, 48), (32, 24), (16, 12), (8, 6), (4, 3)]
    assert halvings(28, 28, 3) == [(28, 28), (14, 14), (7, 7), (4, 4)]
    with pytest.raises(ValueError, match="27 x 27 with stages=None"):
        halvings(27, 27, None)
