"""Losses, penalties, augmentations, networks and `gan` reject bad arguments by name.

`pytest -m slow tests/torture` tries thousands of inputs; the default suite tries two of each kind.
"""

import functools
import inspect

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from bad import (
    KEY,
    NO_BOOL,
    NO_FUNCTION,
    NO_KEY,
    NOT_FINITE,
    NOTHING,
    Case,
    X,
    array,
    number,
    rejected,
    whole,
)
from conftest import BATCH, LATENT_DIM, SHAPE, make_gan
from hypothesis import strategies as st

import jaxgan
from jaxgan import (
    Pair,
    augment,
    dynamics,
    losses,
    networks,
    optimizers,
    penalties,
    terms,
    updates,
)

FLIP = lambda key, images: -images
IMAGES, ONE = np.zeros((BATCH, *SHAPE), np.float32), jnp.ones(())
CRITIC = lambda images: images.reshape(images.shape[0], -1).sum(axis=1)
ADAM = Pair(optax.adam(1e-3), optax.adam(1e-3))


@functools.cache
def small_gan(**changes):
    """Returns a small GAN and the shapes of its state, without compilation."""
    gan = make_gan(**changes)
    return gan, jax.eval_shape(gan.init, KEY, jnp.zeros((BATCH, *SHAPE)))


def update(images=IMAGES, labels=None, gan=None):
    gan, state = gan or small_gan()
    batch = images if labels is None else (images, labels)
    return jax.eval_shape(lambda s: gan.update(s, batch), state)


def penalize(penalty, real=X, fake=X, critic=CRITIC, key=KEY, state=()):
    both = terms.Critic(critic, critic)
    return penalty.apply(state, terms.View(images=real, samples=fake, critic=both, key=key))


def changed_state(changes):
    gan = make_gan(**changes)
    return jax.eval_shape(gan.init, KEY, jnp.zeros((BATCH, *SHAPE)))


def loss_cases():
    yield Case("real_label", number(0, 1), losses.non_saturating)
    yield Case("fake_label", number(0, 0.9), lambda x: losses.non_saturating(0.9, x))
    for name in ("real_label", "fake_label", "generator_label"):
        yield Case(name, number(), lambda x, name=name: losses.least_squares(**{name: x}))
    for name in (
        "minimax",
        "non_saturating",
        "least_squares",
        "wasserstein",
        "hinge",
        "relativistic",
        "relativistic_average",
    ):
        for side in Pair._fields:
            loss = getattr(getattr(losses, name)(), side)
            yield Case(f"{name}.{side}", array(1, least=1), lambda x, f=loss: f(x, x))
            yield Case(
                f"{name}.{side}.fake", array(1, least=1), lambda x, f=loss: f(np.ones(4, "f"), x)
            )
    classify = losses.auxiliary_classifier
    yield Case("class_logits", array(2), lambda x: classify(x, np.zeros(3, int)))
    yield Case("labels", array(1, "fbc"), lambda x: classify(np.zeros((9, 3), "f"), x))
    outside = st.one_of(st.integers(-99, -1), st.integers(3, 99))
    yield Case("label", outside, lambda x: classify(np.zeros((1, 3), "f"), np.array([x])))


