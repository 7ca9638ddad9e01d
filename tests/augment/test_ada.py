"""Compares ADA's transforms with the authors' code, scipy, numpy and values computed by hand."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.special

from jaxgan import augment
from jaxgan.augment import _ada, _ada_geometry, _ada_pixels

KEY = jax.random.key(3)
ALL = dict.fromkeys(("blit", "geometry", "color", "filtering", "corruption"), True)
SHAPE = (32, 24, 3)


def wave(height: int, width: int, channels: int) -> np.ndarray:
    """Returns an image with low and high frequencies in all directions."""
    i, j, k = np.indices((height, width, channels))
    return np.sin(0.9 * i + 0.3 * k) * np.cos(0.7 * j - 0.5 * k) + 0.2 * np.sin(i * j + k)


IMAGE = jnp.asarray(wave(*SHAPE), jnp.float32)


@functools.cache
def compiled():
    apply = lambda image, draws, noise: _ada.transform(image, draws, noise, ALL)
    return jax.jit(jax.vmap(apply, (None, 0, None)))


def transform(draws: np.ndarray, noise: np.ndarray | None = None) -> np.ndarray:
    """Applies each row of draws to `IMAGE`, with one compiled program for all tests."""
    padded = np.zeros((len(OFFICIAL), 19, 2), np.float32)
    padded[: len(draws)] = draws
    noise = jnp.zeros(SHAPE) if noise is None else noise
    return np.asarray(compiled()(IMAGE, padded, noise)[: len(draws)], np.float64)


@functools.cache
def augmented():
    """Returns jitted `(keys, images, probabilities) -> images`, with all categories active."""
    apply = lambda key, images, p: augment.ada(p, filtering=True, corruption=True)(key, images)
    return jax.jit(jax.vmap(apply, (0, None, 0)))


# The authors' code (NVlabs/stylegan2-ada-pytorch, training/augment.py), in which all random draws
# are a given percentile: the mean, the standard deviation and three pixels of the result.
OFFICIAL = {
    ("blit", 0.3): (0.004895, 0.518265, -0.505635, 0.780606, 0.937690),
    ("blit", 0.6): (0.010801, 0.526307, -0.755607, 0.707580, 0.820287),
    ("blit", 0.9): (0.006086, 0.515215, 0.226750, 1.032841, 0.541533),
    ("geom", 0.3): (-0.002328, 0.499013, -0.140775, -0.138717, 0.269754),
    ("geom", 0.6): (0.018115, 0.497915, -0.014948, -0.895823, -0.297778),
    ("geom", 0.9): (-0.006332, 0.499330, -0.608746, 0.471319, 0.442690),
    ("color", 0.3): (-0.058455, 0.439708, -1.039024, 0.064200, 0.133784),
    ("color", 0.6): (-0.046307, 0.570575, 0.984021, -0.051663, -0.166607),
    ("color", 0.9): (-0.258639, 0.876521, 1.582615, -0.654414, -0.674504),
    ("filter", 0.3): (0.007316, 0.496182, -0.971027, 0.221795, 0.362652),
    ("filter", 0.6): (0.007597, 0.515236, -1.008314, 0.230312, 0.376578),
    ("filter", 0.9): (0.005421, 0.367699, -0.719586, 0.164362, 0.268746),
    ("cutout", 0.3): (0.008437, 0.457556, -0.000000, 0.233157, 0.381230),
    ("cutout", 0.6): (0.013771, 0.444837, -1.020770, 0.233157, 0.381230),
    ("cutout", 0.9): (0.007354, 0.492609, -1.020770, 0.233157, 0.000000),
    ("bgcf", 0.3): (-0.057637, 0.400306, -0.001206, -0.355311, 0.234124),
    ("bgcf", 0.6): (-0.057110, 0.540716, 0.274211, 0.210448, -1.031635),
    ("bgcf", 0.9): (-0.188904, 0.595922, 1.211489, -0.315231, -0.367589),
    ("band 0", 0.9): (0.007557, 0.197832, -0.425992, 0.088055, 0.231467),
    ("band 1", 0.9): (0.007303, 0.849459, -1.438915, 0.344711, 0.727295),
    ("band 2", 0.9): (0.006774, 0.819686, -1.510859, 0.388316, 0.283546),
    ("band 3", 0.9): (0.007496, 0.541565, -1.123018, 0.238491, 0.330658),
}


def official_draws(name: str, percentile: float) -> np.ndarray:
    """Returns the draws that the authors' code makes at a percentile, `[19, 2]`."""
    uniform = 2 * np.float32(percentile) - 1
    # The authors' normal percentiles omit a factor of the square root of 2.
    normal = scipy.special.erf(scipy.special.erfinv(uniform) / math.sqrt(2))
    integer = percentile
    blit = [integer, integer, uniform]
    geometry = [normal, uniform, normal, 0, normal]  # the second rotation is 0
    color = [normal, normal, integer, uniform, normal]
    rows = {"blit": slice(0, 3), "geom": slice(3, 8), "color": slice(8, 13)}
    rows |= {"filter": slice(13, 17), "cutout": slice(18, 19), "bgcf": slice(0, 17)}
    rows |= {f"band {i}": slice(13 + i, 14 + i) for i in range(4)}
    draws = np.zeros((19, 2), np.float32)
    values = np.array([*blit, *geometry, *color, *[normal] * 4, 0, uniform])[:, None]
    draws[rows[name]] = values[rows[name]]
    return draws


