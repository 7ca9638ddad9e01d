"""Every family against its paper's numbers and numpy; the layers they share against references."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import tree_differs

import jaxgan
from jaxgan import networks
from jaxgan.networks._dcgan import halvings
from jaxgan.networks._r3gan import resample

pytestmark = pytest.mark.usefixtures("quick_compilation")

LABELS = jnp.array([0, 2])


def shapes(module, *inputs, **options):
    return jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs, **options))


def count(module, *inputs, **options) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(shapes(module, *inputs, **options)["params"]))


# As one program each: operation by operation, every one of them would be compiled by itself.
def init(module, *inputs, **options):
    return jax.jit(functools.partial(module.init, **options))(jax.random.key(1), *inputs)


def apply(module, variables, *inputs, **options):
    return jax.jit(functools.partial(module.apply, **options))(variables, *inputs)


def network_of(module) -> jaxgan.Network:
    """As a network that makes its parameters in one program, also where `gan.init` is not one."""
    network = networks.from_linen(module)
    return network._replace(init=jax.jit(network.init))


def latents(num: int, batch: int = 2) -> jax.Array:
    return jax.random.normal(jax.random.key(0), (batch, num))


def images(size: int, channels: int, batch: int = 2) -> jax.Array:
    return jax.random.normal(jax.random.key(0), (batch, size, size, channels))


def mlp_in_numpy(params, x):
    layers = [params[f"Dense_{i}"] for i in range(len(params))]
    x = np.asarray(x, np.float64)
    for i, layer in enumerate(layers):
        x = x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)
        x = np.where(x > 0, x, 0.2 * x) if i < len(layers) - 1 else x
    return x


def random_like(params):
    """Biases begin at zero; a test that adds them up should see them."""
    generator = np.random.default_rng(1)
    draw = lambda leaf: jnp.asarray(generator.normal(0, 0.1, leaf.shape), leaf.dtype)
    return jax.tree.map(draw, params)


def test_mlp_generator_is_the_perceptron_of_the_recipe():
    generator = networks.MLPGenerator()
    params = random_like(init(generator, latents(100))["params"])
    expected = np.tanh(mlp_in_numpy(params, latents(100))).reshape(2, 28, 28, 1)
    found = apply(generator, {"params": params}, latents(100))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_mlp_discriminator_is_the_perceptron_of_the_recipe():
    discriminator = networks.MLPDiscriminator()
    params = random_like(init(discriminator, images(28, 1))["params"])
    logits = apply(discriminator, {"params": params}, images(28, 1))
    assert logits.shape == (2,)
    expected = mlp_in_numpy(params, images(28, 1).reshape(2, -1))[:, 0]
    np.testing.assert_allclose(logits, expected, atol=1e-4)


# Each sum is one layer a line, weights and biases (or a batch normalisation's scales and shifts),
# worked out by hand from the paper's table.
TRAIN = {"train": False}
FIGURES = {
    # 100 x 128, 128 x 128, 128 x 784
    "MLP generator": (networks.MLPGenerator(), (latents(100),), {}, 12_928 + 16_512 + 101_136),
    "MLP discriminator": (
        networks.MLPDiscriminator(),
        (images(28, 1),),
        {},
        100_480 + 16_512 + 129,
    ),
    # Figure 1: 100 x (4 x 4 x 1024), then 5 x 5 to 512, 256, 128 and 3 channels
    "DCGAN generator, 64 pixels": (
        networks.DCGANGenerator((64, 64, 3), features=128),
        (latents(100),),
        TRAIN,
        1_638_400 + 2_048 + 13_107_200 + 1_024 + 3_276_800 + 512 + 819_200 + 256 + 9_603,
    ),
    # its mirror image: 5 x 5 from 3 to 64, 128, 256 and 512 channels, then 4 x 4 x 512 to 1
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
    # Table 4: 128 x 4096, three blocks (two 3 x 3, a 1 x 1, two normalisations), 3 x 3 to 3
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
    # ten scales and shifts in each of the seven normalisations
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
    # 2 x 400, three of 400 x 400, four normalisations, 400 x 2
    "PacGAN generator": (
        networks.PacGANGenerator(),
        (latents(2),),
        TRAIN,
        800 + 3 * 160_000 + 4 * 800 + 802,
    ),
    # 2 x 1000, two of 200 x 1000, 200 x 1
    "PacGAN discriminator": (
        networks.PacGANDiscriminator(),
        (latents(2),),
        {},
        3_000 + 2 * 201_000 + 201,
    ),
    # two points at once: 4 x 1000
    "PacGAN2 discriminator": (
        networks.PacGANDiscriminator(),
        (latents(4),),
        {},
        5_000 + 2 * 201_000 + 201,
    ),
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
def test_parameters_are_as_many_as_in_the_paper(name):
    module, inputs, options, expected = FIGURES[name]
    assert count(module, *inputs, **options) == expected


def small_pair(family: str, dtype=None, size: int = 8) -> jaxgan.Pair:
    """A narrow pair of each family, for images of `size` pixels and one channel."""
    shape = (size, size, 1)
    return {
        "mlp": lambda: jaxgan.Pair(
            networks.MLPGenerator(shape, (16,), dtype), networks.MLPDiscriminator((16,), dtype)
        ),
        "dcgan": lambda: jaxgan.Pair(
            networks.DCGANGenerator(shape, 4, dtype=dtype),
            networks.DCGANDiscriminator(4, minibatch_stddev=4, dtype=dtype),
        ),
        "infogan": lambda: jaxgan.Pair(
            networks.InfoGANGenerator(shape, (16, 8, 4), dtype),
            networks.InfoGANDiscriminator((4, 8, 16), dtype),
        ),
        "sngan": lambda: jaxgan.Pair(
            networks.SNGANGenerator(shape, 4, dtype=dtype, blocks=2),
            networks.SNGANDiscriminator(4, dtype=dtype),
        ),
        "conditional sngan": lambda: jaxgan.Pair(
            networks.SNGANGenerator(shape, 4, dtype=dtype, blocks=2, num_classes=3),
            networks.SNGANDiscriminator(4, dtype=dtype, num_classes=3),
        ),
        "r3gan": lambda: jaxgan.Pair(
            networks.R3GANGenerator(shape, (8, 4), 1, group_size=4, dtype=dtype),
            networks.R3GANDiscriminator((4, 8), 1, group_size=4, dtype=dtype),
        ),
        "unrolled": lambda: jaxgan.Pair(
            networks.UnrolledGenerator(shape, (8, 4, 4, 2), dtype),
            networks.UnrolledDiscriminator(dtype=dtype),
        ),
    }[family]()


FAMILIES = ["mlp", "dcgan", "infogan", "sngan", "conditional sngan", "r3gan", "unrolled"]


def small_gan(family: str, dtype=None, size: int = 8, **changes) -> jaxgan.GAN:
    pair = small_pair(family, dtype, size)
    arguments = {
        "generator": network_of(pair.generator),
        "discriminator": network_of(pair.discriminator),
        "loss": jaxgan.losses.non_saturating(),
        "optimizer": jaxgan.Pair(optax.adam(2e-4, b1=0.5), optax.adam(2e-4, b1=0.5)),
        "latents": 6,
        "num_classes": 3 if family.startswith("conditional") else None,
    }
    return jaxgan.gan(**{**arguments, **changes})


def batch_for(family: str) -> list[jax.Array]:
    labels = [jnp.arange(8) % 3] if family.startswith("conditional") else []
    return [jnp.tanh(images(8, 1, batch=8)), *labels]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_plays(family):
    gan, batch = small_gan(family), batch_for(family)
    state = gan.init(jax.random.key(0), *batch)
    after, metrics = jax.jit(gan.update)(state, *batch)
    assert int(metrics["generator_skipped"]) == int(metrics["discriminator_skipped"]) == 0
    for before, now in zip(state.params, after.params, strict=True):
        assert tree_differs(before, now)
    samples = jax.jit(gan.sample)(after, latents(6, batch=8), *batch[1:])
    assert (samples.shape, samples.dtype) == ((8, 8, 8, 1), jnp.float32)


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_is_what_it_computes_in_and_nothing_else(family):
    """Parameters, statistics, logits and images are float32; the convolutions are not."""

    def traced(dtype):
        gan, batch = small_gan(family, dtype), batch_for(family)
        state = jax.eval_shape(gan.init, jax.random.key(0), *batch)
        text, (after, metrics) = jax.make_jaxpr(gan.update, return_shape=True)(state, *batch)
        sample = jax.eval_shape(gan.sample, state, latents(6), *(x[:2] for x in batch[1:]))
        return str(text), (state, after, metrics, sample)

    (plain, expected), (narrow, found) = traced(None), traced(jnp.bfloat16)
    assert jax.tree.map(lambda x: x.dtype, expected) == jax.tree.map(lambda x: x.dtype, found)
    of_type = lambda text, kind: re.findall(rf":{kind}\[[\d,]*\] = conv_general_dilated", text)
    assert "bf16" not in plain
    assert "bf16" in narrow
    assert len(of_type(narrow, "bf16")) == len(of_type(plain, "f32"))
    assert not of_type(narrow, "f32")


def test_a_dense_pair_of_points_plays_packed():
    gan = jaxgan.gan(
        network_of(networks.PacGANGenerator(features=(8, 8), dtype=jnp.bfloat16)),
        network_of(networks.PacGANDiscriminator(features=(8, 8), dtype=jnp.bfloat16)),
        jaxgan.losses.non_saturating(),
        jaxgan.Pair(optax.adam(1e-4), optax.adam(1e-4)),
        latents=2,
        packing=2,
    )
    points = jax.random.normal(jax.random.key(1), (8, 2))
    state = gan.init(jax.random.key(0), points)
    assert state.params.discriminator["Dense_0"]["kernel"].shape == (4, 8 * 5)
    state, metrics = jax.jit(gan.update)(state, points)
    assert int(metrics["generator_skipped"]) == int(metrics["discriminator_skipped"]) == 0
    assert jax.eval_shape(gan.sample, state, latents(2)).dtype == jnp.float32


def test_maxout_is_the_largest_of_its_pieces():
    discriminator = networks.PacGANDiscriminator(features=(3,), pieces=4)
    x = latents(2, batch=5)
    params = random_like(init(discriminator, x)["params"])
    first, last = (jax.tree.map(np.float64, params[f"Dense_{i}"]) for i in range(2))
    pieces = (np.float64(x) @ first["kernel"] + first["bias"]).reshape(5, 3, 4)
    expected = pieces.max(axis=-1) @ last["kernel"] + last["bias"]
    found = apply(discriminator, {"params": params}, x)
    np.testing.assert_allclose(found, expected[:, 0], rtol=1e-5)


@pytest.mark.parametrize("kernel_size", [3, 4, 5])
def test_upconv_is_a_transposed_convolution_gradients_and_all(kernel_size):
    x = images(7, 3)
    ours = networks.UpConv(4, kernel_size)
    theirs = nn.ConvTranspose(4, (kernel_size, kernel_size), strides=(2, 2))
    variables = {"params": random_like(shapes(theirs, x)["params"])}
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, shapes(ours, x))
    weights = jax.random.normal(jax.random.key(2), (2, 14, 14, 4))

    @functools.partial(jax.jit, static_argnums=0)
    @functools.partial(jax.grad, argnums=(1, 2), has_aux=True)
    def gradient(module, variables, x):
        y = module.apply(variables, x)
        return jnp.sum(weights * y), y

    (ours, our_y), (theirs, their_y) = (gradient(m, variables, x) for m in (ours, theirs))
    assert our_y.shape == their_y.shape == (2, 14, 14, 4)
    np.testing.assert_allclose(our_y, their_y, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), ours, theirs)


def test_upconv_refuses_other_kernels():
    with pytest.raises(ValueError, match="kernel_size must be 3, 4 or 5; got 7"):
        shapes(networks.UpConv(4, 7), images(7, 3))


def test_conditional_batch_norm_against_numpy():
    norm = networks.ConditionalBatchNorm(num_classes=3)
    x, labels = images(4, 5, batch=6) * 2.0 + 3.0, jnp.array([0, 1, 2, 2, 1, 0])
    variables = init(norm, x, labels, train=False)
    variables = {**variables, "params": random_like(variables["params"])}
    y, moved = apply(norm, variables, x, labels, train=True, mutable=["batch_stats"])
    wide = np.asarray(x, np.float64)
    mean, var = wide.mean(axis=(0, 1, 2)), wide.var(axis=(0, 1, 2))
    scale, shift = (
        np.float64(variables["params"][k]["embedding"])[labels] for k in ("scale", "shift")
    )
    expected = (wide - mean) / np.sqrt(var + 1e-5) * scale[:, None, None] + shift[:, None, None]
    np.testing.assert_allclose(y, expected, atol=1e-5)
    stats = moved["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(stats["mean"], 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * var, rtol=1e-5)


def test_minibatch_stddev_against_numpy():
    x = images(3, 2, batch=8)
    y = apply(networks.MinibatchStddev(4), {}, x)
    np.testing.assert_array_equal(y[..., :2], x)
    for i in range(8):
        group = np.float64(x)[i % 2 :: 2]
        expected = np.sqrt(group.var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(y[i, ..., 2], expected, rtol=1e-5)
    same = apply(networks.MinibatchStddev(4), {}, jnp.ones((8, 3, 3, 2)))
    np.testing.assert_allclose(same[..., 2], 1e-4, rtol=1e-5)  # the root of 1e-8: no variety at all
    assert apply(networks.MinibatchStddev(4), {}, x[:2]).shape == (2, 3, 3, 3)
    with pytest.raises(ValueError, match="must be a multiple of 4; got 6 images"):
        apply(networks.MinibatchStddev(4), {}, x[:6])


def weight_matrix(kernel):
    return np.float64(kernel).reshape(-1, kernel.shape[-1])


def test_spectral_norm_divides_by_the_largest_singular_value():
    """After many passes the estimate is that of numpy's SVD, in every layer."""
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

    # A pass outside of training uses the vectors and leaves them alone.
    @jax.jit
    def judge(model_state):
        logits, same = network.apply(params, model_state, x, labels, train=False, key=None)
        assert same is model_state
        return logits

    np.testing.assert_allclose(judge(model_state), logits, rtol=1e-4)


