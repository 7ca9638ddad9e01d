"""Compares the terms of docs/terms.md with numpy, in float64."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import Pair, terms

BLOCKS = re.findall(
    r"```python\n(.*?)```",
    (Path(__file__).parent.parent / "docs" / "terms.md").read_text(),
    re.DOTALL,
)
METRICS = [
    {"drift"},
    {"l1"},
    {"feature_matching"},
    {"path_length"},
    {"mode_seeking"},
    {"own_information", "information"},
    {"reconstruction"},
    {"zero_centered"},
]
NUM, LATENTS, SHAPE, UNITS, CATEGORIES, CONTINUOUS = 3, 5, (2, 2, 1), 6, 4, 2
KEY = jax.random.key(7)
PIXELS = 4


@pytest.fixture(scope="module")
def page():
    """Returns the names that the page defines, and the GAN of each block."""
    namespace: dict = {}
    gans = []
    for block in BLOCKS:
        exec(block, namespace)
        gans.append(namespace["gan"])
    return namespace, gans


def test_every_term_of_the_page_is_a_metric(page):
    _, gans = page
    assert len(gans) == len(METRICS)
    plain = jnp.zeros((4, 28, 28, 1))
    for gan, names in zip(gans, METRICS, strict=True):
        batch = (plain, plain) if names == {"l1"} else plain
        state = jax.eval_shape(gan.init, KEY, batch)
        _, metrics = jax.eval_shape(gan.update, state, batch)
        assert names <= set(metrics)
        assert all(metrics[name].shape == () for name in names)


def test_every_term_has_at_most_ten_lines():
    for block in BLOCKS[1:]:
        for definition in re.findall(r"^def .*?(?=\n\n\n|\Z)", block, re.DOTALL | re.MULTILINE):
            assert len(definition.strip().splitlines()) <= 10, definition


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


A = numbers(0, LATENTS, PIXELS)  # the generator is tanh(z A)
B = numbers(1, PIXELS, UNITS)  # the discriminator's features are tanh(x B)
C = numbers(2, UNITS)
HEADS = {"category": numbers(3, UNITS, CATEGORIES), "continuous": numbers(4, UNITS, CONTINUOUS)}
E = numbers(5, PIXELS, LATENTS)  # the encoder is x E
IMAGES, CODES = np.tanh(numbers(6, NUM, PIXELS)), numbers(7, NUM, LATENTS)
PARTS = {
    "noise": CODES[:, :2],
    "categories": (np.eye(CATEGORIES)[[1, 3, 0]],),
    "continuous": numbers(8, NUM, CONTINUOUS),
}


def view_of(generator, discriminator, latents=CODES):
    """Returns the view of a step, in float32; a dict of latents has no generator."""
    f32 = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)
    latents, images = f32(latents), f32(IMAGES).reshape(NUM, *SHAPE)
    generate = lambda z: jnp.tanh(z @ generator["A"]).reshape(NUM, *SHAPE)
    features = lambda x: jnp.tanh(x.reshape(NUM, -1) @ discriminator["B"])
    logits = lambda x: features(x) @ f32(C)
    samples = generate(f32(CODES))
    extras = lambda x: {
        "features": [features(x)],
        **{name: features(x) @ f32(head) for name, head in HEADS.items()},
    }
    return terms.View(
        images=images,
        samples=samples,
        latents=latents,
        real_extras=extras(images),
        fake_extras=extras(samples),
        generate=generate,
        critic=terms.Critic(logits, logits),
        params=Pair(generator, discriminator),
        key=KEY,
    )


def made(z, p):
    return np.tanh(z @ p["A"])


def drawn(*shape):
    return np.asarray(jax.random.normal(KEY, shape), np.float64)


def l1(p):
    return 100 * np.mean(np.abs(made(CODES, p) - IMAGES))


def feature_matching(p):
    means = [np.tanh(x @ p["B"]).mean(axis=0) for x in (IMAGES, made(CODES, p))]
    return np.sum((means[0] - means[1]) ** 2)


def path_length(p):
    """The Jacobian's product with noise y is A ((1 - tanh(z A)^2) y)."""
    noise = drawn(NUM, *SHAPE).reshape(NUM, -1) / np.sqrt(PIXELS)
    lengths = np.linalg.norm(((1 - made(CODES, p) ** 2) * noise) @ p["A"].T, axis=1)
    average = 0.99 * 1.5 + 0.01 * lengths.mean()
    return 2 * np.mean((lengths - average) ** 2)