def test_transforms_match_the_authors_code():
    draws = np.stack([official_draws(*case) for case in OFFICIAL])
    results = transform(draws)
    for (name, percentile), expected, y in zip(OFFICIAL, OFFICIAL.values(), results, strict=True):
        found = (y.mean(), y.std(), y[2, 5, 0], y[20, 7, 1], y[30, 20, 2])
        # Positions have rounding errors of 1e-6 pixels, and differences of pixels are below 3.
        np.testing.assert_allclose(found, expected, atol=2e-5, err_msg=f"{name} {percentile}")


@pytest.mark.parametrize(
    ("percentile", "expected"),
    [
        (0.3, (-0.066424, 0.456823, -0.962886, -0.015989, 0.057555)),
        (0.6, (-0.036664, 0.552744, 1.048031, -0.097689, -0.186675)),
        (0.9, (-0.246234, 0.711141, 1.149298, -0.324746, -0.439232)),
    ],
)
def test_colors_of_gray_images_match_the_authors_code(percentile, expected):
    draws = official_draws("color", percentile)[8:13]
    y = np.asarray(_ada._recolor(jnp.asarray(wave(32, 24, 1), jnp.float32), jnp.asarray(draws)))
    found = (y.mean(), y.std(), y[2, 5, 0], y[20, 7, 0], y[30, 20, 0])
    np.testing.assert_allclose(found, expected, atol=1e-5)


# Geometry.


def coordinates(size: int) -> np.ndarray:
    """Returns the coordinates (x, y, 1) of each pixel from the center, `[size, size, 3]`."""
    axis = np.arange(size) - (size - 1) / 2
    return np.stack([*np.meshgrid(axis, axis), np.ones((size, size))], axis=-1)


@pytest.mark.parametrize("flip", [0, 1])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_blit_flips_then_turns_then_shifts(flip, turns):
    inverse = _ada_geometry.blit_inverse(*map(jnp.float32, (flip, turns)), jnp.array([2.0, -1.0]))
    found = coordinates(5) @ np.asarray(inverse).T
    flipped = coordinates(5)[:, ::-1] if flip else coordinates(5)
    expected = np.roll(np.rot90(flipped, turns), (-1, 2), (0, 1))
    np.testing.assert_allclose(found[:-1, 2:], expected[:-1, 2:], atol=1e-6)


def test_geometry_inverse_undoes_the_transforms_in_reverse():
    scale, before, stretch, after, shift = 1.5, 0.4, 0.8, -1.1, np.array([3.0, -2.0])
    # y points down, so counterclockwise on the screen is clockwise in these coordinates.
    turn = lambda a: np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    forward = turn(after) @ np.diag([stretch, 1 / stretch]) @ turn(before) * scale
    arguments = map(jnp.float32, (scale, before, stretch, after))
    inverse = np.asarray(
        _ada_geometry.geometry_inverse(*arguments, jnp.asarray(shift, jnp.float32))
    )
    points = np.random.default_rng(0).normal(size=(10, 2))
    found = np.c_[points @ forward.T + shift, np.ones(10)] @ inverse.T
    np.testing.assert_allclose(found, np.c_[points, np.ones(10)], atol=1e-5)


