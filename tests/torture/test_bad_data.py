"""Training, sampling, images, datasets and populations reject bad arguments by name.

`pytest -m slow tests/torture` tries thousands of inputs; the default suite tries two of each kind.
"""

import functools
import math
from pathlib import Path

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
from conftest import BATCH, SHAPE, make_gan
from hypothesis import strategies as st

import jaxgan
from jaxgan import (
    Pair,
    diagnostics,
    images,
    latents,
    population,
    streaming,
    train_state,
    training,
)
from jaxgan._internal import npz
from jaxgan.training import _shuffle, channels_last

EMBEDDED_DIR = Path(jaxgan.__file__).parent / "data" / "mnist"
FLIP = lambda key, images: -images
IMAGES = np.zeros((BATCH, *SHAPE), np.uint8)
ADAM = Pair(optax.adam(1e-3), optax.adam(1e-3))


@functools.cache
def small_gan(**changes):
    """Returns a small GAN and the shapes of its state, without compilation."""
    gan = make_gan(**changes)
    return gan, jax.eval_shape(gan.init, KEY, jnp.zeros((BATCH, *SHAPE)))


def train(function, **changes):
    gan, state = small_gan()
    given = {"gan": gan, "data": np.zeros((BATCH, *SHAPE), np.uint8)}
    given |= {"batch_size": 2, "num_steps" if function is training.steps else "num_epochs": 1}
    return jax.eval_shape(lambda s: function(**{"state": s, **given, **changes}), state)


def permute_one(x):
    return training.permute(KEY, np.array([x]), 6)


def training_cases():
    for function in (training.steps, training.epochs):
        name, num = function.__name__, f"num_{function.__name__}"
        call = functools.partial(train, function)
        yield Case(f"{name}.gan", NOTHING, lambda x, f=call: f(gan=x))
        yield Case(f"{name}.state", NOTHING, lambda x, f=call: f(state=x))
        yield Case(f"{name}.images", array(4, "ibc", least=1), lambda x, f=call: f(data=x))
        labeled = lambda x, f=call: f(gan=make_gan(num_classes=3), data=(IMAGES, x))
        yield Case(f"{name}.labels", array(1, "fbc"), labeled)
        others = array(2, "b", least=1).filter(lambda x: x is not None)
        yield Case(f"{name}.condition", others, lambda x, f=call: f(data=(IMAGES, x)), "ondition")
        no_data = st.sampled_from(
            [(IMAGES,), (IMAGES, IMAGES, IMAGES), {"a": IMAGES}, ({}, IMAGES)]
        )
        yield Case(
            f"{name}.data",
            no_data,
            lambda x, f=call: f(data=x),
            "must be (images|one|uint8|at least)",
        )
        uneven = st.just((IMAGES, IMAGES[:3]))
        yield Case(f"{name}.uneven", uneven, lambda x, f=call: f(data=x), "as many conditions")
        yield Case(f"{name}.preprocess", NO_FUNCTION, lambda x, f=call: f(preprocess=x))
        results = st.sampled_from([None, 3, "a", (IMAGES,), np.zeros((2, *SHAPE), np.int32)])
        made = lambda x, f=call: f(preprocess=lambda batch: x)
        yield Case(f"{name}.preprocess result", results, made, "(Images|The batch) must be")
        yield Case(num, whole(), lambda x, f=call, num=num: f(**{num: x}))
        yield Case(f"{name}.batch_size", whole(1, BATCH), lambda x, f=call: f(batch_size=x))
    some = {"num_images": 6, "batch_size": 2}
    indices = lambda key=KEY, step=0, **x: training.batch_indices(key, step, **{**some, **x})
    yield Case("batch_indices.key", NO_KEY, indices)
    yield Case("step", whole(0), lambda x: indices(step=x))
    yield Case("num_images", whole(2), lambda x: indices(num_images=x))
    yield Case("batch_size", whole(1, 6), lambda x: indices(batch_size=x))
    yield Case("epoch of images", whole(), lambda x: _shuffle.steps_per_epoch(x, 1))
    yield Case("epoch of batches", whole(1, 6), lambda x: _shuffle.steps_per_epoch(6, x))
    yield Case("permute.key", NO_KEY, lambda x: training.permute(x, jnp.arange(3), 3))
    far = st.one_of(st.integers(-(2**40), -1), st.integers(6, 2**40))
    yield Case("places", far, lambda x: training.permute(KEY, np.array([0, x]), 6))
    yield Case("place", st.sampled_from([0.5, "a", None, 1j, True]), permute_one, "integers")
    yield Case("permute.num", whole(), lambda x: training.permute(KEY, jnp.arange(1), x))
    empty = lambda *_: None
    yield Case("stream.train", NO_FUNCTION, lambda x: streaming.stream(x, None, []))
    yield Case(
        "stream.chunks",
        st.sampled_from([None, 3, "ab", {}]),
        lambda x: streaming.stream(empty, None, x),
    )
    yield Case(
        "chunk",
        NOTHING.filter(lambda x: x != [1, "x"]),
        lambda x: next(streaming.stream(empty, None, [x])),
    )
    read = lambda source=range(6), size=2, key=KEY, **x: streaming.chunks(
        source, size, key=key, **x
    )
    yield Case("source", st.sampled_from([None, 3, iter("ab")]), read)
    yield Case("size", whole(1, 6), lambda x: read(size=x))
    yield Case("start", whole(0), lambda x: read(start=x))
    yield Case("chunks.key", NO_KEY, lambda x: read(key=x))
    yield Case("element", NO_FUNCTION, lambda x: read(element=x))
    ragged = [np.zeros(1), np.zeros(2)]
    yield Case("ragged", st.just("(2,)"), lambda x: next(read(ragged, element=lambda r: r)))