def penalty_cases():
    for make in (penalties.r1, penalties.r2, penalties.wgan_gp, penalties.dragan):
        name, penalty, shapes = make.__name__, make(), array(2, least=2)
        yield Case(name, number(0), make)
        given = shapes.filter(lambda x: x is not None)  # some penalties need one field only
        real = given if make is penalties.r2 else shapes
        fake = shapes if make in (penalties.r2, penalties.wgan_gp) else given
        yield Case(f"{name}.real", real, lambda x, p=penalty: penalize(p, x))
        yield Case(f"{name}.fake", fake, lambda x, p=penalty: penalize(p, X, x))
        no_key = NO_KEY.filter(lambda x: x is not None)
        yield Case(f"{name}.key", no_key, lambda x, p=penalty: penalize(p, key=x))
        yield Case(f"{name}.view", NOTHING, lambda x, p=penalty: p.apply((), x))
        no_critic = lambda x, p=penalty: p.apply((), terms.View(X, X, critic=x, key=KEY))
        yield Case(f"{name}.critic", NOTHING, no_critic)
    one_sided = lambda x: penalties.wgan_gp(one_sided=x)
    yield Case("one_sided", NO_BOOL, one_sided)
    yield Case("dragan.scale", number(0), lambda x: penalties.dragan(scale=x))
    yield Case("broadcast", st.just(X[:1]), lambda x: penalize(penalties.r1(), X, x))
    yield Case("critic", NO_FUNCTION, lambda x: penalize(penalties.r1(), critic=x))
    yield Case(
        "logits",
        array(1, least=1).filter(lambda x: isinstance(x, np.ndarray)),
        lambda x: penalize(penalties.consistency(FLIP), critic=lambda _: x),
    )
    yield Case("consistency", NO_FUNCTION, penalties.consistency)
    yield Case("consistency.weight", number(0), lambda x: penalties.consistency(FLIP, x))
    yield Case("lecam", number(0), penalties.lecam)
    yield Case("lecam.decay", number(0, 1), lambda x: penalties.lecam(decay=x))
    yield Case(
        "lecam.state",
        NOTHING,
        lambda x: penalize(penalties.lecam(), state=x),
        "a pytree like the",
    )
    yield Case("lazy.every", whole(), lambda x: penalties.lazy(penalties.r1(), x))
    for make in (penalties.lazy, penalties.add, terms.as_term):
        yield Case(make.__name__, NO_FUNCTION, make)
    yield Case("inject", NO_FUNCTION, penalties.inject)
    no_penalty = lambda x: penalties.inject(lambda: x)()
    yield Case("injected penalty", NO_FUNCTION, no_penalty)
    yield Case("injected", number(0), lambda x: penalties.inject(penalties.r1)(gamma=x))
    yield Case("clip_weights", number(0), optimizers.clip_weights)


def term_cases():
    arity = st.sampled_from([lambda: 0.0, lambda view, other: 0.0, lambda *, view: 0.0])
    yield Case("arity", arity, terms.as_term, "A term must be a function")
    yield Case("term.init", NO_FUNCTION, lambda x: terms.as_term(terms.Term(x, CRITIC)))
    yield Case("term.apply", NO_FUNCTION, lambda x: terms.as_term(terms.Term(tuple, x)))
    labels, logits = np.zeros(3, int), np.zeros((3, 4), "f")
    for make, name in ((terms.real_class_loss, "real_extras"), (terms.fake_class_loss, "fake_ext")):
        name = name if name == "real_extras" else "fake_extras"
        term = make()
        see = lambda extras, labels=labels, term=term, name=name: term.apply(
            (), terms.View(condition=labels, **{name: extras})
        )
        yield Case(make.__name__, number(0), make)
        no_classes = st.sampled_from([None, {}, {"features": logits}])
        yield Case(name, no_classes, see, 'must be .logits, {"classes": class_logits}.')
        yield Case(f"{name}.classes", array(2), lambda x, f=see: f({"classes": x}))
        no_labels = array(1, "fbc")
        of_labels = lambda x, f=see: f({"classes": logits}, x)
        yield Case(f"{name}.labels", no_labels, of_labels, "abels|The class logits must be")


def with_terms(term):
    """Traces a GAN with a term of each network."""
    return changed_state({"terms": Pair({"first": term}, {"second": term})})


