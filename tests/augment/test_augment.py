"""Compares augmentations with numpy, and recovers the random draws from the images."""

import collections
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import optax
import pytest

from jaxgan import augment

KEY = jax.random.key(7)
STEP = jnp.int32(0)
FLIP = lambda key, images: -images

EVERY = {
    "translation": augment.translation(0.25),
    "cutout": augment.cutout(0.5),
    "color": augment.color(),
    "diffaugment": augment.diffaugment(),
    "compose": augment.compose(augment.color(), FLIP),
    "with_probability": augment.with_probability(FLIP, 0.5),
    "adaptive": augment.adaptive(FLIP),
    "instance_noise": augment.instance_noise(0.5),
}


def images_like(shape, dtype=jnp.float32) -> jax.Array:
    """Returns images without zeros, so that every zero comes from an augmentation."""
    values = np.random.default_rng(0).uniform(0.1, 1.0, shape)
    return jnp.asarray(values * np.random.default_rng(1).choice([-1, 1], shape), dtype)


@functools.cache
def applied(name: str):
    """Returns jitted `(key, images) -> images`; adaptive augmentations have probability 0.5."""
    init, apply, *_ = augment.as_augmentation(EVERY[name])
    state = jax.tree.map(lambda p: jnp.full_like(p, 0.5), init())
    return jax.jit(lambda key, images: apply(state, key, images, step=STEP))


