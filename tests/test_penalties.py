"""Compares penalties with numpy in float64, on a quadratic critic with known slopes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import penalties, terms

KEY = jax.random.key(7)
REAL = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)
FAKE = jnp.asarray(np.random.default_rng(1).normal(size=(6, 3)), jnp.float32)


def make_params(dtype=np.float64):
    generator = np.random.default_rng(2)
    square = generator.normal(size=(3, 3))
    return {
        "A": (square + square.T).astype(dtype) / 2,
        "b": generator.normal(size=3).astype(dtype),
    }


def critic_of(params):
    """Returns D(x) = x A x / 2 + b x, with slope A x + b for symmetric A."""
    return lambda x: 0.5 * ((x @ params["A"]) * x).sum(-1) + x @ params["b"]


def slope(params, x):
    return np.asarray(x, np.float64) @ (params["A"] + params["A"].T) / 2 + params["b"]


def squared(params, x):
    return (slope(params, x) ** 2).sum(-1)


def between(key, a, b):
    share = np.asarray(jax.random.uniform(key, (6, 1)), np.float64)
    return share * np.asarray(a) + (1 - share) * np.asarray(b)


def around_real():
    noise_key, between_key = jax.random.split(KEY)
    noise = np.asarray(jax.random.uniform(noise_key, (6, 3)), np.float64)
    real = np.asarray(REAL, np.float64)
    return between(between_key, real, real + 0.5 * real.std() * noise)


def shifted(key, images):
    return images + jax.random.normal(key, (images.shape[0], 1))


def by_hand(name, params):
    """Computes the mean of each penalty in numpy."""
    critic, real, fake = critic_of(params), *(np.asarray(x, np.float64) for x in (REAL, FAKE))
    if name == "r1":
        return 1.5 * squared(params, real).mean()
    if name == "r2":
        return 1.5 * squared(params, fake).mean()
    if name == "wgan_gp":
        return 10 * ((np.sqrt(squared(params, between(KEY, real, fake))) - 1) ** 2).mean()
    if name == "dragan":
        return 10 * ((np.sqrt(squared(params, around_real())) - 1) ** 2).mean()
    if name == "consistency":
        moved = np.asarray(shifted(KEY, REAL), np.float64)
        return 2 * ((critic(real) - critic(moved)) ** 2).mean()
    raise AssertionError(name)


CASES = {
    "r1": penalties.r1(3.0),
    "r2": penalties.r2(3.0),
    "wgan_gp": penalties.wgan_gp(10.0),
    "dragan": penalties.dragan(10.0, scale=0.5),
    "consistency": penalties.consistency(shifted, 2.0),
}


def view_of(critic, real=REAL, fake=FAKE, step=0):
    both = terms.Critic(critic, critic)
    return terms.View(images=real, samples=fake, critic=both, key=KEY, step=jnp.int32(step))


def mean_of(penalty, params, step=0):
    values, _ = penalty.apply(penalty.init(), view_of(critic_of(params), step=step))
    return jnp.mean(values)


@pytest.mark.parametrize("name", CASES)
def test_values_match_numpy(name):
    params = make_params()
    found = jax.jit(lambda p: mean_of(CASES[name], p))(jax.tree.map(jnp.float32, params))
    np.testing.assert_allclose(found, by_hand(name, params), rtol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_gradients_match_central_differences(name):
    params = make_params()
    grads = jax.grad(lambda p: mean_of(CASES[name], p))(jax.tree.map(jnp.float32, params))
    for leaf, index in (("A", (0, 1)), ("A", (2, 2)), ("b", (1,))):
        ends = []
        for sign in (1, -1):
            moved = {k: v.copy() for k, v in params.items()}
            moved[leaf][index] += sign * 1e-5
            ends.append(by_hand(name, moved))
        np.testing.assert_allclose(grads[leaf][index], (ends[0] - ends[1]) / 2e-5, rtol=1e-3)


def test_one_sided_penalty_is_zero_for_slopes_below_one():
    params = {"A": np.zeros((3, 3), np.float32), "b": np.array([0.3, 0.4, 0.0], np.float32)}
    assert float(mean_of(penalties.wgan_gp(one_sided=True), params)) == 0
    steep = {**params, "b": 4 * params["b"]}  # slope 2
    both = [penalties.wgan_gp(10.0, one_sided=s) for s in (True, False)]
    np.testing.assert_allclose([mean_of(p, steep) for p in both], [10.0, 10.0], rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 10.0])
def test_r1_of_a_linear_critic_is_half_gamma_times_the_squared_weight(gamma):
    weight = np.array([1.0, -2.0, 3.0], np.float32)
    params = {"A": np.zeros((3, 3), np.float32), "b": weight}
    for penalty in (penalties.r1(gamma), penalties.r2(gamma)):
        np.testing.assert_allclose(mean_of(penalty, params), gamma / 2 * 14.0, rtol=1e-6)


@pytest.mark.parametrize("penalty", [penalties.wgan_gp(), penalties.dragan()])
def test_slope_penalties_vanish_for_a_critic_of_slope_one(penalty):
    params = {"A": np.zeros((3, 3), np.float32), "b": np.array([2, 1, 2], np.float32) / 3}
    np.testing.assert_allclose(mean_of(penalty, params), 0.0, atol=1e-10)


@pytest.mark.parametrize("penalty", [penalties.wgan_gp(), penalties.dragan()])
def test_gradient_of_a_flat_critic_is_finite(penalty):
    flat = jax.tree.map(lambda x: jnp.zeros_like(x, jnp.float32), make_params(np.float32))
    value, grads = jax.value_and_grad(lambda p: mean_of(penalty, p))(flat)
    assert float(value) == 10.0
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


@pytest.mark.parametrize("one_sided", [True, False])
def test_lecam_matches_its_moving_averages(one_sided):
    penalty = penalties.lecam(weight=0.5, decay=0.9, one_sided=one_sided)
    positive = (lambda x: np.maximum(x, 0)) if one_sided else (lambda x: x)
    params = make_params(np.float32)
    critic, state = critic_of(params), penalty.init()
    averages, weight_sum = np.zeros(2), 0.0
    for i in range(4):
        real, fake = REAL + i, FAKE - i
        values, state = penalty.apply(state, view_of(critic, real, fake, step=i))
        logits = [np.asarray(critic(np.asarray(x)), np.float64) for x in (real, fake)]
        averages = 0.9 * averages + 0.1 * np.array([x.mean() for x in logits])
        weight_sum = 0.9 * weight_sum + 0.1
        anchor_real, anchor_fake = averages / weight_sum
        gaps = (positive(logits[0] - anchor_fake), positive(anchor_real - logits[1]))
        expected = 0.5 * (gaps[0] ** 2 + gaps[1] ** 2)
        np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_lecam_default_is_that_of_the_official_code():
    """The authors' `lecam_reg` gives 4.15625 with the means of the batch as averages."""
    real, fake = jnp.array([[1.5], [-0.5], [2.0], [-1.0]]), jnp.array([[0.5], [-1], [-2], [1.5]])
    penalty = penalties.lecam(weight=1.0)
    values, _ = penalty.apply(penalty.init(), view_of(lambda x: x[:, 0], real, fake))
    np.testing.assert_allclose(values.mean(), 4.15625, rtol=1e-5)


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.9999, 0.9999999])
def test_lecam_averages_of_constant_logits_are_those_logits(decay):
    critic, penalty = lambda x: x[:, 0], penalties.lecam(weight=1.0, decay=decay)
    real, fake, state = jnp.full((2, 1), 3.0), jnp.full((2, 1), -1.0), penalty.init()
    for step in range(2):
        values, state = penalty.apply(state, view_of(critic, real, fake, step=step))
        np.testing.assert_allclose(values, (3.0 + 1.0) ** 2 + (-1.0 - 3.0) ** 2, rtol=1e-6)