def sampling_cases():
    z = np.zeros(3, "f")
    walk = lambda latent=z, **x: latents.traversal(latent, **x)
    yield Case("traversal", array(1), walk)
    yield Case("traversal.nan", NOT_FINITE, lambda x: walk(np.array([x], "f")))
    yield Case("coordinate", whole(0, 2), lambda x: walk(coordinate=x))
    yield Case("num", whole(), lambda x: walk(num=x))
    yield Case("start", number(), lambda x: walk(start=x))
    yield Case("walk.step", number(), lambda x: walk(step=x))
    yield Case("as_sampler", st.one_of(NOTHING, whole()), latents.as_sampler)
    sampler = latents.normal(3)
    yield Case("sampler.key", NO_KEY, lambda x: sampler(x, 2, np.float32))
    yield Case("sampler.num", whole(), lambda x: sampler(KEY, x, np.float32))
    for make in (latents.normal, latents.uniform, latents.truncated_normal):
        yield Case(make.__name__, whole(), make)
    for name in ("low", "high"):
        yield Case(
            f"uniform.{name}", number(), lambda x, name=name: latents.uniform(3, **{name: x})
        )
    yield Case("uniform.empty", st.floats(-9, -1), lambda x: latents.uniform(3, high=x))
    for name, least in (("noise", 0), ("continuous", 0)):
        make = lambda x, name=name: latents.infogan(**{"noise": 3, name: x})
        yield Case(f"infogan.{name}", whole(least), make)
    no_tuple = st.sampled_from([None, 3, "ab", [10]])
    yield Case("infogan.categories", no_tuple, lambda x: latents.infogan(3, x))
    yield Case("infogan.category", whole(2), lambda x: latents.infogan(3, (10, x)))
    limited = number(0, 5)
    yield Case("truncated_normal.limit", limited, lambda x: latents.truncated_normal(3, x))
    yield Case("truncate.limit", limited, lambda x: latents.truncate(z, x))
    no_floats = array(1, "iubc", least=1).filter(lambda x: np.ndim(x) == 0 or not np.size(x))
    yield Case("truncate", no_floats, lambda x: latents.truncate(x, 1.0))
    yield Case("truncate.nan", NOT_FINITE, lambda x: latents.truncate(np.array([x], "f"), 1.0))
    for function in (latents.lerp, latents.slerp):
        name = function.__name__
        yield Case(f"{name}.a", array(1), lambda x, f=function: f(x, z, 0.5))
        yield Case(f"{name}.b", array(1), lambda x, f=function: f(z, x, 0.5))
        far = st.one_of(NOTHING, NOT_FINITE, st.just(np.zeros(2, "i")))
        yield Case(f"{name}.weight", far, lambda x, f=function: f(z, z, x))
    yield Case("pixel_diversity", array(2, least=2), diagnostics.pixel_diversity)
    yield Case(
        "diversity of nan", NOT_FINITE, lambda x: diagnostics.pixel_diversity(X + np.float32(x))
    )
    logits = diagnostics.of_logits
    yield Case("of_logits", array(1, least=1), lambda x: logits(x, z))
    yield Case("of_logits.fake", array(1, least=1), lambda x: logits(z, x))
    yield Case("of_images", array(2, least=2), lambda x: diagnostics.of_images(x, X))
    yield Case("of_images.fake", array(2, least=2), lambda x: diagnostics.of_images(X, x))