def shift(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Shifts an image and pads it with zeros."""
    shifted = np.roll(image, (rows, columns), (0, 1))
    shifted[: max(rows, 0)] = 0
    shifted[image.shape[0] + min(rows, 0) :] = 0
    shifted[:, : max(columns, 0)] = 0
    shifted[:, image.shape[1] + min(columns, 0) :] = 0
    return shifted


def find_shift(before: np.ndarray, after: np.ndarray, reach: tuple[int, int]) -> tuple[int, int]:
    """Returns the only shift within `reach` that turns `before` into `after`."""
    shifts = itertools.product(*(range(-r, r + 1) for r in reach))
    found = [by for by in shifts if np.array_equal(shift(before, *by), after)]
    assert len(found) == 1
    return found[0]


def assert_uniform(draws, values) -> None:
    """Checks that each value is drawn equally often, within five standard deviations."""
    counts = collections.Counter(draws)
    assert set(counts) == set(values)
    expected = sum(counts.values()) / len(counts)
    assert max(abs(n - expected) for n in counts.values()) < 5 * math.sqrt(expected)


# Every augmentation.


@pytest.mark.parametrize("name", EVERY)
def test_result_depends_only_on_key_and_images(name):
    images = images_like((16, 8, 8, 3))
    augmented = applied(name)(KEY, images)
    np.testing.assert_array_equal(augmented, applied(name)(KEY, images))
    assert (augmented != applied(name)(jax.random.key(8), images)).any()
    assert (augmented != images).any()


@pytest.mark.parametrize("name", EVERY)
def test_each_image_has_its_own_draw(name):
    same = jnp.tile(images_like((1, 8, 8, 3)), (16, 1, 1, 1))
    augmented = np.asarray(applied(name)(KEY, same))
    assert len(np.unique(augmented.reshape(16, -1), axis=0)) > 1


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", EVERY)
def test_dtype_is_kept_and_does_not_change_the_draw(name, dtype):
    images = images_like((16, 8, 8, 3), dtype)
    augmented = applied(name)(KEY, images)
    assert (augmented.dtype, augmented.shape) == (dtype, images.shape)
    expected = applied(name)(KEY, images.astype(jnp.float32))
    np.testing.assert_allclose(augmented.astype(jnp.float32), expected, atol=0.06)


@pytest.mark.parametrize("name", EVERY)
def test_vmap_equals_a_loop(name):
    keys, images = jax.random.split(KEY, 3), images_like((3, 16, 8, 8, 3))
    expected = [applied(name)(k, x) for k, x in zip(keys, images, strict=True)]
    # About ten roundings of values below 3 add up to 4e-6; another draw differs by at least 1e-2.
    np.testing.assert_allclose(jax.vmap(applied(name))(keys, images), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["translation", "cutout", "color", "adaptive", "instance_noise"])
def test_forward_and_reverse_derivatives_match_finite_differences(name):
    loss = lambda x: jnp.mean(jnp.sin(applied(name)(KEY, x)))
    images = images_like((2, 3, 3, 2))
    jax.test_util.check_grads(loss, (images,), order=1, modes=("fwd", "rev"), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("name", ["compose", "with_probability", "adaptive", "instance_noise"])
@pytest.mark.parametrize("shape", [(8, 2), (8, 2, 2, 2, 2)])
def test_any_rank_of_at_least_two_is_accepted(name, shape):
    init, apply, *_ = augment.as_augmentation(
        augment.compose(FLIP) if name == "compose" else EVERY[name]
    )
    state = jax.tree.map(jnp.ones_like, init())
    augmented = apply(state, KEY, images_like(shape), step=STEP)
    assert augmented.shape == shape
    assert (augmented != images_like(shape)).any()


@pytest.mark.parametrize("name", EVERY)
def test_jit_equals_eager_on_numpy_images(name):
    images = images_like((16, 8, 8, 3))
    eager = applied(name).__wrapped__(KEY, np.asarray(images, np.float64))
    # The tolerance is explained in test_vmap_equals_a_loop.
    np.testing.assert_allclose(eager, applied(name)(KEY, images), atol=1e-5)


# Translation.


@pytest.mark.parametrize(("ratio", "reach"), [(0.125, (1, 3)), (0.25, (2, 5))])  # 0.125 * 20 = 2.5
def test_translation_is_a_uniform_shift_padded_with_zeros(ratio, reach):
    images = images_like((1000, 8, 20, 1))
    shifted = np.asarray(augment.translation(ratio)(KEY, images))
    pairs = zip(np.asarray(images), shifted, strict=True)
    draws = [find_shift(before, after, reach) for before, after in pairs]
    rows, columns = (range(-r, r + 1) for r in reach)
    assert_uniform(draws, itertools.product(rows, columns))


def test_translation_gradient_is_shifted_back():
    images, weights = images_like((16, 8, 8, 2)), np.asarray(images_like((16, 8, 8, 2)))[::-1]
    translate = lambda x: augment.translation(0.25)(KEY, x)
    gradient = jax.grad(lambda x: jnp.sum(weights * translate(x)))(images)
    pairs = zip(np.asarray(images), np.asarray(translate(images)), strict=True)
    for (before, after), weight, g in zip(pairs, weights, gradient, strict=True):
        rows, columns = find_shift(before, after, (2, 2))
        np.testing.assert_array_equal(g, shift(weight, -rows, -columns))


def test_translation_with_ratio_one_can_empty_an_image():
    shifted = augment.translation(1.0)(KEY, jnp.ones((500, 2, 2, 1)))
    kept = np.asarray(shifted.sum(axis=(1, 2, 3)))
    assert set(kept) == {0.0, 1.0, 2.0, 4.0}


@pytest.mark.parametrize("make", [augment.translation, augment.cutout])
def test_ratio_zero_is_the_identity(make):
    images = images_like((8, 5, 6, 3))
    np.testing.assert_array_equal(make(0.0)(KEY, images), images)


# Cutout.


def boxes(size: int, box: int) -> list[tuple[int, ...]]:
    """Returns the covered pixels of one axis, for each possible center of a box."""
    starts = range(-(box // 2), size - box // 2 + (box % 2 == 0))
    return [tuple(i for i in range(start, start + box) if 0 <= i < size) for start in starts]


def test_boxes_match_the_definition():
    assert boxes(3, 2) == [(0,), (0, 1), (1, 2), (2,)]
    assert boxes(3, 3) == [(0, 1), (0, 1, 2), (1, 2)]


@pytest.mark.parametrize(
    ("ratio", "box"), [(0.5, (3, 4)), (0.25, (2, 2)), (1.0, (6, 7)), (0.2, (1, 1))]
)  # 0.5 * 7 and 0.25 * 6 are halves
def test_cutout_is_a_uniform_box_clipped_at_the_borders(ratio, box):
    images = np.asarray(images_like((2000, 6, 7, 2)))
    holed = np.asarray(augment.cutout(ratio)(KEY, images))
    draws = []
    for before, after in zip(images, holed, strict=True):
        rows, columns = (tuple(np.unique(i)) for i in np.nonzero(after[:, :, 0] == 0))
        expected = before.copy()
        expected[np.ix_(rows, columns)] = 0
        np.testing.assert_array_equal(after, expected)
        draws.append((rows, columns))
    places = list(itertools.product(boxes(6, box[0]), boxes(7, box[1])))
    assert len(places) == len(set(places))
    assert_uniform(draws, places)


def test_cutout_gradient_is_its_mask():
    cut = lambda x: augment.cutout(0.5)(KEY, x)
    images = images_like((16, 8, 8, 2))
    gradient = jax.grad(lambda x: jnp.sum(cut(x)))(images)
    np.testing.assert_array_equal(gradient, np.asarray(cut(images)) != 0)
    assert set(np.unique(gradient)) == {0.0, 1.0}


# Color.


def recover_color_draws(
    before: jax.Array, after: jax.Array
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Recovers brightness, saturation and contrast from the images, `[batch]` each.

    Only brightness changes an image's mean. Only contrast scales the spread of its pixel means.
    Contrast times saturation scales the spread of a pixel's channels.
    """
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    pixels = [x.mean(axis=3).reshape(len(x), -1) for x in (before, after)]
    chroma = [
        (x - x.mean(axis=3, keepdims=True)).reshape(len(x), -1)[:, :-1] for x in (before, after)
    ]
    slope = lambda x, y: ((x - x.mean(1, keepdims=True)) * y).sum(1) / len(x[0]) / x.var(1)
    contrast = slope(*pixels)
    brightness = after.mean(axis=(1, 2, 3)) - before.mean(axis=(1, 2, 3))
    return brightness, slope(*chroma) / contrast, contrast


def test_color_matches_its_formula_with_uniform_draws():
    images = images_like((3000, 4, 5, 3))
    after = augment.color()(KEY, images)
    draws = recover_color_draws(images, after)
    x = np.asarray(images, np.float64)
    b, s, c = (d[:, None, None, None] for d in draws)
    x = x + b
    x = x.mean(axis=3, keepdims=True) + s * (x - x.mean(axis=3, keepdims=True))
    x = x.mean(axis=(1, 2, 3), keepdims=True) + c * (x - x.mean(axis=(1, 2, 3), keepdims=True))
    np.testing.assert_allclose(after, x, atol=1e-5)
    for draw, low, high in zip(draws, (-0.5, 0.0, 0.5), (0.5, 2.0, 1.5), strict=True):
        assert low - 1e-4 < draw.min() < low + 0.01
        assert high - 0.01 < draw.max() < high + 1e-4
        assert_uniform(np.floor((draw.clip(low, high - 1e-6) - low) / (high - low) * 10), range(10))
    correlations = np.corrcoef(draws)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 0.1  # the three draws are independent


def test_gray_images_have_no_saturation():
    images = images_like((200, 4, 4, 1))
    after = augment.color()(KEY, images)
    x, y = (np.asarray(a, np.float64).reshape(200, -1) for a in (images, after))
    contrast = y.std(axis=1) / x.std(axis=1)
    assert contrast.min() > 0.5 - 1e-5
    assert contrast.max() < 1.5 + 1e-5
    stretched = y.mean(1, keepdims=True) + contrast[:, None] * (x - x.mean(1, keepdims=True))
    np.testing.assert_allclose(y, stretched, atol=1e-5)


# Functions that combine augmentations.


def test_compose_applies_in_order():
    add, double = lambda key, x: x + 1.0, lambda key, x: 2.0 * x
    zeros = jnp.zeros((2, 3))
    np.testing.assert_array_equal(augment.compose(add, double)(KEY, zeros), zeros + 2.0)
    np.testing.assert_array_equal(augment.compose(double, add)(KEY, zeros), zeros + 1.0)
    np.testing.assert_array_equal(augment.compose()(KEY, zeros + 3.0), zeros + 3.0)


def test_compose_gives_each_augmentation_its_own_key():
    noise = lambda key, x: x + jax.random.normal(key, x.shape)
    less = lambda key, x: x - jax.random.normal(key, x.shape)
    assert (augment.compose(noise, less)(KEY, jnp.zeros((2, 3))) != 0).all()


def test_diffaugment_is_color_then_translation_then_cutout():
    ones = jnp.ones((64, 16, 16, 3))
    augmented = np.asarray(augment.diffaugment()(KEY, ones))
    for image in augmented:
        # Only brightness changes a flat image. Zeros before brightness would not stay 0.
        kept = image[image != 0]
        np.testing.assert_allclose(kept, kept.max(), rtol=1e-6)
        assert 0.5 <= kept.max() <= 1.5
        assert (image == 0).sum() >= 4 * 4 * 3  # a box of 8 x 8, a quarter of it in a corner
    emptied = (augmented[:, 0, :, 0] == 0).all(axis=1)
    assert 0.2 < emptied.mean() < 0.6  # a shift downwards: 2 of 5


@pytest.mark.parametrize("probability", [0, 0.0, jnp.float32(0.0), np.float32(0.0)])
def test_probability_zero_is_the_identity(probability):
    images = images_like((64, 2))
    never = augment.with_probability(FLIP, probability)
    np.testing.assert_array_equal(never(KEY, images), images)


@pytest.mark.parametrize("probability", [1, 1.0, jnp.float32(1.0), jnp.bfloat16(1.0)])
def test_probability_one_is_the_augmentation(probability):
    images = images_like((64, 2))
    always = augment.with_probability(FLIP, probability)
    np.testing.assert_array_equal(always(KEY, images), -images)


def test_probability_is_the_fraction_of_augmented_images():
    images = images_like((10_000, 3))
    flipped = np.asarray(augment.with_probability(FLIP, 0.3)(KEY, images)) != images
    np.testing.assert_array_equal(flipped.all(axis=1), flipped.any(axis=1))
    assert abs(flipped.any(axis=1).mean() - 0.3) < 0.02


def test_probability_can_be_traced():
    images = images_like((4000, 1))
    share = jax.jit(
        jax.vmap(
            lambda p: jnp.mean(
                (augment.with_probability(FLIP, p)(KEY, images) != images).astype(jnp.float32)
            )
        )
    )
    np.testing.assert_allclose(share(jnp.array([0.0, 0.2, 0.9, 1.0])), [0, 0.2, 0.9, 1], atol=0.03)


def test_choice_of_images_is_independent_of_the_draw():
    uniform = lambda key, x: jax.random.uniform(key, x.shape[:1])[:, None]
    after = augment.with_probability(uniform, 0.5)(KEY, jnp.full((10_000, 1), -1.0))
    assert abs(float(after[after >= 0].mean()) - 0.5) < 0.02


# ADA's controller.


def adapted(logits, probability=0.5, **changes) -> float:
    adapt = augment.adaptive(FLIP, **{"images_to_full": 100, **changes}).adapt
    state = adapt({"probability": jnp.float32(probability)}, jnp.array(logits))
    assert state["probability"].dtype == jnp.float32
    return float(state["probability"])


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([0.1, 9.0, 3.0, 2.0], 0.54),  # r_t = 1
        ([0.1, 9.0, 3.0, -2.0], 0.46),  # r_t = 0.5 < 0.6
        ([0.1, 9.0, 3.0, 0.0], 0.54),  # r_t = 0.75: the sign of logit 0 is 0
        ([-1.0, -99.0, -0.1], 0.47),  # r_t = -1, and three images
    ],
)
def test_adaptive_moves_towards_the_target(logits, expected):
    assert adapted(logits) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("target", [-0.2, 0.6, np.float32(0.6)])