def mode_seeking(p):
    other = drawn(NUM, LATENTS)
    distance = np.abs(made(other, p) - made(CODES, p)).mean()
    return 1 / (distance / np.abs(other - CODES).mean() + 1e-5)


def information(p):
    features = np.tanh(made(CODES, p) @ p["B"])
    scores = features @ HEADS["category"]
    chosen = np.sum(scores * PARTS["categories"][0], axis=1)
    category = chosen - np.log(np.exp(scores).sum(axis=1))
    errors = PARTS["continuous"] - features @ HEADS["continuous"]
    return np.mean(0.5 * np.sum(errors**2, axis=1) - category)


def reconstruction(p):
    return 10 * np.mean(np.abs(made(IMAGES @ p["E"], p) - IMAGES))


def zero_centered(p):
    """The gradient of D(x) is B ((1 - tanh(x B)^2) C)."""
    weights = np.asarray(jax.random.uniform(KEY, (NUM, 1, 1, 1)), np.float64).reshape(NUM, 1)
    between = weights * IMAGES + (1 - weights) * made(CODES, p)
    slopes = ((1 - np.tanh(between @ p["B"]) ** 2) * C) @ p["B"].T
    return 10 * np.mean(np.sum(slopes**2, axis=1))


def differences(function, params, name):
    """Returns central differences with respect to one array."""
    gradient = np.zeros_like(params[name])
    for i in np.ndindex(gradient.shape):
        step = np.zeros_like(gradient)
        step[i] = 1e-6
        above, below = (function(params | {name: params[name] + x}) for x in (step, -step))
        gradient[i] = (above - below) / 2e-6
    return gradient


class Encoder:
    """Replaces the page's autoencoder by x E."""

    def apply(self, variables, images, *, method):
        assert method == "encode"
        return images.reshape(NUM, -1) @ variables["params"]["E"]


@pytest.mark.parametrize(
    ("expected", "names"),
    [
        (l1, "A"),
        (feature_matching, "A"),
        (path_length, "A"),
        (mode_seeking, "A"),
        (information, "AB"),
        (reconstruction, "AE"),
        (zero_centered, "B"),
    ],
    ids=lambda x: x.__name__ if callable(x) else x,
)
def test_term_and_its_gradient_equal_numpy(page, monkeypatch, expected, names):
    namespace, _ = page
    monkeypatch.setitem(namespace, "autoencoder", Encoder())
    term = terms.as_term(namespace[expected.__name__])
    latents = PARTS if expected is information else CODES
    state = jnp.float32(1.5) if expected is path_length else ()

    def value_of(generator, discriminator):
        values, _ = term.apply(state, view_of(generator, discriminator, latents))
        return jnp.mean(values)

    wide = {"A": A, "B": B, "E": E}
    f32 = {name: jnp.asarray(x, jnp.float32) for name, x in wide.items()}
    both = {"A": f32["A"], "E": f32["E"]}, {"B": f32["B"]}
    value, gradients = jax.jit(jax.value_and_grad(value_of, (0, 1)))(*both)
    found = gradients[0] | gradients[1]
    np.testing.assert_allclose(value, expected(wide), rtol=1e-5)
    for name in names:
        gradient = differences(expected, wide, name)
        assert np.abs(gradient).max() > 1e-2
        np.testing.assert_allclose(found[name], gradient, rtol=1e-3, atol=1e-4)


def test_path_length_averages_over_batches(page):
    """With the same batch, the average is (1 - 0.99^2) times the length after two steps."""
    namespace, _ = page
    term, view = namespace["path_length"], view_of({"A": jnp.asarray(A)}, {"B": jnp.asarray(B)})
    _, once = term.apply(term.init(), view)
    _, twice = term.apply(once, view)
    np.testing.assert_allclose(twice / once, (1 - 0.99**2) / 0.01, rtol=1e-5)
