"""Compares losses and their gradients with numpy in float64."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_gan

from jaxgan import Loss, Pair, losses

LOGITS = jnp.array([-1e4, -30.0, -1.5, 0.0, 0.3, 12.0, 1e4], jnp.float32)

# No value is at a kink of the hinge, where a finite difference would average two slopes.
REAL = np.array([-6.0, -1.5, 0.25, 1.75, 5.0])
FAKE = np.array([2.5, -0.5, -4.0, 0.75, 1.25])


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def cross_entropy(logits: np.ndarray, target: float) -> np.ndarray:
    """Computes -t log(sigmoid(x)) - (1 - t) log(1 - sigmoid(x)) in float64."""
    x = np.asarray(logits, np.float64)
    return target * np.logaddexp(0, -x) + (1 - target) * np.logaddexp(0, x)


class Case(NamedTuple):
    """Holds a loss, its formulas from the papers, and hand-computed values.

    The values are for real logits 2 and -1 and fake logits 1 and -1. softplus is
    0.1269280, 0.3132617, 1.3132617 at -2, -1, 1 and 0.2014133, 0.4740770, 0.9740770, 1.7014133 at
    -1.5, -0.5, 0.5, 1.5; the means are 0.5 and 0.
    """

    loss: Loss
    formula: Pair
    literal: Pair


CASES = {
    "minimax": Case(
        losses.minimax(),
        Pair(
            lambda r, f: np.log(1 - sigmoid(f)),
            lambda r, f: -np.log(sigmoid(r)) - np.log(1 - sigmoid(f)),
        ),
        Pair([-1.3132617, -0.3132617], [0.1269280 + 1.3132617, 1.3132617 + 0.3132617]),
    ),
    "non_saturating": Case(
        losses.non_saturating(real_label=0.9),
        Pair(
            lambda r, f: -np.log(sigmoid(f)),
            lambda r, f: (
                -0.9 * np.log(sigmoid(r)) - 0.1 * np.log(sigmoid(-r)) - np.log(1 - sigmoid(f))
            ),
        ),
        # BCE(x, t) = softplus(x) - t x
        Pair([0.3132617, 1.3132617], [0.3269280 + 1.3132617, 1.2132617 + 0.3132617]),
    ),
    "two_sided": Case(
        losses.non_saturating(real_label=0.8, fake_label=0.1),
        Pair(
            lambda r, f: -np.log(sigmoid(f)),
            lambda r, f: (
                -(0.8 * np.log(sigmoid(r)) + 0.2 * np.log(1 - sigmoid(r)))
                - (0.1 * np.log(sigmoid(f)) + 0.9 * np.log(1 - sigmoid(f)))
            ),
        ),
        Pair([0.3132617, 1.3132617], [0.5269280 + 1.2132617, 1.1132617 + 0.4132617]),
    ),
    "least_squares": Case(
        losses.least_squares(),
        Pair(
            lambda r, f: (f - 1) ** 2 / 2,
            lambda r, f: ((r - 1) ** 2 + f**2) / 2,
        ),
        Pair([0.0, 2.0], [1.0, 2.5]),
    ),
    "pearson": Case(
        losses.least_squares(real_label=1.0, fake_label=-1.0, generator_label=0.0),
        Pair(
            lambda r, f: f**2 / 2,
            lambda r, f: ((r - 1) ** 2 + (f + 1) ** 2) / 2,
        ),
        Pair([0.5, 0.5], [2.5, 2.0]),
    ),
    "wasserstein": Case(
        losses.wasserstein(),
        Pair(lambda r, f: -f, lambda r, f: -(r - f)),
        Pair([-1.0, 1.0], [-1.0, 0.0]),
    ),
    "hinge": Case(
        losses.hinge(),
        Pair(
            lambda r, f: -f,
            lambda r, f: -np.minimum(0, r - 1) - np.minimum(0, -f - 1),
        ),
        Pair([-1.0, 1.0], [2.0, 2.0]),
    ),
    "relativistic": Case(
        losses.relativistic(),
        Pair(
            lambda r, f: -np.log(sigmoid(f - r)),
            lambda r, f: -np.log(sigmoid(r - f)),
        ),
        Pair([1.3132617, 0.6931472], [0.3132617, 0.6931472]),
    ),
    "relativistic_average": Case(
        losses.relativistic_average(),
        Pair(
            lambda r, f: -np.log(sigmoid(f - np.mean(r))) - np.log(1 - sigmoid(r - np.mean(f))),
            lambda r, f: -np.log(sigmoid(r - np.mean(f))) - np.log(1 - sigmoid(f - np.mean(r))),
        ),
        Pair(
            [2.1269280 + 0.4740770, 0.3132617 + 1.7014133],
            [0.1269280 + 0.9740770, 1.3132617 + 0.2014133],
        ),
    ),
}
PLAYERS = ["generator", "discriminator"]

every_loss = pytest.mark.parametrize("name", CASES)
both_players = pytest.mark.parametrize("player", PLAYERS)


def jacobians(loss, real, fake):
    """Computes d loss[i] / d real[j] and d loss[i] / d fake[j]."""
    return jax.jit(jax.jacobian(loss, argnums=(0, 1)))(real, fake)


@functools.cache
def gradient_of(loss):
    return jax.jit(jax.grad(lambda *logits: loss(*logits).sum(), argnums=(0, 1)))


def gradients(loss, real, fake):
    return gradient_of(loss)(real, fake)


def central_differences(formula, x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Computes the Jacobian of `formula` in float64, one column for each entry of `x`."""
    shifts = step * np.eye(x.size).reshape(x.size, *x.shape)
    columns = [(formula(x + shift) - formula(x - shift)) / (2 * step) for shift in shifts]
    return np.stack(columns, axis=-1)