def test_adaptive_stays_on_target_at_every_batch_size(target, compiled):
    """The probability stays when r_t equals the target, however XLA rounds the mean."""
    adapt = augment.adaptive(FLIP, target=target, images_to_full=1000).adapt
    # Compile as users do, so that XLA optimizes the mean.
    options = {"xla_disable_hlo_passes": "", "xla_backend_optimization_level": 3}
    adapt = jax.jit(adapt, compiler_options=options) if compiled else adapt
    state = {"probability": jnp.float32(0.5)}
    for size in (5, 10, 50, 100, 500, 5000):
        positive = jnp.arange(size) < round(size * (1 + float(target)) / 2)
        logits = jnp.where(positive, 1.0, -1.0)
        assert adapt(state, logits)["probability"] == 0.5, size
        below = adapt(state, logits.at[0].set(0.0))["probability"]
        assert below == pytest.approx(max(0.5 - size / 1000, 0.0), abs=1e-6)


def test_adaptive_follows_the_given_target():
    assert adapted([1.0, 1.0, 1.0, -1.0], target=0.5) == 0.5
    assert adapted([1.0, 1.0, 1.0, -1.0], target=0.4) == pytest.approx(0.54)
    assert adapted([1.0, 1.0, 1.0, -1.0], target=0.4, images_to_full=8) == 1.0