@functools.cache
def warp():
    return jax.jit(_ada_geometry.warp)


def test_warp_matches_scipy_on_a_smooth_image():
    i, j = np.indices((28, 36))
    image = np.cos(2 * np.pi * i / 27) * np.cos(3 * np.pi * j / 35) + 0.5 * np.cos(np.pi * i / 27)
    inverse = np.array([[0.9, -0.5, 2.3], [0.6, 1.1, -1.7], [0, 0, 1]])
    rows_first = inverse[:2, :2][::-1, ::-1]
    center = np.array([27, 35]) / 2
    offset = center + inverse[1::-1, 2] - rows_first @ center
    expected = scipy.ndimage.affine_transform(image, rows_first, offset, order=5, mode="mirror")
    warped = warp()(jnp.asarray(image[..., None], jnp.float32), jnp.asarray(inverse, jnp.float32))
    # The second derivatives are below (2 pi / 27)^2 + (pi / 27)^2 / 2 + (3 pi / 35)^2 = 0.13. The
    # error of interpolation between half pixels is therefore below 0.13 (1/2)^2 / 8 = 0.004. The
    # filters are asymmetric, which moves some points by a few hundredths of a pixel. Neighbors
    # differ by up to 0.27.
    np.testing.assert_allclose(warped[..., 0], expected, atol=0.015)


@pytest.mark.parametrize("shift", [(3, -2), (40, 25)])
def test_warp_shifts_by_whole_pixels_and_reflects_any_number_of_times(shift):
    image = wave(9, 6, 2)
    inverse = jnp.eye(3).at[:2, 2].set(jnp.array(shift, jnp.float32))
    padded = np.pad(image, [(50, 50), (50, 50), (0, 0)], mode="reflect")
    expected = padded[50 + shift[1] :, 50 + shift[0] :][:9, :6]
    warped = warp()(jnp.asarray(image, jnp.float32), inverse)
    np.testing.assert_allclose(warped, expected, atol=2e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 1)])
def test_warp_keeps_images_with_equal_pixels(shape):
    inverse = jnp.array([[0.7, -0.4, 9.1], [0.3, 1.2, -5.3], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(
        warp()(jnp.full(shape, 0.5), inverse), np.full(shape, 0.5), atol=1e-6
    )


def test_shrinking_by_two_removes_the_frequencies_that_would_alias():
    i, j = np.indices((32, 32))
    checkerboard = jnp.asarray((-1.0) ** (i + j)[..., None], jnp.float32)
    shrunk = warp()(checkerboard, jnp.diag(jnp.array([2.0, 2.0, 1.0])))
    assert np.abs(shrunk).max() < 0.1  # every second pixel alone would be 1 everywhere


# Colors.

NEUTRAL = {"brightness": 0, "contrast": 1, "flip": 0, "hue": 0, "saturation": 1}


def recolor(image: np.ndarray, **changes: float) -> np.ndarray:
    arguments = {name: jnp.float32(value) for name, value in (NEUTRAL | changes).items()}
    return np.asarray(_ada_pixels.recolor(jnp.asarray(image, jnp.float32), **arguments))


COLORS = wave(4, 5, 3)
MEAN = COLORS.mean(axis=2, keepdims=True) * np.ones(3)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"brightness": 0.3, "contrast": 2}, 2 * (COLORS + 0.3)),
        ({"flip": 1}, COLORS - 2 * MEAN),
        ({"hue": 2 * np.pi / 3}, np.roll(COLORS, 1, axis=2)),  # red becomes green
        ({"hue": np.pi}, 2 * MEAN - COLORS),
        ({"saturation": 0}, MEAN),
        ({"saturation": 3, "flip": 1}, 3 * (COLORS - MEAN) - MEAN),
    ],
)
def test_recolor_matches_hand_worked_formulas(changes, expected):
    np.testing.assert_allclose(recolor(COLORS, **changes), expected, atol=1e-5)