@every_loss
@both_players
@pytest.mark.parametrize(
    ("dtype", "rtol"), [(jnp.float32, 2e-6), (jnp.bfloat16, 0.03), (jnp.float16, 3e-3)]
)
def test_value_matches_its_formula_under_jit(name, player, dtype, rtol):
    real, fake = jnp.asarray(REAL, dtype), jnp.asarray(FAKE, dtype)
    values = jax.jit(getattr(CASES[name].loss, player))(real, fake)
    assert values.dtype == dtype
    expected = getattr(CASES[name].formula, player)(REAL, FAKE)
    np.testing.assert_allclose(np.asarray(values, np.float64), expected, rtol=rtol, atol=rtol)


@every_loss
@both_players
def test_gradient_matches_finite_differences(name, player):
    # The whole Jacobian also shows whether value i depends on logits other than i.
    formula = getattr(CASES[name].formula, player)
    actual = jacobians(
        getattr(CASES[name].loss, player),
        jnp.asarray(REAL, "float32"),
        jnp.asarray(FAKE, "float32"),
    )
    expected = (
        central_differences(lambda r: formula(r, FAKE), REAL),
        central_differences(lambda f: formula(REAL, f), FAKE),
    )
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(actual[1], expected[1], rtol=1e-5, atol=1e-6)


@every_loss
@both_players
def test_values_match_hand_computed_values(name, player):
    real, fake = jnp.array([2.0, -1.0]), jnp.array([1.0, -1.0])
    values = getattr(CASES[name].loss, player)(real, fake)
    np.testing.assert_allclose(values, getattr(CASES[name].literal, player), rtol=1e-5, atol=1e-6)


@every_loss
@both_players
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("magnitude", [1e4, -1e4])
def test_values_and_gradients_are_finite_at_extreme_logits(name, player, dtype, magnitude):
    loss = getattr(CASES[name].loss, player)
    real = jnp.array([magnitude, magnitude, 0.0, 0.0, magnitude], dtype)
    fake = jnp.array([magnitude, -magnitude, magnitude, 0.0, 0.0], dtype)
    results = (loss(real, fake), *gradients(loss, real, fake))
    assert all(x.dtype == dtype and x.shape == (5,) for x in results)
    assert all(jnp.isfinite(x).all() for x in results)