def test_adaptive_counts_the_mean_sign_of_several_logits():
    """Two images with mean signs 1 and 1/3 have the mean 2/3, and each counts once."""
    logits = [[1.0, 2.0, 3.0], [9.0, -1.0, 0.5]]
    assert adapted(logits, target=0.6) == pytest.approx(0.52)
    assert adapted(logits, target=0.7) == pytest.approx(0.48)


def test_adaptive_default_speed_is_that_of_the_paper():
    adapt = augment.adaptive(FLIP).adapt
    state = adapt({"probability": jnp.float32(0.0)}, jnp.ones(64, jnp.bfloat16))
    assert float(state["probability"]) == pytest.approx(64 / 500_000)


def test_adaptive_stays_between_zero_and_one_under_scan():
    init, _, adapt, _ = augment.adaptive(FLIP, images_to_full=20)

    def step(state, logits):
        state = adapt(state, logits)
        return state, state["probability"]

    sure = jnp.where(jnp.arange(15)[:, None] < 7, 1.0, -1.0) * jnp.ones((15, 4))
    _, probabilities = jax.jit(lambda: jax.lax.scan(step, init(), sure))()
    expected = [0.2, 0.4, 0.6, 0.8, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0, 0, 0, 0]
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_adaptive_augments_with_the_probability_of_its_state(probability):
    images = images_like((5000, 1))
    apply = augment.adaptive(FLIP).apply
    state = {"probability": jnp.float32(probability)}
    share = np.mean(np.asarray(apply(state, KEY, images, step=STEP)) != images)
    assert abs(share - probability) < (0.03 if probability == 0.3 else 1e-9)