def test_luma_flip_twice_is_the_identity_and_hue_keeps_luma():
    np.testing.assert_allclose(recolor(recolor(COLORS, flip=1), flip=1), COLORS, atol=1e-5)
    turned = recolor(COLORS, hue=1.0)
    np.testing.assert_allclose(turned.mean(axis=2), COLORS.mean(axis=2), atol=1e-6)
    np.testing.assert_allclose((turned**2).sum(axis=2), (COLORS**2).sum(axis=2), atol=1e-5)


# Filters, noise and cutout.


def test_bands_add_up_to_the_identity():
    bank = _ada_pixels._filter_bank()
    assert bank.shape == (4, 43)
    np.testing.assert_allclose(bank.sum(axis=0), np.arange(43) == 21, atol=1e-8)
    response = np.abs(np.fft.rfft(bank, 512))
    # The bands meet at 1/8, 1/4 and 1/2 of the highest frequency, 256.
    frequencies = [0, 24, 40, 56, 72, 120, 136, 256]
    assert response.argmax(axis=0)[frequencies].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(("band", "power"), [(0, 10 / 13), (3, 1 / 13)])
def test_amplification_keeps_the_expected_power(band, power):
    i, j = np.indices((8, 8))
    flat_or_checkerboard = {0: np.ones((8, 8)), 3: (-1.0) ** (i + j)}[band]
    image = jnp.asarray(flat_or_checkerboard[..., None], jnp.float32)
    factors = jnp.ones(4).at[band].set(3.0)
    gain = 3 / math.sqrt(9 * power + 1 - power)  # along each axis
    amplified = _ada_pixels.amplify_bands(image, factors)
    np.testing.assert_allclose(amplified, gain**2 * image, rtol=1e-5)


def test_noise_has_a_half_normal_standard_deviation():
    # The rows: no noise, and the 84.1st and 15.9th percentile, 1 and -1, of a normal number.
    draws = np.zeros((3, 19, 2), np.float32)
    draws[1:, 17] = [[math.erf(1 / math.sqrt(2))], [-math.erf(1 / math.sqrt(2))]]
    noise = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    expected = [IMAGE, IMAGE + 0.1 * noise, IMAGE + 0.1 * noise]
    np.testing.assert_allclose(transform(draws, noise), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("center", "rows", "columns"),
    [((0.5, 0.5), slice(2, 6), slice(3, 9)), ((0.0, 1.0), slice(6, 8), slice(0, 3))],
)
def test_cutout_is_a_box_of_half_the_sides(center, rows, columns):
    cut = _ada_pixels.cut_out(jnp.ones((8, 12, 2)), jnp.array(center), jnp.float32(0.5))
    expected = np.ones((8, 12, 2))
    expected[rows, columns] = 0
    np.testing.assert_array_equal(cut, expected)


# Draws.


def test_each_transform_has_its_own_coin_and_uniform_draws():
    p = jnp.float32(0.3)
    draws = np.asarray(jax.jit(jax.vmap(_ada._draw, (0, None)))(jax.random.split(KEY, 20_000), p))
    chosen = draws[:, :, 0] != 0
    np.testing.assert_array_equal(chosen, draws[:, :, 1] != 0)
    expected = np.full(19, 0.3)
    expected[[4, 6]] = 1 - math.sqrt(0.7)
    # A share of 20,000 coins has a standard deviation of 0.0033.
    np.testing.assert_allclose(chosen.mean(axis=0), expected, atol=0.017)
    assert abs((chosen[:, 4] | chosen[:, 6]).mean() - 0.3) < 0.017
    assert np.abs(np.corrcoef(chosen.T) - np.eye(19)).max() < 0.036
    values = draws[chosen]
    assert np.abs(np.histogram(values, 10, (-1, 1))[0] / values.size - 0.1).max() < 0.003
    assert np.abs(values).max() < 1


def test_integers_are_uniform():
    values = _ada._integer(jnp.linspace(-0.9999, 0.9999, 1000), 4)
    np.testing.assert_array_equal(np.bincount(np.asarray(values, int)), [250] * 4)


# The whole pipeline.