@every_loss
@both_players
def test_vmapped_loss_equals_a_loop(name, player):
    loss = getattr(CASES[name].loss, player)
    real = jnp.asarray(np.stack([REAL, -REAL, FAKE]), jnp.float32)
    fake = jnp.asarray(np.stack([FAKE, REAL, REAL]), jnp.float32)
    each = jnp.stack([loss(r, f) for r, f in zip(real, fake, strict=True)])
    np.testing.assert_allclose(jax.vmap(loss)(real, fake), each, rtol=1e-5, atol=1e-6)


@every_loss
@both_players
def test_value_of_each_logit_is_that_of_flat_logits(name, player):
    loss = getattr(CASES[name].loss, player)
    real, fake = (jnp.asarray(x[:4], jnp.float32) for x in (REAL, FAKE))
    values = loss(real.reshape(2, 1, 2), fake.reshape(2, 1, 2))
    np.testing.assert_array_equal(values, loss(real, fake).reshape(2, 1, 2))


@every_loss
def test_generator_descent_raises_fake_logits(name):
    # Below every generator label, so that least-squares losses raise these logits too.
    fake = jnp.array([-8.0, -3.0, -1.0, -0.25])
    for real in (jnp.full(4, 2.0), jnp.array([-3.0, 0.0, -8.0, 1.5])):
        assert (gradients(CASES[name].loss.generator, real, fake)[1] < 0).all()


@every_loss
def test_discriminator_descent_separates_logits(name):
    real, fake = jnp.array([0.0, -0.5]), jnp.array([0.25, 0.5])
    real_gradient, fake_gradient = gradients(CASES[name].loss.discriminator, real, fake)
    assert (real_gradient < 0).all()
    assert (fake_gradient > 0).all()


@every_loss
@both_players
def test_only_relativistic_losses_ignore_a_constant_added_to_all_logits(name, player):
    loss = getattr(CASES[name].loss, player)
    real, fake = jnp.asarray(REAL, jnp.float32), jnp.asarray(FAKE, jnp.float32)
    plain, shifted = loss(real, fake), loss(real + 3.0, fake + 3.0)
    compares = name.startswith("relativistic") or (name, player) == ("wasserstein", "discriminator")
    assert np.allclose(plain, shifted, rtol=1e-5, atol=1e-5) == compares


@pytest.mark.parametrize("name", ["relativistic", "relativistic_average"])
def test_relativistic_losses_of_the_two_players_are_symmetric(name):
    loss = CASES[name].loss
    real, fake = jnp.asarray(REAL, jnp.float32), jnp.asarray(FAKE, jnp.float32)
    np.testing.assert_array_equal(loss.generator(real, fake), loss.discriminator(fake, real))


def test_gradient_flows_through_the_average():
    # softplus has slope 1/2 at 0. Each fake logit has gradient -1/2 from its own term. The fake
    # mean, with which both real logits are compared, adds 2 * 1/2 * -1/2 to each.
    zero = jnp.zeros(2)
    gradient = gradients(losses.relativistic_average().generator, zero, zero)[1]
    np.testing.assert_allclose(gradient, [-1.0, -1.0], atol=1e-6)


def test_hinge_discriminator_loss_is_zero_outside_its_margin():
    loss = losses.hinge().discriminator
    real, fake = jnp.array([1.0, 1.5, 1e4]), jnp.array([-1.0, -7.0, -1e4])
    for x in (loss(real, fake), *gradients(loss, real, fake)):
        np.testing.assert_array_equal(x, [0.0, 0.0, 0.0])