@pytest.mark.parametrize("make", [penalties.lecam, penalties.inject(penalties.lecam)])
def test_lecam_averages_of_bfloat16_logits_are_float32(make):
    penalty = make(weight=0.5, decay=0.999)
    logits = np.array([1.0, 2.0, 0.4, -3.0, 2.7], np.float32)[:, None]
    real, state, expected = jnp.asarray(logits, jnp.bfloat16), penalty.init(), np.zeros(2)
    for scale in (1.0, 0.25):
        batch, critic = (scale * real, -scale * real), lambda x: x[:, 0]
        values, state = penalty.apply(state, view_of(critic, *batch))
        means = [np.asarray(x, np.float64).mean() for x in batch]
        expected = 0.999 * expected + 0.001 * np.array(means)
    inner = getattr(state, "inner_state", state)
    assert {x.dtype for x in jax.tree.leaves(inner)} == {jnp.dtype(jnp.float32)}
    assert values.dtype == jnp.bfloat16
    # An injected decay is float32, so 1 - decay has an error of 2^-25 / 0.001.
    np.testing.assert_allclose(inner["sum"], expected, rtol=5e-5)


def test_lecam_anchors_carry_no_gradient():
    """The gradient excludes the anchors, which would double it for one image."""
    penalty = penalties.lecam(weight=1.0)

    def value(shift):
        critic = lambda x: jnp.sum(x, -1) * shift
        real, fake = jnp.full((1, 1), 2.0), jnp.full((1, 1), -1.0)
        return penalty.apply(penalty.init(), view_of(critic, real, fake))[0].sum()

    # (2 s - a_F)^2 + (-s - a_R)^2 with a_F = -1, a_R = 2 constant: 2 (3) 2 + 2 (-3) (-1) at s = 1.
    np.testing.assert_allclose(jax.grad(value)(1.0), 18.0, rtol=1e-5)


