"""Compares SN-GAN with its paper's numbers of parameters and numpy's singular values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_tools import LABELS, TRAIN, count, images, latents, network_of, shapes

from jaxgan import networks

# Each term is one layer's weights and biases, or a batch normalization's scales and shifts,
# computed by hand from the paper's table.
FIGURES = {
    # Table 4: 128 x 4096, three blocks (two 3 x 3, a 1 x 1, two normalizations), 3 x 3 to 3
    "SN-GAN generator": (
        networks.SNGANGenerator(),
        (latents(128),),
        TRAIN,
        528_384 + 3 * (2 * 590_080 + 65_792 + 2 * 512) + 512 + 6_915,
    ),
    # a block from three channels, one that halves, two plain ones, 128 x 1
    "SN-GAN discriminator": (
        networks.SNGANDiscriminator(),
        (images(32, 3),),
        TRAIN,
        (3_584 + 147_584 + 512) + (2 * 147_584 + 16_512) + 2 * (2 * 147_584) + 129,
    ),
    # ten scales and shifts in each of the seven normalizations
    "SN-GAN generator, ten classes": (
        networks.SNGANGenerator(num_classes=10),
        (latents(128), LABELS),
        TRAIN,
        528_384 + 3 * (2 * 590_080 + 65_792 + 2 * 5_120) + 5_120 + 6_915,
    ),
    # and an embedding of 128 numbers for each class
    "projection discriminator, ten classes": (
        networks.SNGANDiscriminator(num_classes=10),
        (images(32, 3), LABELS),
        TRAIN,
        1_053_825 + 1_280,
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_number_of_parameters_matches_the_paper(name):
    module, inputs, options, expected = FIGURES[name]
    assert count(module, *inputs, **options) == expected


def weight_matrix(kernel):
    return np.float64(kernel).reshape(-1, kernel.shape[-1])


def test_spectral_norm_divides_by_the_largest_singular_value():
    """After many passes, the estimate matches numpy's SVD in every layer."""
    network = network_of(networks.SNGANDiscriminator(features=6, num_classes=3))
    x, labels = images(8, 2), jnp.array([0, 2])
    params, model_state = network.init(jax.random.key(0), x, labels)
    step = jax.jit(lambda s: network.apply(params, s, x, labels, train=True, key=jax.random.key(1)))
    logits, first = step(model_state)
    for _ in range(300):
        logits, model_state = step(model_state)
    sigmas = {
        name.rpartition("/")[0]: float(value)
        for group in model_state["batch_stats"].values()
        for name, value in group.items()
        if name.endswith("sigma")
    }
    kernels = {f"{name}/kernel": layer["kernel"] for name, layer in params.items()}
    assert sigmas.keys() == kernels.keys()
    for name, kernel in kernels.items():
        largest = np.linalg.svd(weight_matrix(kernel), compute_uv=False)[0]
        np.testing.assert_allclose(sigmas[name], largest, rtol=1e-4, err_msg=name)
    assert not np.allclose(jax.tree.leaves(first)[0], jax.tree.leaves(model_state)[0], atol=1e-4)

    # A pass outside of training does not update the vectors.
    @jax.jit
    def discriminate(model_state):
        logits, same = network.apply(params, model_state, x, labels, train=False, key=None)
        assert same is model_state
        return logits

    np.testing.assert_allclose(discriminate(model_state), logits, rtol=1e-4)


def test_projection_adds_the_product_with_the_class_embedding():
    """The logits of all classes differ by the products of the normalized embeddings with one h."""
    network = network_of(networks.SNGANDiscriminator(features=6, num_classes=3))
    x = jnp.repeat(images(8, 2, batch=1), 3, axis=0)
    params, model_state = network.init(jax.random.key(0), x, jnp.arange(3))

    @jax.jit
    def run(params):
        return network.apply(params, model_state, x, jnp.arange(3), train=False, key=None)

    logits, _ = run(params)
    without = {**params, "classes": jax.tree.map(jnp.zeros_like, params["classes"])}
    plain, _ = run(without)
    np.testing.assert_allclose(plain, plain[:1].repeat(3), rtol=1e-5)
    doubled = {**params, "classes": jax.tree.map(lambda k: 2.0 * k, params["classes"])}
    np.testing.assert_allclose(run(doubled)[0], logits, rtol=1e-4)  # embeddings are normalized
    assert len(set(np.round(np.asarray(logits - plain), 6).tolist())) == 3


@pytest.mark.parametrize(
    ("module", "inputs", "options", "message"),
    [
        (networks.SNGANGenerator((28, 28, 1)), latents(3), TRAIN, r"multiples of 8 .*28.*Pad"),
        (networks.SNGANDiscriminator(4), images(6, 1), TRAIN, r"multiples of 4 .*; got \(6, 6, 1"),
        (
            networks.SNGANGenerator(num_classes=3),
            latents(3),
            TRAIN,
            "integers with num_classes=3; got None",
        ),
        (
            networks.SNGANDiscriminator(num_classes=3),
            images(8, 1),
            TRAIN,
            "integers with num_classes=3; got",
        ),
    ],
)
def test_sizes_and_missing_labels_are_rejected(module, inputs, options, message):
    with pytest.raises(ValueError, match=message):
        shapes(module, inputs, **options)