def gan_term_cases():
    mean = lambda view: jnp.mean(view.fake_logits)
    term = terms.as_term(mean)
    no_terms = st.one_of(
        NOTHING, st.sampled_from([Pair(1, 2), Pair({}, None), Pair({}, {"a": 3}), ({}, {})])
    )
    yield Case("terms", no_terms, lambda x: make_gan(terms=x), "erm.* must be")
    names = st.sampled_from(["discriminator_loss", "logit_gap", "real_accuracy", 3, None])
    yield Case("term's name", names, lambda x: make_gan(terms=Pair({x: mean}, {})))
    twice = st.just("'a'")
    yield Case("names", twice, lambda x: make_gan(terms=Pair({"a": mean}, {"a": mean})))
    both = {"penalty": mean, "terms": Pair({}, {"penalty": mean})}
    yield Case("penalty twice", st.just("both"), lambda x: make_gan(**both))
    values = st.sampled_from([None, "a", {}, np.zeros((BATCH, 1)), np.zeros(3), np.zeros((1, 1))])
    shapes = r"The term '(first|second)' must be a scalar or of shape \(2,\)"
    yield Case("term's values", values, lambda x: with_terms(lambda view: x), shapes)
    results = st.sampled_from([None, 3.0, "abc", (), (0.0, (), ())])
    of_result = lambda x: with_terms(term._replace(apply=lambda state, view: x))
    yield Case("term's result", results, of_result, "'s result must be .values, state.")
    states = st.sampled_from([(), {}, [], jnp.zeros(2), jnp.zeros((), jnp.int32)])
    of_state = lambda x: with_terms(terms.Term(lambda: jnp.zeros(()), lambda state, view: (0.0, x)))
    yield Case("term's state", states, of_state, "'s state must be a pytree like")
    some = NO_FUNCTION.filter(lambda x: x is not None)
    yield Case("metrics", some, lambda x: make_gan(metrics=x))
    measure = lambda x: changed_state({"metrics": lambda view: x})
    no_dict = st.sampled_from([None, 3.0, "ab", [], X])
    yield Case("metrics' result", no_dict, measure, "The result of metrics must be a dict")
    no_scalar = st.sampled_from([None, "a", X, [1.0], np.zeros(1)])
    message = r"The result of metrics\['a'\] must be a scalar"
    yield Case("metric", no_scalar, lambda x: measure({"a": x}), message)
    taken = st.sampled_from(["discriminator_loss", "logit_gap", "first", 3])
    measured = {"terms": Pair({"first": mean}, {})}
    of_name = lambda x: changed_state(measured | {"metrics": lambda view: {x: 0.0}})
    yield Case("metric's name", taken, of_name, "without the names of other metrics; got")
    some = NOTHING.filter(lambda x: x is not None)
    yield Case("dynamics", st.one_of(some, st.just(dynamics.alternating)), with_dynamics)
    for name, bad in (("init", NO_FUNCTION), ("update", NO_FUNCTION), ("shares", whole())):
        change = lambda x, name=name: with_dynamics(dynamics.alternating()._replace(**{name: x}))
        yield Case(f"dynamics.{name}", bad, change)
    small, state = small_gan()
    step = lambda **x: jax.eval_shape(lambda s: small.update(s, IMAGES, **x), state)
    yield Case("update.dynamics", some, lambda x: step(dynamics=x))
    no_key = NO_KEY.filter(lambda x: x is not None)
    yield Case("update.key", no_key, lambda x: step(key=x))
    yield Case("update.interleaved", NO_BOOL, lambda x: step(interleaved=x))
    for half in (updates.discriminator_step, updates.generator_step):
        name = half.__name__
        yield Case(f"{name}.gan", NOTHING, lambda x, f=half: f(x, state, IMAGES))
        yield Case(f"{name}.state", NOTHING, lambda x, f=half: f(small, x, IMAGES))
        yield Case(f"{name}.key", no_key, lambda x, f=half: f(small, None, IMAGES, x))
    yield Case("discriminator_steps", whole(), dynamics.alternating)
    odd = {"augmentation": augment.pack(2)}
    yield Case("odd packs", st.just("5"), lambda x: update(gan=(make_gan(**odd), None)))
    packed = lambda x: make_gan(augmentation=augment.pack(x), num_classes=3)
    yield Case("packs of classes", st.integers(2, 9), packed)