def test_projection_adds_the_product_with_the_embedding_of_the_class():
    """The logits of all classes differ by the normalised embeddings' products with one h."""
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
    np.testing.assert_allclose(run(doubled)[0], logits, rtol=1e-4)  # normalised
    assert len(set(np.round(np.asarray(logits - plain), 6).tolist())) == 3


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


def test_halvings():
    assert halvings(32, 32, None) == [(32, 32), (16, 16), (8, 8), (4, 4)]
    assert halvings(64, 48, None) == [(64, 48), (32, 24), (16, 12), (8, 6), (4, 3)]
    assert halvings(28, 28, 3) == [(28, 28), (14, 14), (7, 7), (4, 4)]
    with pytest.raises(ValueError, match="27 x 27 with stages=None"):
        halvings(27, 27, None)


@pytest.mark.parametrize(
    ("module", "inputs", "options", "said"),
    [
        (
            networks.InfoGANGenerator((30, 30, 1)),
            latents(3),
            TRAIN,
            "multiples of 4 .*; got .*30, 30",
        ),
        (networks.SNGANGenerator((28, 28, 1)), latents(3), TRAIN, r"multiples of 8 .*28.*padded"),
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
def test_what_cannot_be_is_refused(module, inputs, options, said):
    with pytest.raises(ValueError, match=said):
        shapes(module, inputs, **options)


def test_a_discriminator_step_normalises_real_and_fake_apart_and_the_generator_step_nothing():
    """The statistics after an update are those of two passes: real, then fake."""
    gan = small_gan("unrolled", optimizer=jaxgan.Pair(optax.set_to_zero(), optax.set_to_zero()))
    real = jnp.tanh(images(8, 1, batch=8))
    state = gan.init(jax.random.key(0), real)
    assert all(jax.tree.leaves(player) for player in state.model_state)
    after, _ = jax.jit(gan.update)(state, real)
    pair = small_pair("unrolled")
    discriminator, generator = (
        networks.from_linen(x) for x in (pair.discriminator, pair.generator)
    )
    keys = jax.random.split(jax.random.fold_in(state.key, state.step), 4)
    z = jax.random.normal(keys[0], (8, 6))
    run = lambda network, player, x, stats: jax.jit(functools.partial(network.apply, train=True))(
        getattr(state.params, player), stats, x, key=keys[1]
    )
    fake, moved = run(generator, "generator", z, state.model_state.generator)
    _, stats = run(discriminator, "discriminator", real, state.model_state.discriminator)
    _, stats = run(discriminator, "discriminator", fake, stats)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, after.model_state.discriminator, stats)
    jax.tree.map(close, after.model_state.generator, moved)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_trains_on_digits(family):
    """200 steps on digits: nothing skipped, and samples nearer to the digits' mean image."""
    digits, labels = jaxgan.datasets.load("mnist", "test", data_dir="embedded")
    digits = np.pad(digits, ((0, 0), (2, 2), (2, 2), (0, 0)))  # 32 pixels, which all can make
    conditional = family.startswith("conditional")
    shape, wide = (32, 32, 1), {"num_classes": 10} if conditional else {}
    pair = {
        "mlp": lambda: (networks.MLPGenerator(shape), networks.MLPDiscriminator()),
        "dcgan": lambda: (
            networks.DCGANGenerator(shape, 16),
            networks.DCGANDiscriminator(16, minibatch_stddev=4),
        ),
        "infogan": lambda: (
            networks.InfoGANGenerator(shape, (256, 32, 16)),
            networks.InfoGANDiscriminator((16, 32, 256)),
        ),
        "sngan": lambda: (
            networks.SNGANGenerator(shape, 16, **wide),
            networks.SNGANDiscriminator(16, **wide),
        ),
        "r3gan": lambda: (
            networks.R3GANGenerator(shape, (32, 32, 16, 16), 1),
            networks.R3GANDiscriminator((16, 16, 32, 32), 1),
        ),
        "unrolled": lambda: (
            networks.UnrolledGenerator(shape),
            networks.UnrolledDiscriminator((4, 8, 16)),
        ),
    }[family.removeprefix("conditional ")]()
    relativistic = {"loss": jaxgan.losses.relativistic()} if family == "r3gan" else {}
    gan = small_gan(
        family,
        generator=pair[0],
        discriminator=pair[1],
        latents=64,
        optimizer=jaxgan.Pair(optax.adam(1e-3, b1=0.5), optax.adam(1e-3, b1=0.5)),
        **{"num_classes": 10} if conditional else {},
        **relativistic,
    )
    chosen = [jnp.asarray(digits[:6400]), *([jnp.asarray(labels[:6400])] if conditional else [])]
    state = gan.init(
        jax.random.key(0), jaxgan.images.normalize(digits[:32]), *(x[:32] for x in chosen[1:])
    )
    z, classes = latents(64, batch=64), [jnp.arange(64) % 10] if conditional else []

    def distance(state) -> float:
        mean = jaxgan.images.normalize(digits).mean(axis=0)
        return float(jnp.abs(gan.sample(state, z, *classes).mean(axis=0) - mean).mean())

    before = distance(state)
    epoch = jax.jit(lambda state: jaxgan.training.epochs(gan, state, *chosen, batch_size=32))
    state, metrics = epoch(state)
    assert int(state.step) == 200
    for player in jaxgan.Pair._fields:
        assert int(metrics[f"{player}_skipped"].sum()) == 0
        assert np.isfinite(metrics[f"{player}_loss"]).all()
    # Three of the families kept 0.5 to 0.65 of the distance when this was written, the others less.
    assert distance(state) < 0.8 * before