def test_minimax_discriminator_equals_unsmoothed_non_saturating():
    real, fake = LOGITS, LOGITS[::-1]
    unsmoothed = losses.non_saturating(real_label=1.0, fake_label=0.0).discriminator
    expected = unsmoothed(real, fake)
    np.testing.assert_allclose(losses.minimax().discriminator(real, fake), expected, rtol=1e-5)


def test_only_minimax_generator_gradient_vanishes_for_rejected_images():
    rejected = jnp.array([-1e4])
    slope = lambda loss: float(gradients(loss.generator, rejected, rejected)[1][0])
    assert slope(losses.minimax()) == 0.0
    assert slope(losses.non_saturating()) == -1.0


@pytest.mark.parametrize("real_label", [0.9, 1.0, 0.5])
def test_non_saturating_matches_its_formula_under_jit(real_label):
    loss = losses.non_saturating(real_label)
    real, fake = LOGITS, LOGITS[::-1]
    generator, discriminator = (
        jax.jit(loss.generator)(real, fake),
        jax.jit(loss.discriminator)(real, fake),
    )
    expected = cross_entropy(real, real_label) + cross_entropy(fake, 0.0)
    np.testing.assert_allclose(generator, cross_entropy(fake, 1.0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(discriminator, expected, rtol=1e-5, atol=1e-6)
    assert generator.dtype == discriminator.dtype == jnp.float32


def test_non_saturating_matches_hand_computed_values():
    loss = losses.non_saturating(real_label=0.9)
    zero, one = jnp.zeros(1), jnp.ones(1)
    np.testing.assert_allclose(loss.generator(zero, one), [0.3132617], rtol=1e-5)
    # 0.9 log(1 + e^-1) + 0.1 log(1 + e) + log 2
    np.testing.assert_allclose(loss.discriminator(one, zero), [1.1064088], rtol=1e-5)


def test_gradient_is_sigmoid_minus_target():
    loss = losses.non_saturating(real_label=0.9, fake_label=0.2)
    real, fake = jnp.array([-2.0, 0.0, 3.0]), jnp.array([1.0, -1.0, 0.5])
    real_gradient, fake_gradient = gradients(loss.discriminator, real, fake)
    np.testing.assert_allclose(real_gradient, sigmoid(real) - 0.9, atol=1e-6)
    np.testing.assert_allclose(fake_gradient, sigmoid(fake) - 0.2, atol=1e-6)


def test_smoothed_optimum_is_the_logit_of_the_label():
    loss = losses.non_saturating(real_label=0.9)
    slope = jax.grad(lambda x: loss.discriminator(x, jnp.zeros(1)).sum())
    np.testing.assert_allclose(slope(jnp.array([np.log(9.0)], jnp.float32)), [0.0], atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "boundary"),
    [
        (losses.minimax(), 0.0),
        (losses.non_saturating(1.0), 0.0),
        (losses.non_saturating(0.9), -0.2006707),  # log(0.45 / 0.55)
        (losses.non_saturating(0.9, 0.3), 0.4054651),  # log(0.6 / 0.4)
        (losses.least_squares(), 0.5),
        (losses.least_squares(1.0, -1.0, 0.0), 0.0),
        (losses.hinge(), 0.0),
    ],
)
def test_boundary_is_the_best_common_logit_of_real_and_fake_images(loss, boundary):
    assert loss.boundary == pytest.approx(boundary, abs=1e-6)
    grid = np.linspace(-3.0, 3.0, 6001)
    logits = jnp.asarray(grid, jnp.float32)
    values = np.asarray(loss.discriminator(logits, logits), np.float64)
    best = grid[values < values.min() + 1e-6]  # an interval for the hinge loss
    assert (best[0] + best[-1]) / 2 == pytest.approx(boundary, abs=2e-3)


@pytest.mark.parametrize("name", ["wasserstein", "relativistic", "relativistic_average"])
def test_losses_of_differences_have_no_boundary(name):
    assert CASES[name].loss.boundary is None


def test_as_loss_keeps_a_loss_and_gives_a_pair_no_boundary():
    loss, pair = losses.hinge(), Pair(*losses.hinge()[:2])
    assert losses.as_loss(loss) is loss
    assert losses.as_loss(pair) == Loss(*pair, boundary=None)
    with pytest.raises(TypeError, match=r"loss must be a jaxgan.Pair of .*; got generator=1"):
        losses.as_loss(Loss(1, pair.discriminator))
    with pytest.raises(TypeError, match=r"loss.boundary must be a number; got '0'"):
        losses.as_loss(loss._replace(boundary="0"))
    with pytest.raises(ValueError, match=r"loss.boundary must be a finite number; got nan"):
        losses.as_loss(loss._replace(boundary=float("nan")))


@every_loss
def test_gan_accepts_every_loss(name, batch):
    state = jax.eval_shape(make_gan(loss=CASES[name].loss).init, jax.random.key(0), batch)
    assert state.step.shape == ()


@pytest.mark.parametrize("real_label", [0.0, -0.1, 1.1, float("nan")])
def test_real_label_out_of_range_is_rejected(real_label):
    with pytest.raises(ValueError, match=r"real_label must be (in|a finite number)"):
        losses.non_saturating(real_label)


@pytest.mark.parametrize("fake_label", [-0.1, 0.9, 1.0, float("nan")])
def test_fake_label_out_of_range_is_rejected(fake_label):
    with pytest.raises(
        ValueError, match=r"fake_label must be (in \[0, real_label\), here \[0, 0.9|a finite)"
    ):
        losses.non_saturating(0.9, fake_label)


@pytest.mark.parametrize(
    "labels",
    [
        {"real_label": 0.0},
        {"fake_label": 1.0},
        {"generator_label": 0.0},
        {"fake_label": 2.0, "real_label": 3.0},
        {"real_label": float("inf")},
        {"fake_label": -float("inf")},
        {"generator_label": float("nan")},
    ],
)
def test_invalid_least_squares_labels_are_rejected(labels):
    with pytest.raises(
        ValueError, match=r"must be (below real_label and generator_label|a finite number)"
    ):
        losses.least_squares(**labels)


@every_loss
@both_players
@pytest.mark.parametrize(
    ("real", "fake"), [((3,), (4,)), ((3,), (3, 1)), ((3, 1), (3,)), ((0, 2), (0, 2)), ((), ())]
)
def test_logits_of_wrong_shape_are_rejected_at_trace_time(name, player, real, fake):
    arguments = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (real, fake))
    message = [
        rf"{side}_logits must be float \[batch\] or \[batch, ...\].*; got shape"
        for side in ("real", "fake")
    ]
    message = "|".join([*message, r"the same shape; got \(\(3,.*\), \((3|4),.*\)\)"])
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(getattr(CASES[name].loss, player), *arguments)