def test_adaptive_starts_as_the_identity():
    init, apply, *_ = augment.adaptive(FLIP)
    images = images_like((64, 1))
    np.testing.assert_array_equal(apply(init(), KEY, images, step=STEP), images)


# Instance noise.


@pytest.mark.parametrize("std", [0.3, jnp.float32(0.3), 2])
def test_instance_noise_is_gaussian(std):
    images = images_like((500, 10, 10, 1))
    noise = np.asarray(augment.instance_noise(std).apply((), KEY, images, step=STEP)) - images
    normal = noise / float(std)
    assert abs(normal.mean()) < 0.02
    assert abs(normal.std() - 1) < 0.02
    assert abs((np.abs(normal) < 1).mean() - 0.6827) < 0.01


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (optax.linear_schedule(0.4, 0.0, 1000), [0.4, 0.3, 0.0]),
        (optax.cosine_decay_schedule(0.4, 1000), [0.4, 0.2 * (1 + math.sqrt(0.5)), 0.0]),
        (optax.exponential_decay(0.4, 1000, 0.5), [0.4, 0.4 * 0.5**0.25, 0.2]),
        (optax.piecewise_constant_schedule(0.4, {249: 0.5}), [0.4, 0.2, 0.2]),
        (optax.constant_schedule(0.4), [0.4, 0.4, 0.4]),
        (lambda step: jnp.where(step < 250, 0.4, 0.0), [0.4, 0.0, 0.0]),
    ],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_instance_noise_follows_its_schedule(schedule, expected, dtype):
    zeros = jnp.zeros((64, 4), dtype)
    apply = jax.jit(augment.instance_noise(schedule).apply)
    unit = augment.instance_noise(1.0).apply((), KEY, zeros, step=STEP)
    for step, std in zip([0, 250, 1000], expected, strict=True):
        noise = apply((), KEY, zeros, step=jnp.int32(step))
        wanted = std * np.asarray(unit, np.float32)
        np.testing.assert_allclose(noise.astype(jnp.float32), wanted, rtol=0.02, atol=1e-6)