def with_dynamics(x):
    return make_gan(dynamics=x)


def sampler_cases():
    drawn = lambda x: changed_state({"latents": lambda key, num, dtype: x})
    arrays = st.sampled_from([np.zeros((7, 3), "f"), np.zeros((), "f")])
    yield Case("sampler's shape", arrays, drawn, "The result of latents must be float arrays")
    others = st.sampled_from([None, {}, np.zeros((1, 3), int), [], jnp.zeros((1, 2), bool)])
    yield Case("sampler's result", others, drawn, "The result of latents must be float arrays")
    yield Case(
        "sampler", st.sampled_from([None, "f", 3.5, [], {}, 0]), lambda x: make_gan(latents=x)
    )
    gan, state = small_gan()
    sample = lambda *x, **more: jax.eval_shape(lambda s: gan.sample(s, *x, **more), state)
    num = whole().filter(lambda x: x is not None)
    yield Case("sample.num", num, lambda x: sample(KEY, num=x))
    yield Case("no num", st.just("None"), lambda x: sample(KEY), "num must be given with a key")
    with_latents = lambda x: sample(np.ones((2, LATENT_DIM), "f"), num=x)
    yield Case("num of latents", st.integers(1, 9), with_latents, "num must be omitted with")
    keys = st.sampled_from([np.zeros(2, np.uint32), jax.random.split(KEY, 3)])
    yield Case("sample.key", keys, lambda x: sample(x, num=2))
    images = st.just(np.zeros((2, *SHAPE), "f"))
    message = r"generator must be a network of \(latents, condition\)"
    yield Case("sample.condition", images, lambda x: sample(KEY, x), message)


def game_cases():
    objective = jaxgan.objective(lambda key, batch: Pair(ONE, ONE), lambda *_: Pair(ONE, ONE))
    for name in ("init", "losses"):
        parts = {"init": FLIP, "losses": FLIP}
        build = lambda x, name=name, parts=parts: jaxgan.objective(**{**parts, name: x})
        yield Case(f"objective.{name}", NO_FUNCTION, build)
    game = lambda objective=objective, optimizer=ADAM, **x: jaxgan.game(objective, optimizer, **x)
    yield Case("game.objective", st.one_of(NOTHING, st.just(FLIP)), game)
    for name in ("init", "generate"):
        change = lambda x, name=name: game(objective._replace(**{name: x}))
        yield Case(f"objective.{name}", NO_FUNCTION, change)
    no_pair = st.one_of(NOTHING, st.just(Pair(1, 2)), st.just((FLIP, FLIP)))
    yield Case("objective.losses", no_pair, lambda x: game(objective._replace(losses=x)))
    no_optimizers = st.one_of(NOTHING, st.just(Pair(1, 2)))
    yield Case("game.optimizer", no_optimizers, lambda x: game(optimizer=x))
    some = NOTHING.filter(lambda x: x is not None)
    yield Case("game.dynamics", some, lambda x: game(dynamics=x))
    for name in ("ema_half_life", "ema_warmup"):
        some = number(0).filter(lambda x: x is not None)
        yield Case(f"game.{name}", some, lambda x, n=name: game(**{"ema_half_life": 1.0, n: x}))
    yield Case("game.key", NO_KEY, lambda x: game().init(x))
    starts = st.sampled_from([None, 3, (ONE, ONE), Pair(1, 2), Pair(ONE, jnp.ones(2, int))])
    start = lambda x: game(jaxgan.objective(lambda key, batch: x, FLIP)).init(KEY)
    yield Case("start", starts, start, "parameters must be")
    state = jax.eval_shape(game().init, KEY)
    yield Case("game.state", NOTHING, lambda x: game().update(x))
    values = st.sampled_from(
        [None, 3.0, (ONE, ONE), Pair(ONE, None), Pair(jnp.ones(2), ONE), Pair(ONE, ONE.astype(int))]
    )

    def play(x):
        given = jaxgan.objective(lambda key, batch: Pair(ONE, ONE), lambda *_: x)
        return jax.eval_shape(game(given).update, state)

    yield Case("losses", values, play, "must be (a jaxgan.Pair of|a) float scalar")
    uneven = st.just((np.zeros(4), np.zeros(3)))
    step = lambda x: jax.eval_shape(game(dynamics=dynamics.alternating(2)).update, state, x)
    yield Case("uneven batch", uneven, step, "of the same first axis")
    yield Case("shares", st.just(np.zeros(5)), step, "a multiple of 2")