def picture_cases():
    no_array = st.sampled_from([None, "a", 3.5, [[1], [1, 2]]])
    no_arrays = st.sampled_from([3.5, "a", [1, "x"], {"a": b"3"}, (X, 3)])
    yield Case("normalize_batch", no_arrays, images.normalize_batch, "A batch must be arrays; got")
    yield Case("normalize", st.one_of(no_array, array(3, "ifbc")), images.normalize)
    not_finite = NOT_FINITE.map(lambda x: np.array([0.0, x]))
    quantize = st.one_of(st.sampled_from([None, "a", [[1], [1, 2]]]), not_finite)
    yield Case("quantize", quantize, images.quantize)
    yield Case("grid", array(4, "ibc"), images.grid)
    yield Case("columns", whole().filter(lambda x: x is not None), lambda x: images.grid(X, x))
    yield Case("scale", whole(), lambda x: images.grid(X, scale=x))
    huge = st.integers(10**6, 2**31 - 1)
    yield Case("huge scale", huge, lambda x: images.grid(X, scale=x))
    yield Case("huge columns", st.integers(2**28, 2**31 - 1), lambda x: images.grid(X, x))
    pixels = np.zeros((4, 4, 1), np.uint8)
    for function, good in (
        (images.save, pixels),
        (images.animate, [pixels]),
        (images.curves, {"a": {"b": [1.0]}}),
    ):
        name = function.__name__
        wrong = st.sampled_from([None, 3, b"a.png", "", "a\0.png", "a.nothing", "nothing"])
        yield Case(f"{name}.path", wrong, lambda x, f=function, good=good: f(x, good))
    yield Case("picture", array(3, "ifbc"), lambda x: images.save("a.png", x), "picture must|path")
    yield Case(
        "pictures",
        st.sampled_from([None, 3, "ab", [], [None], [X]]),
        lambda x: images.animate("a.gif", x),
        "picture",
    )
    seconds = st.one_of(number(0), st.floats(700, 1e9))
    yield Case("seconds", seconds, lambda x: images.animate("a.gif", [pixels], seconds=x))
    panels = st.sampled_from([None, 3, {}, {"a": {}}, {"a": 3}])
    yield Case("panels", panels, lambda x: images.curves("a.png", x), "panel")
    values = st.sampled_from([None, "a", [], [[[1.0]]], [1j], [[1], [1, 2]]])
    yield Case("values", values, lambda x: images.curves("a.png", {"a": {"b": x}}), r"\['b'\] must")


def dataset_cases():
    no_text = st.sampled_from([None, 3, b"mnist", ["mnist"], {}])
    load = jaxgan.datasets.load
    paths = ["../../etc/passwd", "/etc/passwd", "mnist/../x", "a\0b", "", "c:\\x", "~", "mnist/.."]
    names = st.one_of(
        st.sampled_from(paths), st.text(st.characters(codec="ascii")).map(lambda x: f"../{x}")
    )
    yield Case("name", st.one_of(names, no_text), load)
    yield Case("embedded name", names, lambda x: load(x, data_dir="embedded"))
    yield Case("split", no_text, lambda x: load("mnist", x))
    yield Case(
        "data_dir",
        st.sampled_from([3, b"a", "", "a\0b", __file__, ["a"], "~unknown-user/x"]),
        lambda x: load("mnist", data_dir=x),
    )
    yield Case(
        "npz.read",
        st.sampled_from([None, 3, b"a", "", "a\0b", "~unknown-user/x"]),
        lambda x: npz.read(x, {"a": (3,)}, [np.float32]),
    )
    idx = functools.partial(load, data_dir=EMBEDDED_DIR)
    # The folder lacks CIFAR-10, a dataset that exists.
    errors = (TypeError, ValueError, FileNotFoundError)
    yield Case("idx name", st.one_of(names, no_text, st.just("cifar10")), idx, errors=errors)
    yield Case("idx split", st.one_of(no_text, st.just("training")), lambda x: idx("mnist", x))