def test_instance_noise_with_std_zero_is_the_identity():
    images = images_like((8, 4))
    noise = augment.instance_noise(0.0)
    np.testing.assert_array_equal(noise.apply((), KEY, images, step=STEP), images)


# Augmentations and plain functions.


def test_pack_joins_adjacent_images_along_channels():
    images = np.arange(4 * 2 * 2 * 3, dtype=np.float32).reshape(4, 2, 2, 3)
    packing = augment.pack(2)
    packed = packing.apply(packing.init(), KEY, jnp.asarray(images), step=STEP)
    assert packing.packing == 2
    assert packed.shape == (2, 2, 2, 6)
    np.testing.assert_array_equal(packed[1], np.concatenate([images[2], images[3]], -1))


def test_pack_augments_each_image_before_it_joins_them():
    adaptive = augment.adaptive(augment.color(), images_to_full=10)
    packing, images = augment.pack(2, adaptive), images_like((4, 3))
    assert packing.adapt(packing.init(), jnp.ones(4))["probability"] == jnp.float32(0.4)
    plain = augment.pack(2, lambda key, x: -x)
    packed = plain.apply((), KEY, images, step=STEP)
    np.testing.assert_array_equal(packed, -np.asarray(images).reshape(2, 6))


def test_pack_of_packs_is_rejected():
    with pytest.raises(ValueError, match=r"without packing; got pack\(2\). Pass the product"):
        augment.pack(3, augment.pack(2))


def test_as_augmentation_returns_an_augmentation_unchanged():
    noise = augment.instance_noise(0.1)
    assert augment.as_augmentation(noise) is noise


def test_as_augmentation_wraps_a_plain_function():
    plain = augment.color()
    init, apply, adapt, packing = augment.as_augmentation(plain)
    images = images_like((4, 3, 3, 3))
    np.testing.assert_array_equal(apply(init(), KEY, images, step=STEP), plain(KEY, images))
    assert init() == adapt(init(), jnp.ones(4)) == ()
    assert packing == 1


@pytest.mark.parametrize(
    "make",
    [
        augment.as_augmentation,
        augment.compose,
        augment.adaptive,
        lambda x: augment.with_probability(x, 0.5),
    ],
)
@pytest.mark.parametrize("wrong", ["color", None, augment.Augmentation, (FLIP,)])
def test_non_functions_are_rejected(make, wrong):
    with pytest.raises(TypeError, match=r"a function \(key, images\) -> images; got"):
        make(wrong)