def augment_cases():
    for make in (augment.translation, augment.cutout):
        yield Case(make.__name__, number(0, 1), make)
    plain = {
        "translation": augment.translation(),
        "cutout": augment.cutout(),
        "color": augment.color(),
        "diffaugment": augment.diffaugment(),
        "ada": augment.ada(0.5),
    }
    for name, function in plain.items():
        yield Case(f"{name}.images", array(4), lambda x, f=function: f(KEY, x))
        yield Case(f"{name}.key", NO_KEY, lambda x, f=function: f(x, X))
    for make in (augment.as_augmentation, augment.compose, augment.adaptive):
        yield Case(make.__name__, NO_FUNCTION, make)
    yield Case("with_probability", NO_FUNCTION, lambda x: augment.with_probability(x, 0.5))
    changed = st.sampled_from([None, "a", X[:1], X.astype(np.float16), X[..., 0]])
    call = lambda x: augment.with_probability(lambda key, images: x, 0.5)(KEY, X)
    yield Case("augmented", changed, call, "An augmentation's result must be")
    yield Case("probability", number(0, 1), lambda x: augment.with_probability(FLIP, x))
    no_number = number(0, 1).filter(lambda x: x is not None)
    yield Case("ada.probability", no_number, augment.ada)
    yield Case("ada.color", NO_BOOL, lambda x: augment.ada(color=x))
    yield Case("target", number(-1, 1), lambda x: augment.adaptive(FLIP, target=x))
    yield Case("images_to_full", number(1), lambda x: augment.adaptive(FLIP, images_to_full=x))
    ada = augment.adaptive(FLIP)
    yield Case("ada.logits", array(1, least=1), lambda x: ada.adapt(ada.init(), x))
    yield Case(
        "ada.state",
        NOTHING,
        lambda x: ada.adapt(x, np.ones(3, "f")),
        "a pytree like the",
    )
    yield Case("std", number(0), augment.instance_noise)
    yield Case("pack", whole(), augment.pack)
    some = NO_FUNCTION.filter(lambda x: x is not None)
    yield Case("pack.augmentation", some, lambda x: augment.pack(2, x))
    packed = lambda x, key=KEY: augment.pack(2).apply((), key, x, step=0)
    yield Case("packed images", array(4, least=2), packed)
    yield Case("packed key", NO_KEY, lambda x: packed(X, x))
    yield Case("odd images", st.just(np.zeros((3, 2), "f")), packed, "a multiple of 2")