def test_probability_zero_is_the_identity_and_one_changes_every_image():
    images, keys = jnp.stack([IMAGE] * 4), jnp.stack([KEY, KEY, KEY, jax.random.key(4)])
    never, always, again, other = augmented()(keys, images, jnp.array([0.0, 1.0, 1.0, 1.0]))
    np.testing.assert_array_equal(never, images)
    assert len(np.unique(np.asarray(always).reshape(4, -1), axis=0)) == 4
    assert (jnp.abs(always - images).max(axis=(1, 2, 3)) > 0.01).all()
    np.testing.assert_array_equal(always, again)
    assert (always != other).any(axis=(1, 2, 3)).all()


def test_gradient_is_the_transpose_of_the_linear_part():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        image, change, weights = (jnp.asarray(rng.normal(size=(2, 5, 4, 1))) for _ in range(3))
        apply = lambda x: augment.ada(0.9, filtering=True, corruption=True)(KEY, x)

        @jax.jit
        def products(image):
            augmented, pull_back = jax.vjp(apply, image)
            forward = jnp.vdot(apply(image + change) - augmented, weights)
            return forward, jnp.vdot(change, pull_back(weights)[0]), augmented

        forward, backward, result = products(image)
        assert result.dtype == jnp.float64
        assert abs(forward) > 0.01
        assert abs(forward - backward) < 1e-12


@pytest.mark.parametrize("shape", [(2, 4, 4, 3), (1, 1, 1, 1), (3, 5, 17, 1), (2, 2, 3, 3)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_shape_and_dtype_are_kept(shape, dtype):
    images = jax.ShapeDtypeStruct(shape, dtype)
    apply = augment.ada(0.5, filtering=True, corruption=True)
    found = jax.eval_shape(apply, KEY, images)
    assert (found.shape, found.dtype) == (shape, dtype)


def test_only_active_categories_change_images():
    off = {"blit": False, "geometry": False, "color": False}
    zeros = jnp.zeros((1, 4, 4, 2))
    np.testing.assert_array_equal(jax.jit(augment.ada(1.0, **off))(KEY, zeros), zeros)
    assert (jax.jit(augment.ada(1.0, corruption=True, **off))(KEY, zeros) != 0).any()


def test_probability_of_a_pipeline_can_be_set_later():
    scale = augment.Pipeline(lambda key, images, probability: probability * images)
    ones, state = jnp.ones((2, 3)), {"probability": jnp.float32(0.4)}
    adapted = augment.adaptive(scale).apply(state, KEY, ones, step=jnp.int32(0))
    np.testing.assert_array_equal(adapted, ones * 0.4)
    np.testing.assert_array_equal(augment.with_probability(scale, 0.25)(KEY, ones), ones * 0.25)
    assert augment.with_probability(augment.ada(0.1), 0.25).probability == 0.25


# Bad input.


def test_images_with_other_channels_are_rejected_if_colors_change():
    images = jnp.zeros((2, 4, 4, 2))
    with pytest.raises(ValueError, match=r"channels must be 1 or 3; got 2\. Pass color=False\."):
        augment.ada(0.5)(KEY, images)
    assert jax.eval_shape(augment.ada(0.5, color=False), KEY, images).shape == images.shape


def test_missing_probability_is_an_error():
    with pytest.raises(ValueError, match=r"probability must be a number; got None\. Use adaptive"):
        augment.ada()(KEY, jnp.zeros((2, 4, 4, 3)))


def test_pipeline_that_changes_the_dtype_is_rejected():
    changes = augment.Pipeline(lambda key, images, probability: images.astype(jnp.bfloat16), 1.0)
    with pytest.raises(ValueError, match=r"An augmentation's result must be float32 of .*; got"):
        changes(KEY, jnp.zeros((2, 3)))


@pytest.mark.parametrize("name", ALL)
def test_categories_are_bools(name):
    with pytest.raises(TypeError, match=f"{name} must be True or False; got 1"):
        augment.ada(0.5, **{name: 1})


def test_pipeline_needs_a_function():
    with pytest.raises(
        TypeError, match=r"a function \(key, images, probability\) -> images; got 3"
    ):
        augment.Pipeline(3)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_probability_out_of_range_is_rejected(value):
    with pytest.raises(ValueError, match=r"probability must be in \[0\.0, 1\.0\]; got"):
        augment.ada(value)
