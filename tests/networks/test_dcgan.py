"""Compares DCGAN's numbers of parameters with its papers, and tests the image sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_tools import LABELS, TRAIN, apply, count, images, latents, random_like, shapes

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
    # ten more inputs of the dense layer
    "DCGAN generator, ten classes": (
        networks.DCGANGenerator(num_classes=10),
        (latents(100), LABELS),
        TRAIN,
        833_985 + 10 * 7 * 7 * 128,
    ),
    # 5 x 5 to 64 and 128, 7 x 7 x 128 to 1; and an embedding of 7 x 7 x 128 for each class
    "DCGAN discriminator, ten classes": (
        networks.DCGANDiscriminator(num_classes=10),
        (images(28, 1), LABELS),
        TRAIN,
        1_664 + 204_800 + 256 + 6_273 + 10 * 7 * 7 * 128,
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


def variables_of(module, *inputs):
    """Returns random parameters, and statistics of zero mean and unit variance."""
    variables = shapes(module, *inputs, **TRAIN)
    stats = jax.tree_util.tree_map_with_path(
        lambda path, x: jnp.full(x.shape, float("var" in jax.tree_util.keystr(path))),
        variables["batch_stats"],
    )
    return {"params": random_like(variables["params"]), "batch_stats": stats}


def test_parameters_without_classes_keep_their_names_and_shapes():
    """Checkpoints of networks without classes stay valid."""
    generator = shapes(networks.DCGANGenerator((8, 8, 1), 4), latents(3), **TRAIN)["params"]
    discriminator = shapes(networks.DCGANDiscriminator(4), images(8, 1), **TRAIN)["params"]
    assert jax.tree.map(lambda x: x.shape, generator) == {
        "Dense_0": {"kernel": (3, 64)},
        "BatchNorm_0": {"scale": (4,), "bias": (4,)},
        "UpConv_0": {"kernel": (5, 5, 4, 1), "bias": (1,)},
    }
    assert jax.tree.map(lambda x: x.shape, discriminator) == {
        "Conv_0": {"kernel": (5, 5, 1, 4), "bias": (4,)},
        "Dense_0": {"kernel": (64, 1), "bias": (1,)},
    }


def test_conditional_generator_is_a_generator_of_longer_latents():
    options = {"image_shape": (8, 8, 1), "features": 4}
    conditional = networks.DCGANGenerator(**options, num_classes=3)
    z, one_hot = latents(2), np.float32([[1, 0, 0], [0, 0, 1]])  # labels 0 and 2
    variables = variables_of(conditional, z, LABELS)
    expected = apply(networks.DCGANGenerator(**options), variables, (z, one_hot), **TRAIN)
    found = apply(conditional, variables, z, LABELS, **TRAIN)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_projection_adds_a_logit_whose_weights_are_the_embedding():
    """The product with an embedding is the logit of a plain discriminator with these weights."""
    plain, x = networks.DCGANDiscriminator(4, stages=2), images(8, 1)
    conditional = networks.DCGANDiscriminator(4, stages=2, num_classes=3)
    variables = variables_of(conditional, x, LABELS)
    params = dict(variables["params"])
    embeddings = params.pop("classes")["kernel"]

    def logits(head):
        of_plain = {**variables, "params": {**params, "Dense_0": head}}
        return np.asarray(apply(plain, of_plain, x, **TRAIN))

    expected = logits(params["Dense_0"])
    for i, label in enumerate(LABELS):
        embedding = {"kernel": embeddings[:, label, None], "bias": jnp.zeros(1)}
        expected = expected + np.eye(2)[i] * logits(embedding)
    found = apply(conditional, variables, x, LABELS, **TRAIN)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("module", "x"),
    [(networks.DCGANGenerator, latents(4)), (networks.DCGANDiscriminator, images(28, 1))],
)
def test_labels_are_given_if_and_only_if_there_are_classes(module, x):
    with pytest.raises(ValueError, match=r"labels must be None with num_classes=None; got int32"):
        shapes(module(), x, LABELS, **TRAIN)
    with pytest.raises(ValueError, match="labels must be integers with num_classes=3; got None"):
        shapes(module(num_classes=3), x, **TRAIN)
