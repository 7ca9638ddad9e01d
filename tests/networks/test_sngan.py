"""Compares SN-GAN with figures of its authors' code, its paper's tables and numpy.

The figures are outputs of their Chainer networks in float64, with the parameters and vectors
`cosines_like`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_tools import (
    LABELS,
    TRAIN,
    cosines_like,
    count,
    images,
    latents,
    network_of,
    shapes,
)

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
        (3_584 + 147_584 + 512) + (2 * 147_584 + 16_512) + 2 * (2 * 147_584) + 128,
    ),
    # ten scales and shifts in each of the six normalizations of the blocks
    "SN-GAN generator, ten classes": (
        networks.SNGANGenerator(num_classes=10),
        (latents(128), LABELS),
        TRAIN,
        528_384 + 3 * (2 * 590_080 + 65_792 + 2 * 5_120) + 512 + 6_915,
    ),
    # counted in the authors' code
    "SN-GAN generator, width 16, five classes": (
        networks.SNGANGenerator(features=16, num_classes=5),
        (latents(24), LABELS),
        TRAIN,
        22_563,
    ),
    # and an embedding of 128 numbers for each class
    "projection discriminator, ten classes": (
        networks.SNGANDiscriminator(num_classes=10),
        (images(32, 3), LABELS),
        TRAIN,
        1_053_824 + 1_280,
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_number_of_parameters_matches_the_paper(name):
    module, inputs, options, expected = FIGURES[name]
    assert count(module, *inputs, **options) == expected


def weight_matrix(kernel):
    return np.float64(kernel).reshape(-1, kernel.shape[-1])


def test_generator_matches_the_authors_code():
    generator = networks.SNGANGenerator((8, 8, 3), 4, 1, num_classes=3)
    x, labels = np.sin(np.arange(20.0)).reshape(4, 5), jnp.array([0, 2, 1, 2])
    variables = cosines_like(shapes(generator, jnp.asarray(x), labels, train=True))
    run = functools.partial(generator.apply, train=True, mutable=["batch_stats"])
    with jax.enable_x64(True):
        y, _ = jax.jit(run)(variables, x, labels)
    corners = [
        [0.564195787803313, -0.5658444858506116, -0.4374689280193651],
        [0.6771508365048713, -0.3901033494862524, -0.20081986340977884],
        [0.5056688564741791, -0.47501740688649696, -0.36044833344051613],
        [0.5511862604861683, -0.3023795199682244, -0.11532297593560382],
    ]
    np.testing.assert_allclose(y[:, 0, 0], corners, rtol=1e-12)
    np.testing.assert_allclose(np.square(y).mean(), 0.3812663977130663, rtol=1e-12)


def test_discriminator_and_its_gradient_match_the_authors_code():
    """Two training passes move the vectors, and the gradient passes through sigma."""
    discriminator = networks.SNGANDiscriminator(4, (True, True), num_classes=3)
    x, labels = np.sin(np.arange(768.0)).reshape(4, 8, 8, 3), jnp.array([0, 2, 1, 2])
    variables = cosines_like(shapes(discriminator, jnp.asarray(x), labels, train=True))
    run = functools.partial(discriminator.apply, mutable=["batch_stats"])

    def total(params):
        real, stats = run({**variables, "params": params}, x, labels, train=True)
        fake, stats = run({"params": params, **stats}, 2.0 * x, labels, train=True)
        return (real - 2.0 * fake).sum(), (real, fake, stats["batch_stats"])

    with jax.enable_x64(True):
        gradient, (*logits, stats) = jax.jit(jax.grad(total, has_aux=True))(variables["params"])
    expected = [
        [-4.879766556294861, -2.6944606984543364, -2.4353171353511325, -2.8125960408826858],
        [-4.704909631762321, -2.722540166285466, -2.7070766014501153, -2.951902890645437],
    ]
    np.testing.assert_allclose(logits, expected, rtol=1e-12)
    first, last = stats["SpectralNorm_0"]["u"], stats["SpectralNorm_7"]["u"]
    expected = [0.8033813737833281, 0.04734082011897917, -0.20121217042993753, -0.558436099727068]
    np.testing.assert_allclose(first, expected, rtol=1e-11)
    expected = [-0.470157725060418, 0.5978351291141626, 0.6492648704195999]
    np.testing.assert_allclose(last, expected, rtol=1e-11)
    norms = [np.square(layer["kernel"]).sum() for layer in gradient.values()]
    expected = [126.45088262336184, 337.40032666217394, 0.04633554567445648, 1.3186998060528834]
    expected += [0.5728360429992727, 390.05997519453604, 53.414650069913485, 213.2070080545587]
    np.testing.assert_allclose(norms, expected, rtol=1e-11)


def test_spectral_norm_divides_by_the_largest_singular_value():
    """After many passes, the vectors match numpy's SVD in every layer."""
    network = network_of(networks.SNGANDiscriminator(features=6, num_classes=3))
    x, labels = images(8, 2), jnp.array([0, 2])
    params, model_state = network.init(jax.random.key(0), x, labels)
    step = jax.jit(lambda s: network.apply(params, s, x, labels, train=True, key=jax.random.key(1)))
    logits, first = step(model_state)
    for _ in range(300):
        logits, model_state = step(model_state)
    # Conv_0 to Conv_9, the head and the classes
    kernels = [params[f"Conv_{i}"]["kernel"] for i in range(10)]
    kernels += [params[name]["kernel"] for name in ("head", "classes")]
    assert len(params) == len(model_state["batch_stats"]) == len(kernels)
    for i, kernel in enumerate(kernels):
        matrix, u = weight_matrix(kernel), model_state["batch_stats"][f"SpectralNorm_{i}"]["u"]
        largest = np.linalg.svd(matrix, compute_uv=False)[0]
        np.testing.assert_allclose(np.linalg.norm(matrix @ u), largest, rtol=1e-4, err_msg=f"{i}")
        # Glorot uniform, with the gain sqrt(2) in residual branches: the kernel is not normalized.
        pixels, channels = np.prod(kernel.shape[:-2]), sum(kernel.shape[-2:])
        bound = np.sqrt((2 if pixels == 9 else 1) * 6 / (pixels * channels))
        fraction = np.abs(kernel).max() / bound
        assert fraction <= 1 + 1e-6
        if pixels == 9:  # at least 108 uniform numbers
            assert fraction > 0.9
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