def test_lazy_applies_a_scaled_penalty_every_few_steps():
    params = jax.tree.map(jnp.float32, make_params())
    penalty = penalties.lazy(penalties.r1(3.0), every=4)
    found = [float(jax.jit(mean_of, static_argnums=0)(penalty, params, step=i)) for i in range(9)]
    full = 4 * by_hand("r1", make_params())
    np.testing.assert_allclose(found, [full, 0, 0, 0, full, 0, 0, 0, full], rtol=1e-4)
    slope_of = jax.grad(lambda p, step: mean_of(penalty, p, step=step))
    assert all(not leaf.any() for leaf in jax.tree.leaves(slope_of(params, 1)))
    assert all(leaf.any() for leaf in jax.tree.leaves(slope_of(params, 4)))


def test_lazy_state_is_unchanged_between_penalties():
    penalty = penalties.lazy(penalties.lecam(), every=2)
    critic, start = critic_of(make_params(np.float32)), penalty.init()
    apply = lambda state, i: penalty.apply(state, view_of(critic, step=i))
    _, first = apply(start, 0)
    _, second = apply(first, 1)
    assert float(first["weight"]) > 0.0
    np.testing.assert_array_equal(first["sum"], second["sum"])


def test_add_is_the_sum_and_keeps_every_state():
    params = jax.tree.map(jnp.float32, make_params())
    both = penalties.add(
        penalties.r1(3.0), penalties.r2(3.0), lambda view: view.critic(view.images)
    )
    expected = by_hand("r1", make_params()) + by_hand("r2", make_params())
    expected += np.mean(critic_of(make_params())(np.asarray(REAL)))
    np.testing.assert_allclose(mean_of(both, params), expected, rtol=1e-4)
    with_state = penalties.add(penalties.r1(1.0), penalties.lecam())
    _, state = with_state.apply(with_state.init(), view_of(critic_of(params)))
    assert jax.tree.structure(state) == jax.tree.structure(with_state.init())
    assert float(state[1]["weight"]) > 0.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: penalties.r1(-1.0), "gamma must be at least 0; got -1.0"),
        (lambda: penalties.r2(float("nan")), "gamma must be at least 0; got nan"),
        (lambda: penalties.wgan_gp(-1.0), "weight must be at least 0"),
        (lambda: penalties.dragan(scale=-1.0), "scale must be at least 0"),
        (lambda: penalties.consistency(shifted, -1.0), "weight must be at least 0"),
        (lambda: penalties.lecam(decay=1.0), r"decay must be in \[0, 1\); got 1.0"),
        (lambda: penalties.lazy(penalties.r1(), every=0), "every must be at least 1; got 0"),
        (lambda: penalties.add(), "penalties must be at least one; got none"),
    ],
)
def test_out_of_range_numbers_are_rejected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("wrong", [3, None, terms.Term])
def test_invalid_penalties_and_flags_are_rejected(wrong):
    with pytest.raises(TypeError, match="A term must be"):
        penalties.add(wrong)
    with pytest.raises(TypeError, match=r"The result of make must be a jaxgan.terms.Term.*; got"):
        penalties.inject(lambda: wrong)()
    with pytest.raises(TypeError, match="one_sided must be True or False; got"):
        penalties.wgan_gp(one_sided=wrong)
    with pytest.raises(TypeError, match="one_sided must be True or False; got"):
        penalties.lecam(one_sided=wrong)