@every_loss
@both_players
@pytest.mark.parametrize(
    ("real", "fake"), [("int32", "float32"), ("float32", "uint8"), ("bool", "bool")]
)
def test_non_float_logits_are_rejected(name, player, real, fake):
    with pytest.raises(TypeError, match=rf"must be float \[batch\] or .*; got ({real}|{fake}) of"):
        getattr(CASES[name].loss, player)(jnp.zeros(3, real), jnp.zeros(3, fake))


CLASS_LOGITS = np.array([[0.5, -1.0, 3.0], [-2.0, 4.0, 0.25], [0.0, 0.0, -5.0], [1.0, 1.0, 1.0]])
LABELS = np.array([0, 1, 2, 1])


def softmax_cross_entropy(class_logits: np.ndarray) -> np.ndarray:
    probabilities = np.exp(class_logits) / np.exp(class_logits).sum(axis=1, keepdims=True)
    return -np.log(probabilities[np.arange(len(LABELS)), LABELS])


@pytest.mark.parametrize("labels_dtype", [jnp.int32, jnp.uint8])
@pytest.mark.parametrize(("dtype", "rtol"), [(jnp.float32, 2e-6), (jnp.bfloat16, 0.03)])
def test_auxiliary_classifier_matches_its_formula_under_jit(dtype, rtol, labels_dtype):
    labels = jnp.asarray(LABELS, labels_dtype)
    values = jax.jit(losses.auxiliary_classifier)(jnp.asarray(CLASS_LOGITS, dtype), labels)
    assert values.dtype == dtype
    expected = softmax_cross_entropy(CLASS_LOGITS)
    np.testing.assert_allclose(np.asarray(values, np.float64), expected, rtol=rtol, atol=rtol)