def gan_cases():
    ada = augment.adaptive(FLIP)
    no_classes = whole().filter(lambda x: x is not None)
    yield Case("num_classes", no_classes, lambda x: make_gan(num_classes=x))
    for name in ("ema_half_life", "ema_warmup"):
        some = number(0).filter(lambda x: x is not None)
        yield Case(name, some, lambda x, name=name: make_gan(**{"ema_half_life": 1.0, name: x}))
    yield Case("warmup alone", st.floats(0.1, 1), lambda x: make_gan(ema_warmup=x))
    yield Case("bounded_logits", NO_BOOL, lambda x: make_gan(bounded_logits=x))
    for name, pair in (("data_range[0]", lambda x: (x, 9.0)), ("data_range[1]", lambda x: (0, x))):
        yield Case(name, number(), lambda x, pair=pair: make_gan(data_range=pair(x)))
    no_range = st.sampled_from([3, "ab", [0, 1], (0.0,), (1, 0), (0.5, 0.5)])
    yield Case("data_range", no_range, lambda x: make_gan(data_range=x))
    for name in ("loss", "optimizer"):
        wrong = st.one_of(NOTHING, st.just(Pair(1, 2)), st.just(Pair(ADAM, ADAM)))
        yield Case(name, wrong, lambda x, name=name: make_gan(**{name: x}))
    for name in ("generator", "discriminator"):
        wrong = st.sampled_from([None, 3, "MLP", len, networks.MLPGenerator])
        message = "A player must be"
        yield Case(name, wrong, lambda x, name=name: make_gan(**{name: x}), message)
    for name in ("penalty", "augmentation"):
        wrong = NO_FUNCTION.filter(lambda x: x is not None)
        yield Case(name, wrong, lambda x, name=name: make_gan(**{name: x}))
    init = lambda key=KEY, x=X: small_gan()[0].init(key, x)
    yield Case("init.key", NO_KEY, init)
    yield Case("init.images", array(4, least=2), lambda x: init(x=x))
    yield Case("init.nan", NOT_FINITE, lambda x: init(x=np.full_like(X, x)))
    yield Case("update.images", array(4, least=2), update, match="Images must be")
    some = array(1, "fbc").filter(lambda x: x is not None)
    yield Case("update.labels", some, lambda x: update(labels=x), "condition")
    yield Case("update.state", NOTHING, lambda x: small_gan()[0].update(x, IMAGES))
    yield Case(
        "sample.state", NOTHING, lambda x: small_gan()[0].sample(x, np.ones((1, LATENT_DIM), "f"))
    )
    labeled = make_gan(num_classes=3)
    yield Case("init.labels", array(1, "fbc"), lambda x: labeled.init(KEY, (IMAGES, x)), "abels")
    others = [
        {"latents": 7},
        {"ema_half_life": 9.0},
        {"penalty": penalties.lecam()},
        {"augmentation": ada},
        {"generator": networks.MLPGenerator(SHAPE, features=(3,))},
    ]
    mixed = lambda x: update(gan=(small_gan()[0], changed_state(x)))
    yield Case("update of another", st.sampled_from(others), mixed, "another GAN")
    other = {"optimizer": Pair(optax.sgd(0.1), optax.sgd(0.1))}
    yield Case("another optimizer", st.just(other), mixed, "generator's optimizer state must be")
    wide = np.zeros((5, 8, 8, 1), "f")
    yield Case("images of another size", st.just(wide), update)
    latents = lambda x: jax.eval_shape(lambda s: small_gan()[0].sample(s, x), small_gan()[1])
    yield Case("latents", array(2), latents)
    narrow = st.integers(1, 9).filter(lambda n: n != LATENT_DIM)
    yield Case("latents", narrow.map(lambda n: np.zeros((2, n), "f")), latents)
    standing = lambda x: lambda state: small_gan()[0].standing_statistics(state, x)
    yield Case("standing.latents", array(3), lambda x: jax.eval_shape(standing(x), small_gan()[1]))
    yield Case(
        "standing.state",
        NOTHING,
        lambda x: small_gan()[0].standing_statistics(x, np.ones((1, 2, LATENT_DIM), "f")),
    )
    yield Case("nan latents", NOT_FINITE, lambda x: latents(np.full((2, LATENT_DIM), x, "f")))


