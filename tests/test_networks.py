"""Networks against numpy, and the linen adapter."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.networks import MLPDiscriminator, MLPGenerator, as_network, from_linen
from jaxgan.types import Network


def count(params) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


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


def test_generator_is_the_perceptron_of_the_recipe():
    generator, latents = MLPGenerator(), jax.random.normal(jax.random.key(0), (4, 100))
    params = generator.init(jax.random.key(1), latents)["params"]
    # 100 x 128 + 128, 128 x 128 + 128, 128 x 784 + 784
    assert count(params) == 12_928 + 16_512 + 101_136
    params = random_like(params)
    images = generator.apply({"params": params}, latents)
    assert images.shape == (4, 28, 28, 1)
    expected = np.tanh(mlp_in_numpy(params, latents)).reshape(4, 28, 28, 1)
    np.testing.assert_allclose(images, expected, atol=1e-5)


def test_discriminator_is_the_perceptron_of_the_recipe():
    discriminator, images = MLPDiscriminator(), jax.random.normal(jax.random.key(0), (4, 28, 28, 1))
    params = discriminator.init(jax.random.key(1), images)["params"]
    # 784 x 128 + 128, 128 x 128 + 128, 128 + 1
    assert count(params) == 100_480 + 16_512 + 129
    params = random_like(params)
    logits = discriminator.apply({"params": params}, images)
    assert logits.shape == (4,)
    np.testing.assert_allclose(logits, mlp_in_numpy(params, images.reshape(4, -1))[:, 0], atol=1e-4)


class Noisy(nn.Module):
    """Dropout, batch statistics and a random stream with a name of its own."""

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        noise = jax.random.normal(self.make_rng("noise"), x.shape) if train else 0.0
        return nn.Dense(2)(x) if not train else nn.Dense(2)(x + noise)


def test_linen_state_moves_in_training_only():
    network = from_linen(Noisy())
    x = jax.random.normal(jax.random.key(0), (8, 3)) + 5.0
    params, model_state = network.init(jax.random.key(1), x)
    assert list(model_state) == ["batch_stats"]
    assert "batch_stats" not in params
    _, moved = network.apply(params, model_state, x, train=True, key=jax.random.key(2))
    mean = moved["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(mean, 0.01 * x.mean(0), rtol=1e-4)
    _, same = network.apply(params, model_state, x, train=False, key=None)
    assert same is model_state


def test_linen_randomness_is_the_key():
    network = from_linen(Noisy())
    x = jnp.ones((8, 3))
    params, model_state = network.init(jax.random.key(1), x)
    run = lambda seed: network.apply(params, model_state, x, train=True, key=jax.random.key(seed))[
        0
    ]
    np.testing.assert_array_equal(run(2), run(2))
    assert not np.array_equal(run(2), run(3))


def test_as_network_leaves_a_network_alone():
    network = from_linen(nn.Dense(1))
    assert as_network(network) is network
    assert isinstance(as_network(nn.Dense(1)), Network)


@pytest.mark.parametrize(("wrong", "said"), [(None, "NoneType"), (nn.Dense, "the class Dense")])
def test_as_network_refuses_anything_else(wrong, said):
    with pytest.raises(TypeError, match=said):
        as_network(wrong)