def test_auxiliary_classifier_gradient_matches_finite_differences():
    loss = lambda class_logits: losses.auxiliary_classifier(
        class_logits, jnp.asarray(LABELS, "int32")
    )
    actual = jax.jit(jax.jacobian(loss))(jnp.asarray(CLASS_LOGITS, jnp.float32))
    expected = central_differences(softmax_cross_entropy, CLASS_LOGITS)
    np.testing.assert_allclose(actual.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


def test_auxiliary_classifier_matches_hand_computed_values():
    class_logits = jnp.array([[0.0, 0.0], [np.log(3.0), 0.0], [np.log(3.0), 0.0]], jnp.float32)
    values = losses.auxiliary_classifier(class_logits, jnp.array([0, 0, 1]))
    # log 2, log 4/3, log 4
    np.testing.assert_allclose(values, [0.6931472, 0.2876821, 1.3862944], rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_auxiliary_classifier_is_finite_at_extreme_logits(dtype):
    class_logits, labels = jnp.array([[1e4, -1e4], [1e4, -1e4]], dtype), jnp.array([0, 1])
    loss = lambda x: losses.auxiliary_classifier(x, labels)
    values, gradient = loss(class_logits), jax.grad(lambda x: loss(x).sum())(class_logits)
    assert values.dtype == gradient.dtype == dtype
    np.testing.assert_allclose(np.asarray(values, np.float64), [0.0, 2e4], rtol=0.01)
    np.testing.assert_array_equal(np.asarray(gradient, np.float64), [[0, 0], [1, -1]])


def test_auxiliary_classifier_is_precise_for_large_logits():
    # 256 and 258 are adjacent in bfloat16.
    class_logits = jnp.array([[256.0, 258.0], [-256.0, -258.0]], jnp.bfloat16)
    values = losses.auxiliary_classifier(class_logits, jnp.array([1, 0]))
    np.testing.assert_allclose(np.asarray(values, np.float64), np.log1p(np.exp(-2.0)), rtol=0.03)


@pytest.mark.parametrize(
    ("class_logits", "labels"), [((4, 3), (3,)), ((4, 3), (4, 1)), ((4,), (4,)), ((4, 3, 1), (4,))]
)
def test_class_logits_and_labels_of_wrong_shape_are_rejected(class_logits, labels):
    logits, integers = jnp.zeros(class_logits), jnp.zeros(labels, jnp.int32)
    message = (
        r"class_logits must be float \[batch, num_classes\]|Labels must be one for each example"
    )
    with pytest.raises(ValueError, match=message):
        losses.auxiliary_classifier(logits, integers)


@pytest.mark.parametrize(
    ("class_logits", "labels"), [("int32", "int32"), ("float32", "float32"), ("float32", "bool")]
)
def test_class_logits_and_labels_of_wrong_dtype_are_rejected(class_logits, labels):
    logits, integers = jnp.zeros((4, 3), class_logits), jnp.zeros(4, labels)
    with pytest.raises(
        TypeError, match=rf"got ({class_logits} of shape \(4, 3\)|{labels} of shape)"
    ):
        losses.auxiliary_classifier(logits, integers)


def test_logits_can_be_passed_by_keyword():
    logits = {"real_logits": jnp.zeros(2), "fake_logits": jnp.ones(2)}
    np.testing.assert_allclose(losses.wasserstein().discriminator(**logits), 1.0)
