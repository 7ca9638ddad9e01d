"""Compares latents with hand-computed values, numpy and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxgan import latents

KEY, FLOAT = jax.random.key(0), jnp.float32
A, B = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
# Jitted, because otherwise every operation would compile separately.
LERP, SLERP, TRUNCATE = map(jax.jit, (latents.lerp, latents.slerp, latents.truncate))


def test_normal_and_an_integer_equal_the_draws_of_jax():
    expected = jax.random.normal(KEY, (4, 3), FLOAT)
    for sampler in (latents.normal(3), latents.as_sampler(3), latents.as_sampler(np.int64(3))):
        np.testing.assert_array_equal(sampler(KEY, 4, FLOAT), expected)
        assert sampler(KEY, 4, jnp.bfloat16).dtype == jnp.bfloat16


def test_as_sampler_returns_a_sampler_unchanged():
    of_user = lambda key, num, dtype: {"z": jnp.zeros((num, 2), dtype)}
    for sampler in (of_user, latents.uniform(3)):
        assert latents.as_sampler(sampler) is sampler


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (0, ValueError, r"latents must be at least 1; got 0\."),
        (True, TypeError, r"latents must be a function \(key, num, dtype\) -> latents, or an int"),
        (2.0, TypeError, r"latents must be a function .*, or an integer; got 2\.0\."),
        (latents.infogan, TypeError, r"got the function infogan\. Call it: infogan\(\.\.\.\)\."),
    ],
)
def test_as_sampler_rejects_other_values(value, error, message):
    with pytest.raises(error, match=message):
        latents.as_sampler(value)


def test_uniform_fills_its_interval_evenly():
    z = np.asarray(latents.uniform(50, -3.0, 1.0)(KEY, 400, FLOAT))
    assert (z.shape, z.dtype) == ((400, 50), np.float32)
    assert -3.0 <= z.min() < -2.99
    assert 0.99 < z.max() < 1.0
    # The largest distance of 20,000 numbers is above 0.0138 with probability 0.001.
    assert scipy.stats.kstest(z.ravel(), "uniform", (-3.0, 4.0)).statistic < 0.0138


@pytest.mark.parametrize("limit", [0.5, 5.0])
def test_truncated_normal_matches_scipy(limit):
    z = latents.truncated_normal(50, limit)(KEY, 400, FLOAT)
    np.testing.assert_array_equal(z, jax.random.truncated_normal(KEY, -limit, limit, (400, 50)))
    truncnorm = scipy.stats.truncnorm(-limit, limit)
    assert scipy.stats.kstest(np.asarray(z).ravel(), truncnorm.cdf).statistic < 0.0138
    # The probability of the limit itself is 1 / 256 if it is drawn in bfloat16.
    narrow = latents.truncated_normal(50, limit)(KEY, 400, jnp.bfloat16)
    np.testing.assert_array_equal(narrow, z.astype(jnp.bfloat16))


def test_infogan_draws_noise_and_codes():
    sampler = latents.infogan(3, (10, 4), 2)
    z = jax.jit(lambda key: sampler(key, 500, FLOAT))(KEY)
    assert jax.tree.map(lambda x: (x.shape, x.dtype.name), z) == {
        "noise": ((500, 3), "float32"),
        "categories": (((500, 10), "float32"), ((500, 4), "float32")),
        "continuous": ((500, 2), "float32"),
    }
    for one_hot in z["categories"]:
        assert set(np.unique(one_hot)) == {0.0, 1.0}
        np.testing.assert_array_equal(np.asarray(one_hot).sum(axis=1), 1.0)
        counts = np.asarray(one_hot).sum(axis=0)
        assert scipy.stats.chisquare(counts).pvalue > 0.001
    table = np.asarray(z["categories"][0]).T @ np.asarray(z["categories"][1])
    assert scipy.stats.chi2_contingency(table).pvalue > 0.001  # independent
    assert scipy.stats.kstest(np.ravel(z["continuous"]), "uniform", (-1, 2)).pvalue > 0.001
    assert scipy.stats.kstest(np.ravel(z["noise"]), "norm").pvalue > 0.001


def test_infogan_omits_empty_entries():
    for options, name in (((3, (), 0), "noise"), ((0, (2,), 0), "categories")):
        sampler = latents.infogan(*options)
        assert set(jax.eval_shape(lambda f=sampler: f(KEY, 2, FLOAT))) == {name}
    with pytest.raises(ValueError, match="Latents must be at least one coordinate; got noise=0"):
        latents.infogan(0, (), 0)


def test_sampler_maps_over_keys():
    sampler, keys = latents.uniform(2), jax.random.split(KEY, 2)
    draw = lambda key: sampler(key, 4, FLOAT)
    mapped, alone = jax.jit(lambda keys: (jax.vmap(draw)(keys), draw(keys[1])))(keys)
    np.testing.assert_array_equal(mapped[1], alone)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 4, FLOAT), TypeError, "key must be one typed PRNG key"),
        ((KEY, 0, FLOAT), ValueError, "num must be at least 1; got 0"),
        ((KEY, 4, jnp.int32), TypeError, "dtype must be a float dtype; got"),
    ],
)
def test_sampler_rejects_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        latents.uniform(3)(*arguments)


def test_traversal_matches_the_recipe():
    latent = jax.random.normal(jax.random.key(0), (100,))
    walk = np.asarray(latents.traversal(latent))
    assert walk.shape == (100, 100)
    np.testing.assert_allclose(walk[:, 0], [0.02 * i - 1 for i in range(100)], atol=1e-6)
    np.testing.assert_array_equal(walk[:, 1:], np.tile(latent[1:], (100, 1)))


def test_traversal_of_another_coordinate_under_jit():
    walk = jax.jit(lambda z: latents.traversal(z, 2, num=3, start=1.0, step=-1.0))(jnp.zeros(4))
    np.testing.assert_array_equal(walk, [[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, -1, 0]])


@pytest.mark.parametrize(("shape", "coordinate"), [((3,), 3), ((3,), -1), ((2, 3), 0)])
def test_traversal_rejects_invalid_latents_and_coordinates(shape, coordinate):
    with pytest.raises(ValueError, match=r"(latent|coordinate) must be"):
        latents.traversal(jnp.zeros(shape), coordinate)


@pytest.mark.parametrize("num", [0, -1])
def test_traversal_needs_at_least_one_latent(num):
    with pytest.raises(ValueError, match=f"num must be at least 1; got {num}"):
        latents.traversal(jnp.zeros(3), num=num)


@pytest.mark.parametrize("interpolate", [LERP, SLERP])
def test_interpolation_broadcasts_the_weight_with_the_batch(interpolate):
    weights = np.linspace(0.0, 1.0, 5, dtype=np.float32)
    of_rows = interpolate(A, B, weights[:3])
    grid = interpolate(A, B, weights[:, None])
    assert (of_rows.shape, grid.shape) == ((3, 4), (5, 3, 4))
    for i in range(3):
        alone = interpolate(A[i], B[i], weights[i])
        np.testing.assert_allclose(of_rows[i], alone, rtol=1e-5)
        np.testing.assert_allclose(grid[i, i], alone, rtol=1e-5)
    np.testing.assert_allclose(grid[0], A, rtol=1e-6)
    np.testing.assert_allclose(grid[-1], B, rtol=1e-6)
    with pytest.raises(ValueError, match=r"weight must be .* broadcasts with \(3,\); got \(2,\)"):
        interpolate(A, B, weights[:2])
    with pytest.raises(ValueError, match=r"b must be float32 of shape \(3, 4\), as a; got"):
        interpolate(A, B[:1], 0.5)


def test_lerp_matches_hand_computed_values():
    z = LERP(np.array([1.0, -2.0]), np.array([3.0, 2.0]), np.array([0.25, 2.0]))
    np.testing.assert_array_equal(z, [[1.5, -1.0], [5.0, 6.0]])
    np.testing.assert_array_equal(latents.lerp(A, B, 1), B)


def test_slerp_matches_hand_computed_values():
    """A third of a right angle has the factors sin 60 and sin 30 degrees."""
    z = SLERP(np.array([2.0, 0.0]), np.array([0.0, 4.0]), np.array([1 / 3]))
    np.testing.assert_allclose(z, [[2.0 * np.sqrt(0.75), 4.0 * 0.5]], rtol=1e-6)


def test_slerp_is_stable_for_small_and_large_angles():
    """Compares vectors of different lengths with the formula in float64."""
    for angle in (1e-6, 1e-3, 1.0, 3.0, np.pi - 1e-2):
        a = np.array([3.0, 0.0], np.float32)
        b = (0.5 * np.array([np.cos(angle), np.sin(angle)])).astype(np.float32)
        weights = np.linspace(-0.25, 1.0, 6, dtype=np.float32)
        exact = np.arctan2(np.float64(b[1]), np.float64(b[0]))
        parts = np.sin((1 - weights) * exact)[:, None] * a, np.sin(weights * exact)[:, None] * b
        # Near pi, the result is as sensitive as 1 / sin(angle) to a rounding of the angle.
        error = 1e-6 / min(1.0, np.pi - angle)
        expected = np.add(*parts) / np.sin(exact)
        np.testing.assert_allclose(SLERP(a, b, weights), expected, rtol=error, atol=error)


def test_slerp_of_parallel_opposite_and_zero_vectors_is_linear():
    a, weights = np.array([3.0, -1.0]), np.array([0.0, 0.25, 1.0])
    for b in ([3.0, -1.0], [-9.0, 3.0], [-3.0, 1.0], [0.0, 0.0]):
        ends = a, np.array(b)
        np.testing.assert_allclose(SLERP(*ends, weights), LERP(*ends, weights), rtol=1e-6)


def test_slerp_keeps_the_length():
    b = B * (np.linalg.norm(A, axis=1) / np.linalg.norm(B, axis=1))[:, None]
    arc = SLERP(A, b, np.linspace(0.0, 1.0, 5, dtype=np.float32)[:, None])
    lengths = np.broadcast_to(np.linalg.norm(A, axis=1), (5, 3))
    np.testing.assert_allclose(np.linalg.norm(arc, axis=-1), lengths, rtol=1e-6)


@pytest.mark.parametrize("interpolate", [LERP, SLERP])
def test_interpolation_computes_narrow_floats_in_float32(interpolate):
    narrow = [x.astype(jnp.bfloat16) for x in (A, B)]
    found = interpolate(*narrow, 0.3)
    expected = interpolate(*(x.astype(np.float32) for x in narrow), 0.3)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float32(found), expected, rtol=2**-8)


def test_results_have_the_dtype_of_the_latents_in_64_bits():
    with jax.enable_x64(True):
        for z in (A, np.float64(A)):
            run = lambda z: (
                latents.truncate(z, 1.0),
                latents.lerp(z, z, 0.5),
                latents.slerp(z, z, 0.5),
            )
            assert {x.dtype for x in jax.eval_shape(run, z)} == {z.dtype}


@pytest.mark.parametrize("limit", [0.04, 0.5, 2.0, 5.0])
def test_truncate_matches_scipy(limit):
    z = np.linspace(-4.0, 4.0, 41, dtype=np.float32).reshape(1, 41)
    found = TRUNCATE(z, limit)
    expected = scipy.stats.truncnorm.ppf(scipy.stats.norm.cdf(np.float64(z)), -limit, limit)
    # A float32 rounding of erf(4 / sqrt 2), 6e-8, moves the result by 2.2e-4 for the limit of 5.
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=6e-4 if limit == 5 else 3e-6)
    assert found.dtype == jnp.float32


def test_truncate_keeps_the_order_and_the_limits():
    z = np.array([[-50.0, -6.0, -1.0, 0.0, 0.5, 6.0, 50.0]])
    for limit in (1e-3, 1.0, 5.0):
        found = np.asarray(TRUNCATE(z, limit))
        assert (np.diff(found) >= 0.0).all()
        assert np.abs(found).max() <= np.float32(limit)
        np.testing.assert_allclose(found[0, -1], limit, rtol=1e-6)
        assert found[0, 3] == 0.0