@pytest.mark.parametrize("make", [augment.compose, augment.adaptive])
def test_augmentation_is_rejected_as_a_plain_function(make):
    with pytest.raises(TypeError, match=r"a function \(key, images\) -> images; got Augmentation"):
        make(augment.instance_noise(0.1))


# Bad input.


@pytest.mark.parametrize("name", EVERY)
def test_integer_images_are_rejected(name):
    with pytest.raises(
        TypeError, match=r"images must be float .*; got uint8 of shape \(2, 4, 4, 3\)"
    ):
        applied(name)(KEY, jnp.zeros((2, 4, 4, 3), jnp.uint8))


@pytest.mark.parametrize("name", ["translation", "cutout", "color", "diffaugment"])
@pytest.mark.parametrize("shape", [(4, 4, 3), (1, 2, 4, 4, 3)])
def test_images_of_wrong_rank_are_rejected(name, shape):
    with pytest.raises(ValueError, match=r"\[batch, height, width, channels\]; got shape") as error:
        applied(name)(KEY, jnp.zeros(shape))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize("name", ["compose", "with_probability", "adaptive", "instance_noise"])
@pytest.mark.parametrize("shape", [(), (4,)])
def test_images_without_pixels_are_rejected(name, shape):
    with pytest.raises(ValueError, match=r"\[batch, ...\]; got shape") as error:
        applied(name)(KEY, jnp.zeros(shape))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (augment.translation, "ratio"),
        (augment.cutout, "ratio"),
        (lambda p: augment.with_probability(FLIP, p), "probability"),
        (lambda target: augment.adaptive(FLIP, target=2 * target - 1), "target"),
    ],
)
@pytest.mark.parametrize("value", [-0.1, 1.1, 2, math.nan])
def test_out_of_range_numbers_are_rejected(make, name, value):
    with pytest.raises(ValueError, match=rf"{name} must be in \[-?[01].0, 1.0\]; got"):
        make(value)


@pytest.mark.parametrize("value", [-1e-9, -1, math.nan])
def test_negative_std_is_rejected(value):
    with pytest.raises(ValueError, match=r"std must be at least 0.0; got"):
        augment.instance_noise(value)


@pytest.mark.parametrize("value", [0, -5, math.nan])
def test_images_to_full_below_one_is_rejected(value):
    with pytest.raises(ValueError, match=r"images_to_full must be at least 1; got"):
        augment.adaptive(FLIP, images_to_full=value)


@pytest.mark.parametrize("value", [jnp.zeros(2), "much", None])
def test_non_scalars_are_rejected(value):
    with pytest.raises((TypeError, ValueError), match=r"probability must be a number.*; got"):
        augment.with_probability(FLIP, value)
    with pytest.raises((TypeError, ValueError), match=r"std must be a number.*; got"):
        augment.instance_noise(value)


def test_non_scalar_schedule_is_rejected():
    noise = augment.instance_noise(lambda step: jnp.ones(3))
    with pytest.raises(ValueError, match="std must be a number or a scalar array; got"):
        jax.jit(noise.apply)((), KEY, jnp.zeros((3, 3)), step=STEP)


@pytest.mark.parametrize("shape", [(), (0,), (4, 0)])
def test_logits_of_wrong_shape_are_rejected(shape):
    init, _, adapt, _ = augment.adaptive(FLIP)
    with pytest.raises(
        ValueError, match=r"real_logits must be float \[batch\] or \[batch, ...\].*; got shape"
    ):
        jax.jit(adapt)(init(), jnp.zeros(shape))


@pytest.mark.parametrize(
    "changes",
    [lambda key, x: x[:, :1], lambda key, x: x.astype(jnp.bfloat16), lambda key, x: None],
)
def test_augmentation_that_changes_shape_or_dtype_is_rejected(changes):
    with pytest.raises(ValueError, match=r"An augmentation's result must be float32 of .*; got"):
        jax.jit(augment.with_probability(changes, 0.5))(KEY, jnp.zeros((2, 3)))