def member_cases():
    two = {"loss": np.arange(2.0)}
    yield Case(
        "pick",
        st.sampled_from([None, "a", 0.5, [True, False], [], [[0]]]),
        lambda x: population.pick(two, x),
        "members must",
    )
    yield Case(
        "no population",
        st.sampled_from([{}, {"a": 1.0}, 3]),
        lambda x: population.pick(x, 0),
        "leading axis",
    )
    yield Case("stack", st.sampled_from([None, 3, "ab", [], {}]), population.stack, "member")
    others = st.sampled_from([{}, {"loss": np.arange(3.0)}, {"loss": np.arange(2)}, 3.0])
    yield Case(
        "stack of others", others, lambda x: population.stack([two, x]), "Member 1 must be a pytree"
    )
    for f in (population.each, population.shard, channels_last):
        yield Case(f.__name__, NO_FUNCTION, f)
    yield Case("devices", st.sampled_from([[], ["cpu"], 3]), lambda x: population.shard(FLIP, x))
    yield Case("hyperparameters", NOTHING, population.hyperparameters)
    yield Case("with_hyperparameters", NOTHING, population.with_hyperparameters)
    rates = optax.inject_hyperparams(optax.adam)(1e-3)
    params = Pair({"w": jnp.ones(2)}, {"w": jnp.ones(2)})
    state = train_state.create(KEY, params, Pair(rates, rates))
    put = lambda x: population.with_hyperparameters(state, generator=x)
    yield Case("numbers", st.sampled_from([3, "a", [1]]), put)
    wrong = st.sampled_from(["a", {}, math.nan, math.inf, [0.1, 0.2]])
    yield Case("rate", wrong, lambda x: put({"learning_rate": x}), "'learning_rate' must be")
    yield Case("create.key", NO_KEY, lambda x: train_state.create(x, params, ADAM))
    yield Case("create.params", NOTHING, lambda x: train_state.create(KEY, x, ADAM))
    create = lambda params=params, optimizer=ADAM, **x: train_state.create(
        KEY, params, optimizer, **x
    )
    numbers = st.sampled_from([Pair(1, 2), Pair("a", None), Pair({"w": 1.0}, {"w": np.ones(2)})])
    yield Case("create of numbers", numbers, create, "parameters must be arrays of floats")
    integers = st.just(np.ones(3, np.int32))
    yield Case("create of integers", integers, lambda x: create(Pair(x, x)))
    yield Case("create.optimizer", NOTHING, lambda x: create(optimizer=x))
    no_optimizers = st.sampled_from([Pair(1, 2), Pair(None, None), Pair(FLIP, FLIP)])
    message = "optimizer must be a jaxgan.Pair of optax"
    yield Case("create of no optimizers", no_optimizers, lambda x: create(optimizer=x), message)
    yield Case(
        "create.model_state",
        NO_FUNCTION.filter(lambda x: x is not None),
        lambda x: create(model_state=x),
    )
    yield Case("create.ema", NO_BOOL, lambda x: create(ema=x))
    yield Case("replace", st.sampled_from(["stpe", "Key"]), lambda x: state.replace(**{x: 0}))


test_training_rejects_bad_arguments = rejected(training_cases)
test_sampling_rejects_bad_arguments = rejected(sampling_cases)
test_images_reject_bad_arguments = rejected(picture_cases)
test_datasets_reject_bad_arguments = rejected(dataset_cases)
test_populations_reject_bad_arguments = rejected(member_cases)
