"""Tests terms, views, conditions, samplers and logits of several axes in a GAN."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import BATCH, LATENT_DIM, SHAPE, assert_trees_equal, make_gan

import jaxgan
from jaxgan import Pair, augment, checkpoint, latents, penalties, terms, training

SGD = Pair(optax.sgd(0.1), optax.sgd(0.1))
FROZEN = Pair(optax.set_to_zero(), optax.set_to_zero())
GENERATOR = jaxgan.networks.MLPGenerator(SHAPE, features=(8, 8))


class Critic(nn.Module):
    """Returns logits of several shapes, and features."""

    form: str = "patches"

    @nn.compact
    def __call__(self, images):
        x = nn.leaky_relu(nn.Conv(4, (2, 2), strides=2)(images))
        logits = {
            "column": lambda: nn.Dense(1)(x.reshape(x.shape[0], -1)),
            "patches": lambda: nn.Conv(1, (1, 1))(x)[..., 0],
            "scales": lambda: (nn.Conv(1, (1, 1))(x)[..., 0], nn.Conv(1, (2, 2))(x)[..., 0]),
        }[self.form]()
        return logits, {"features": x}


def first_step(gan, batch):
    state = gan.init(jax.random.key(0), batch)
    return state, *jax.jit(gan.update)(state, batch)


def draws(state, num=BATCH):
    key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), 0)
    return jax.random.normal(key, (num, LATENT_DIM))


def mean_bce(logits, target):
    parts = jax.tree.leaves(logits)
    each = [
        jnp.mean(optax.sigmoid_binary_cross_entropy(x, jnp.full_like(x, target))) for x in parts
    ]
    return sum(each) / len(each)


@pytest.mark.parametrize("form", ["column", "patches", "scales"])
def test_losses_average_all_logits(batch, form):
    critic = Critic(form)
    gan = make_gan(discriminator=critic, optimizer=SGD)
    state, after, metrics = first_step(gan, batch)
    z = draws(state)
    make = lambda g: GENERATOR.apply({"params": g}, z)
    apply = lambda d, x: critic.apply({"params": d}, x)[0]
    g, d = state.params
    of_d = lambda d: mean_bce(apply(d, batch), 0.9) + mean_bce(apply(d, make(g)), 0.0)
    value, grads = jax.value_and_grad(of_d)(d)
    d = jax.tree.map(lambda p, grad: p - 0.1 * grad, d, grads)
    of_g = lambda g: mean_bce(apply(d, make(g)), 1.0)
    g = jax.tree.map(lambda p, grad: p - 0.1 * grad, g, jax.grad(of_g)(g))
    np.testing.assert_allclose(metrics["discriminator_loss"], value, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.params, Pair(g, d))


PENALTIES = {
    "r1": penalties.r1(1.0),
    "r2": penalties.r2(1.0),
    "wgan_gp": penalties.wgan_gp(),
    "dragan": penalties.dragan(),
    "lecam": penalties.lecam(),
    "consistency": penalties.consistency(augment.translation(0.5)),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_of_a_column_equal_those_of_a_vector(batch, name):
    vector = lambda x: jnp.sum(jnp.sin(x), axis=(1, 2, 3))
    penalty, found = PENALTIES[name], []
    for critic in (vector, lambda x: vector(x)[:, None]):
        both = terms.Critic(critic, critic)
        view = terms.View(images=batch, samples=-batch, critic=both, key=jax.random.key(0))
        found.append(penalty.apply(penalty.init(), view)[0])
    np.testing.assert_allclose(*found, rtol=1e-6)
    assert found[0].shape == (BATCH,)
    assert float(jnp.sum(found[0])) > 0


def test_penalties_use_the_mean_logit_of_an_image(batch):
    """Two scales with equal weights have the same mean logit, but not the same patches."""
    critic = Critic("scales")
    gan = make_gan(discriminator=critic, penalty=penalties.r1(2.0), optimizer=FROZEN)
    state, _, metrics = first_step(gan, batch)

    def mean_logit(image):
        logits = critic.apply({"params": state.params.discriminator}, image[None])[0]
        return (jnp.mean(logits[0]) + jnp.mean(logits[1])) / 2

    slopes = jax.vmap(jax.grad(mean_logit))(batch)
    np.testing.assert_allclose(metrics["penalty"], jnp.sum(slopes**2) / BATCH, rtol=1e-5)


def test_gradient_penalty_of_packs_uses_all_images_of_a_pack(batch):
    """The points of WGAN-GP lie on the line between two packs, not between single images."""
    images, seen = jnp.concatenate([batch, -batch])[:4], []

    def watch(view):
        seen.append(view.real_logits.shape)
        fake, real = view.samples, view.images
        return jnp.sum(fake - real)

    options = {"augmentation": augment.pack(2), "optimizer": FROZEN}
    both = penalties.add(penalties.wgan_gp(), watch)
    gan = make_gan(penalty=both, **options)
    first_step(gan, images)
    assert set(seen) == {(2,)}
    view = terms.View(
        images=images,
        samples=jnp.zeros_like(images),
        critic=terms.Critic(*[lambda x: jnp.sum(x.reshape(2, -1) ** 2, 1) / 2] * 2),
        real_logits=jnp.zeros(2),
        key=jax.random.key(3),
    )
    share = np.asarray(jax.random.uniform(view.key, (2, 1, 1, 1)))
    points = np.repeat(share, 2, 0) * np.asarray(images)  # the gradient of |x|^2 / 2 is x
    norms = np.sqrt(np.sum(points.reshape(2, -1) ** 2, 1))
    values, _ = penalties.wgan_gp(1.0).apply((), view)
    np.testing.assert_allclose(values, (norms - 1) ** 2, rtol=1e-5)


def test_generator_terms_differentiate_samples_parameters_and_generate(batch):
    """The gradient flows through the shared pass, a second pass and the parameters."""

    def term(view):
        assert view.fake is not None
        twice = view.generate(2 * view.latents)
        size = sum(jnp.sum(x**2) for x in jax.tree.leaves(view.params.generator))
        return jnp.mean(jnp.abs(view.samples - view.images)) + jnp.mean(twice**2) + 1e-2 * size

    gan = make_gan(
        terms=Pair({"own": term}, {}), optimizer=Pair(optax.sgd(0.1), optax.set_to_zero())
    )
    state, after, metrics = first_step(gan, batch)
    z, discriminator = draws(state), jaxgan.networks.MLPDiscriminator(features=(8, 8))

    def reference(g):
        make = lambda z: GENERATOR.apply({"params": g}, z)
        logits = discriminator.apply({"params": state.params.discriminator}, make(z))
        size = sum(jnp.sum(x**2) for x in jax.tree.leaves(g))
        own = jnp.mean(jnp.abs(make(z) - batch)) + jnp.mean(make(2 * z) ** 2) + 1e-2 * size
        return mean_bce(logits, 1.0) + own, own

    (value, own), grads = jax.value_and_grad(reference, has_aux=True)(state.params.generator)
    np.testing.assert_allclose(metrics["generator_loss"], value, rtol=1e-5)
    np.testing.assert_allclose(metrics["own"], own, rtol=1e-5)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, state.params.generator, grads)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.params.generator, expected
    )


def test_terms_of_one_player_do_not_move_the_other(batch):
    both = lambda view: jnp.mean(view.critic(view.samples)) ** 2
    plain, gan = make_gan(optimizer=SGD), make_gan(optimizer=SGD, terms=Pair({"t": both}, {}))
    _, expected, _ = first_step(plain, batch)
    _, after, _ = first_step(gan, batch)
    assert_trees_equal(after.params.discriminator, expected.params.discriminator)


def counting() -> terms.Term:
    """Counts its steps, and adds the count."""
    return terms.Term(lambda: jnp.zeros(()), lambda count, view: (0 * count + count, count + 1))


def test_stateful_terms_of_both_players_are_kept_and_restored(batch, tmp_path):
    gan = make_gan(terms=Pair({"g": counting()}, {"d": counting()}))
    state, update = gan.init(jax.random.key(0), batch), jax.jit(gan.update)
    for i in range(3):
        state, metrics = update(state, batch)
        assert float(metrics["g"]) == float(metrics["d"]) == i
    checkpoint.save(tmp_path, state).result()
    restored = checkpoint.restore(tmp_path, like=state)
    assert_trees_equal(restored, state)
    assert float(restored.model_state.generator["terms"]["g"]) == 3


def test_skipped_step_keeps_the_state_of_its_terms(batch):
    nan = lambda view: jnp.where(view.step == 0, jnp.nan, 0.0)
    gan = make_gan(terms=Pair({"g": counting()}, {"d": counting(), "nan": nan}))
    state, after, metrics = first_step(gan, batch)
    assert int(metrics["discriminator_skipped"]) == 1
    assert float(after.model_state.discriminator["terms"]["d"]) == 0
    assert float(after.model_state.generator["terms"]["g"]) == 1
    assert_trees_equal(after.params.discriminator, state.params.discriminator)


def test_lazy_terms_count_the_steps_of_their_player(batch):
    """With two discriminator steps, the metrics are those of the steps 1, 3, 5 and 7."""
    one = lambda view: 1.0 + 0.0 * jnp.mean(view.fake)
    own = Pair({"g": penalties.lazy(one, 2)}, {"d": penalties.lazy(one, 3)})
    gan = make_gan(terms=own, dynamics=jaxgan.dynamics.alternating(2))
    images, found = jnp.concatenate([batch, -batch]), []
    state = gan.init(jax.random.key(0), images)
    for _ in range(4):
        state, metrics = jax.jit(gan.update)(state, images)
        found.append([float(metrics["g"]), float(metrics["d"])])
    assert found == [[2, 0], [0, 3], [2, 0], [0, 0]]


def test_each_term_has_its_own_key(batch):
    noise = lambda view: jax.random.normal(view.key)
    gan = make_gan(terms=Pair({"a": noise, "b": noise}, {"c": noise}), penalty=noise)
    metrics = first_step(gan, batch)[2]
    assert len({float(metrics[name]) for name in ("a", "b", "c", "penalty")}) == 4


def test_extras_reach_terms_and_metrics(batch):
    def matching(view):
        means = [jnp.mean(x["features"], 0) for x in (view.real_extras, view.fake_extras)]
        return jnp.mean((means[0] - means[1]) ** 2)

    metrics = lambda view: {"features": jnp.mean(view.real_extras["features"])}
    gan = make_gan(discriminator=Critic(), terms=Pair({"match": matching}, {}), metrics=metrics)
    state, after, found = first_step(gan, batch)
    apply = lambda d, x: np.asarray(Critic().apply({"params": d}, x)[1]["features"], np.float64)
    fake = GENERATOR.apply({"params": state.params.generator}, draws(state))
    d = after.params.discriminator
    gaps = apply(d, batch).mean(0) - apply(d, fake).mean(0)
    np.testing.assert_allclose(found["match"], np.mean(gaps**2), rtol=1e-4)
    mean = apply(state.params.discriminator, batch).mean()
    np.testing.assert_allclose(found["features"], mean, rtol=1e-5)


class Translator(nn.Module):
    """Generates from latents in a dict and a condition with an image and a vector."""

    @nn.compact
    def __call__(self, z, condition):
        flat = [z["noise"], *z["categories"], condition["vector"]]
        x = jnp.concatenate([*flat, condition["image"].reshape(len(z["noise"]), -1)], -1)
        return nn.tanh(nn.Dense(16)(x)).reshape(-1, *SHAPE)


class PairCritic(nn.Module):
    @nn.compact
    def __call__(self, images, condition):
        x = jnp.concatenate([images, condition["image"]], -1).reshape(images.shape[0], -1)
        return nn.Dense(1)(jnp.concatenate([x, condition["vector"]], -1))[:, 0]


def test_conditions_and_latents_can_be_pytrees(batch):
    condition = {"image": -batch, "vector": jnp.linspace(0, 1, 2 * BATCH).reshape(BATCH, 2)}
    gan = make_gan(
        generator=Translator(),
        discriminator=PairCritic(),
        latents=latents.infogan(2, categories=(3,), continuous=0),
        terms=Pair({"l1": lambda view: jnp.mean(jnp.abs(view.fake - view.condition["image"]))}, {}),
        augmentation=lambda key, x: -x,
        optimizer=SGD,
    )
    state, after, metrics = first_step(gan, (batch, condition))
    assert int(metrics["generator_skipped"]) == int(metrics["discriminator_skipped"]) == 0
    drawn = gan.sample(after, jax.random.key(1), condition)
    again = gan.sample(
        after, latents.infogan(2, (3,), 0)(jax.random.key(1), BATCH, jnp.float32), condition
    )
    assert_trees_equal(drawn, again)
    run = functools.partial(training.steps, gan, num_steps=2, batch_size=3)
    state, _ = jax.jit(run)(state, (batch, condition))
    assert int(state.step) == 2
    with pytest.raises(ValueError, match=r"The condition must be arrays of shape \(5, \.\.\.\)"):
        gan.update(state, (batch, jax.tree.map(lambda x: x[:3], condition)))
    with pytest.raises(ValueError, match="Latents must be of structure"):
        gan.sample(state, jnp.zeros((BATCH, 5)), condition)


def test_samples_of_a_key_come_from_the_sampler(batch):
    gan = make_gan(latents=latents.uniform(LATENT_DIM))
    state = gan.init(jax.random.key(0), batch)
    z = jax.random.uniform(jax.random.key(4), (6, LATENT_DIM), minval=-1.0)
    np.testing.assert_allclose(
        gan.sample(state, jax.random.key(4), num=6), gan.sample(state, z), atol=1e-6
    )
    with pytest.raises(ValueError, match="num must be given with a key"):
        gan.sample(state, jax.random.key(4))
    with pytest.raises(ValueError, match="num must be omitted with latents; got 6"):
        gan.sample(state, z, num=6)


def test_losses_are_a_function_of_both_players(batch):
    """The gradients of `losses` are those of simultaneous steps."""
    gan = make_gan(penalty=penalties.r1(1.0), optimizer=SGD)
    state, after, metrics = first_step(gan, batch)
    key = jax.random.fold_in(state.key, state.step)
    (found, aux) = gan.losses(state.params, state, batch, key)
    np.testing.assert_allclose(found.discriminator, metrics["discriminator_loss"], rtol=1e-6)
    moved = state.params._replace(discriminator=after.params.discriminator)
    later, _ = gan.losses(moved, state, batch, key)
    np.testing.assert_allclose(later.generator, metrics["generator_loss"], rtol=1e-5)
    of_d = lambda d: gan.losses(state.params._replace(discriminator=d), state, batch, key)[0]
    grads = jax.grad(lambda d: of_d(d).discriminator)(state.params.discriminator)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, state.params.discriminator, grads)
    close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6)
    jax.tree.map(close, after.params.discriminator, expected)
    assert "penalty" in aux.discriminator[1]


class TestBadInput:
    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"terms": {"l1": 1}}, TypeError, "terms must be a jaxgan.Pair of dicts"),
            ({"terms": Pair([], {})}, TypeError, "terms.generator must be a dict of terms"),
            ({"terms": Pair({"l1": 3}, {})}, TypeError, r"A term must be a function \(view\)"),
            (
                {"penalty": lambda critic, real, fake, key: 0.0},
                TypeError,
                r"A term must be a function .*; got a function \(critic, real, fake, key\)",
            ),
            ({"terms": Pair({"logit_gap": len}, {})}, ValueError, "different from the metrics"),
            ({"terms": Pair({"a": len}, {"a": len})}, ValueError, "both players; got 'a' twice"),
            (
                {"terms": Pair({}, {"penalty": len}), "penalty": len},
                ValueError,
                "given once, as penalty or in terms",
            ),
            ({"dynamics": jaxgan.dynamics.alternating}, TypeError, "dynamics must be a jaxgan"),
        ],
    )
    def test_invalid_arguments_are_rejected(self, changes, error, message):
        with pytest.raises(error, match=message):
            make_gan(**changes)

    def test_shape_of_a_term_is_checked_at_init(self, batch):
        gan = make_gan(terms=Pair({"l1": lambda view: jnp.abs(view.fake - view.images)}, {}))
        message = r"The term 'l1' must be a scalar or of shape \(2,\), .*; got \(2, 4, 4, 1\)"
        with pytest.raises(ValueError, match=message):
            gan.init(jax.random.key(0), batch)

    def test_class_losses_name_what_is_missing(self, batch):
        gan = make_gan(terms=Pair({"classes": terms.fake_class_loss()}, {}))
        with pytest.raises(ValueError, match=r"must be \(logits, {\"classes\": class_logits}\)"):
            gan.init(jax.random.key(0), batch)
        gan = make_gan(discriminator=Critic(), terms=Pair({}, {"c": terms.real_class_loss()}))
        with pytest.raises(ValueError, match=r"with a class loss; got logits with .*'features'"):
            gan.init(jax.random.key(0), batch)

    def test_logits_of_different_ranks_are_rejected(self, batch):
        class Old(nn.Module):
            @nn.compact
            def __call__(self, images):
                x = images.reshape(images.shape[0], -1)
                return nn.Dense(1)(x)[:, 0], nn.Dense(3)(x)

        with pytest.raises(ValueError, match=r"arrays of the same rank; .* Return other results"):
            make_gan(discriminator=Old()).init(jax.random.key(0), batch)

    def test_batches_of_other_forms_are_rejected(self, gan, state, batch):
        for wrong in ((batch,), (batch, None, batch)):
            with pytest.raises(TypeError, match=r"The batch must be images, or a tuple"):
                gan.update(state, wrong)

    def test_views_without_the_needed_fields_are_rejected(self):
        with pytest.raises(TypeError, match=r"view must be a jaxgan\.terms\.View"):
            penalties.r1().apply((), 3)
        with pytest.raises(TypeError, match=r"view\.critic must be a jaxgan\.terms\.Critic"):
            penalties.r1().apply((), terms.View(images=jnp.ones((2, 2))))


def conditional_gan(term):
    """Returns a GAN on points whose networks broadcast one row of latents to many conditions."""

    class Network(nn.Module):
        size: int

        @nn.compact
        def __call__(self, x, condition=None):
            shift = 0.0 if condition is None else 3.0 * condition
            return jnp.squeeze(nn.Dense(self.size)(x) + shift, 1 if self.size == 1 else ())

    return jaxgan.gan(
        Network(2), Network(1), jaxgan.losses.hinge(), SGD, 2, terms=Pair({"term": term}, {})
    )


def test_functions_of_a_view_use_the_condition_of_the_step_for_none():
    def differences(view):
        made = view.generate(view.latents, None) - view.samples
        logits = view.critic.real(view.samples, None) - view.critic.real(view.samples)
        return jnp.sum(jnp.abs(made)) + jnp.sum(jnp.abs(logits))

    points = jnp.ones((4, 2)), jnp.ones((4, 1))
    gan = conditional_gan(differences)
    _, metrics = gan.update(gan.init(jax.random.key(0), points), points)
    assert metrics["term"] == 0


@pytest.mark.parametrize(
    ("term", "name"),
    [
        (lambda view: jnp.mean(view.generate(view.latents[:1])), "view.generate"),
        (lambda view: jnp.mean(view.critic(view.images[:1])), "view.critic"),
    ],
)
def test_conditions_of_other_rows_than_the_input_of_a_network_are_rejected(term, name):
    points = jnp.ones((4, 2)), jnp.ones((4, 1))
    gan = conditional_gan(term)
    with pytest.raises(ValueError, match=f"The condition of {name} must be of 1 rows"):
        gan.update(gan.init(jax.random.key(0), points), points)


@pytest.mark.parametrize("value", [None, ("a", "b", "c"), np.complex64(1j)])
def test_terms_that_are_no_real_numbers_are_rejected(value):
    points = jnp.ones((4, 2)), jnp.ones((4, 1))
    gan = conditional_gan(lambda view: value)
    with pytest.raises(TypeError, match="The term 'term' must be a scalar or of shape"):
        gan.init(jax.random.key(0), points)


def test_samples_of_a_key_accept_lists_of_labels_and_reject_a_number():
    points = jnp.ones((4, 2)), jnp.ones((4, 1))
    gan = conditional_gan(lambda view: 0.0)
    state, key = gan.init(jax.random.key(0), points), jax.random.key(1)
    of_list = gan.sample(state, key, [[0.0], [1.0]])
    np.testing.assert_array_equal(of_list, gan.sample(state, key, jnp.asarray([[0.0], [1.0]])))
    with pytest.raises(ValueError, match="The condition must be arrays with a row"):
        gan.sample(state, key, 3.0)