def network_cases():
    square, wide = (
        st.sampled_from([3, None, "abc", (28, 28), (0, 28, 1), (28.0, 28, 1)]),
        whole(1, 2**16),
    )
    for name in networks.__all__:
        network = getattr(networks, name)
        if not (isinstance(network, type) and issubclass(network, nn.Module)):
            continue
        numbers = [f for f, kind in network.__annotations__.items() if kind is int]
        needed = {f: 3 for f in numbers if not hasattr(network, f)}
        build = lambda x, network=network, field="dtype", needed=needed: network(
            **{**needed, field: x}
        )
        for field in numbers:
            yield Case(f"{name}.{field}", wide, functools.partial(build, field=field))
        for field in ("features", "widths"):
            if "tuple" in str(network.__annotations__.get(field)):
                many = st.sampled_from([3, None, "abc", (0, 1, 1), (2.0, 1, 1), (1, 1, "x")])
                call = functools.partial(build, field=field)
                yield Case(f"{name}.{field}", many, call, f"{field} must")
        if "dtype" in network.__annotations__:
            yield Case(
                f"{name}.dtype", st.sampled_from([jnp.int32, "abc", 3, np.bool_]), build, "dtype"
            )
        if "image_shape" in network.__annotations__ and name != "MLPGenerator":
            yield Case(
                f"{name}.image_shape",
                square,
                functools.partial(build, field="image_shape"),
                "image_shape must",
            )
        form = {
            "Generator": 2,
            "PacGANDiscriminator": 2,
            "MLPDiscriminator": 0,
            "ConditionalBatchNorm": 0,
        }
        rank = next((r for suffix, r in form.items() if name.endswith(suffix)), 4)
        bad = array(rank) if rank and name != "MinibatchStddev" else array(2, least=2)
        takes = inspect.signature(network.__call__).parameters
        train = {"train": False} if "train" in takes else {}
        conditions = {
            "ConditionalBatchNorm": (np.zeros(2, int),),
            "UNetGenerator": (np.zeros((2, 28, 28, 1), np.float32),),
        }
        more = conditions.get(name, ())
        init = functools.partial(network(**needed).init, KEY, **train)
        call = lambda x, init=init, more=more: jax.eval_shape(lambda: init(x, *more))
        yield Case(f"{name} sees", bad, call)
    z, pixels, plain = np.zeros((2, 3), "f"), np.zeros((2, 28, 28, 1), "f"), {"train": False}
    for name, module, x, options in (
        ("MLPGenerator", networks.MLPGenerator(num_classes=3), z, {}),
        ("MLPDiscriminator", networks.MLPDiscriminator(num_classes=3), pixels, {}),
        ("DCGANGenerator", networks.DCGANGenerator(num_classes=3), z, plain),
        ("DCGANDiscriminator", networks.DCGANDiscriminator(num_classes=3), pixels, plain),
    ):
        init = functools.partial(module.init, KEY, x, **options)
        call = lambda x, init=init: jax.eval_shape(lambda: init(x))
        yield Case(f"{name}.labels", array(1, "fbc"), call, "abels must be")
    for name, network, first in (
        ("UNetGenerator", networks.UNetGenerator(), z),
        ("PatchDiscriminator", networks.PatchDiscriminator(), pixels),
    ):
        init = functools.partial(network.init, KEY, first, train=False)
        wrong = array(4).filter(lambda x: x is not None)
        call = lambda x, init=init: jax.eval_shape(lambda: init(x))
        yield Case(f"{name}.condition", wrong, call, f"The condition of {name} must be")
    yield Case("as_network", NO_FUNCTION, networks.as_network, "A player must be")
    adapters = (networks.from_linen, networks.from_nnx, networks.from_equinox, networks.from_haiku)
    for adapter in adapters:
        yield Case(adapter.__name__, NO_FUNCTION, adapter, "must be")


test_losses_reject_bad_arguments = rejected(loss_cases)
test_penalties_reject_bad_arguments = rejected(penalty_cases)
test_terms_reject_bad_arguments = rejected(term_cases)
test_gan_rejects_bad_terms_and_dynamics = rejected(gan_term_cases)
test_gan_rejects_bad_samplers = rejected(sampler_cases)
test_games_reject_bad_arguments = rejected(game_cases)
test_augmentations_reject_bad_arguments = rejected(augment_cases)
test_gan_rejects_bad_arguments = rejected(gan_cases)
test_networks_reject_bad_arguments = rejected(network_cases)
