"""Tests that `init` finds networks that do not fit the GAN, without running them."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from conftest import SHAPE, make_gan
from flax import nnx

import jaxgan
from jaxgan import Network
from jaxgan.networks import from_equinox, from_haiku, from_linen, from_nnx

KEY, IMAGES = jax.random.key(0), jax.ShapeDtypeStruct((5, *SHAPE), jnp.float32)
LABELS = jax.ShapeDtypeStruct((5,), jnp.int32)


def trace_init(*labels, **changes):
    return jax.eval_shape(make_gan(**changes).init, KEY, (IMAGES, *labels) if labels else IMAGES)


class FixedLinen(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train, name="moving")(x.reshape(len(x), -1))
        return nn.Dense(1)(nn.BatchNorm(use_running_average=True, name="fixed")(x))[:, 0]


class FixedNnx(nnx.Module):
    def __init__(self, rngs):
        self.fixed, self.last = nnx.BatchNorm(16, rngs=rngs), nnx.Linear(16, 1, rngs=rngs)
        self.buffers = nnx.Variable(jnp.ones(16))

    def __call__(self, x):
        x = self.fixed(x.reshape(len(x), -1), use_running_average=True)
        return self.last(x * self.buffers[...][None])[:, 0]


class FixedEquinox(eqx.Module):
    fixed: eqx.nn.BatchNorm
    last: eqx.nn.Linear
    permutation: jax.Array

    def __init__(self, key):
        self.fixed = eqx.nn.BatchNorm(16, "batch", mode="batch")
        self.last = eqx.nn.Linear(16, "scalar", key=key)
        self.permutation = jnp.arange(16)  # a buffer

    def __call__(self, x, state):
        x, state = self.fixed(x.ravel()[self.permutation], state, inference=True)
        return self.last(x), state


class Averaged(nn.Module):
    """Counts passes, and keeps a constant."""

    @nn.compact
    def __call__(self, x, train):
        count = self.variable("counts", "passes", jnp.zeros, ())
        scale = self.variable("buffers", "scale", jnp.ones, ())
        if train:
            count.value += 1.0
        return nn.Dense(1)(x.reshape(len(x), -1) * scale.value)[:, 0]


def jitted(network):
    return network._replace(apply=jax.jit(network.apply, static_argnames="train"))


@pytest.mark.parametrize(
    ("discriminator", "names"),
    [
        (FixedLinen(), "batch_stats/fixed/mean, batch_stats/fixed/var in"),
        (jitted(from_linen(FixedLinen())), "batch_stats/fixed/mean, batch_stats/fixed/var in"),
        (from_nnx(FixedNnx), "fixed/mean, fixed/var in"),
        (from_equinox(FixedEquinox), "state/0, state/1/0, state/1/1 in"),
    ],
)
def test_model_state_that_training_does_not_change_causes_a_warning(discriminator, names):
    message = f"^Training does not change {names} the discriminator's model state. Turn on"
    with pytest.warns(UserWarning, match=message) as caught:
        trace_init(discriminator=discriminator, penalty=jaxgan.penalties.r1(1.0))
    assert len(caught) == 1


def test_model_state_that_changes_and_buffers_cause_no_warning():
    trace_init(
        discriminator=Averaged(), dynamics=jaxgan.dynamics.alternating(2)
    )  # warnings are errors


def dense(*results):
    """Returns a network whose `apply` returns some of its results."""

    def init(key, x, *labels):
        return {"w": jnp.ones((x.size // len(x), 16))}, {"passes": jnp.zeros(())}

    def apply(params, model_state, x, *labels, train, key):
        y = x.reshape(len(x), -1) @ params["w"]
        y = y.reshape(-1, *SHAPE) if x.ndim == 2 else y[:, 0]
        found = {"y": y, "state": {"passes": model_state["passes"] + 1.0}, "logits": (y, y)}
        return found[results[0]] if len(results) == 1 else tuple(found[name] for name in results)

    return Network(init, apply)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"generator": dense("y")},
            r"The result of the generator's apply must be \(y, model_state\); got float32 of shape",
        ),
        (
            {"discriminator": dense("y")},
            r"The result of the discriminator's apply must be \(y, model_state\); got float32",
        ),
        (
            {"discriminator": dense("logits")},
            r"the discriminator's apply must be \(y, model_state\) with .*'passes': \*.*; got",
        ),
        (
            {
                "generator": dense("y", "state")._replace(
                    init=lambda key, x: {"w": jnp.ones((3, 16))}
                )
            },
            r"The result of the generator's init must be \(params, model_state\); got {'w': ",
        ),
    ],
)
def test_networks_with_wrong_results_are_rejected(changes, message):
    trace_init(generator=dense("y", "state"), discriminator=dense("y", "state"))
    with pytest.raises(TypeError, match=message):
        trace_init(**changes)


def labeled(shape):
    def init(key, x, labels):
        return {"w": jnp.ones((x.size // len(x), 16)), "classes": jnp.ones((3, 16))}, {}

    def apply(params, model_state, x, labels, *, train, key):
        y = x.reshape(len(x), -1) @ params["w"] + params["classes"][labels]
        return (y.reshape(-1, *shape) if shape else y[:, 0]), model_state

    return Network(init, apply)


class UnlabeledNnx(nnx.Module):
    def __init__(self, rngs):
        self.last = nnx.Linear(16, 1, rngs=rngs)

    def __call__(self, x):
        return self.last(x.reshape(len(x), -1))[:, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"discriminator": labeled(())}, r"The generator must be .* \(latents, condition\)"),
        ({"generator": labeled(SHAPE)}, r"The discriminator must be .* \(images, condition\)"),
        (
            {"generator": labeled(SHAPE), "discriminator": from_nnx(UnlabeledNnx)},
            r"The discriminator must be .* with a batch .*; got TypeError: UnlabeledNnx.__call__"
            r"\(\) takes 2 .* Let it take the condition",
        ),
    ],
)
def test_networks_without_labels_in_a_gan_with_classes_are_rejected(changes, message):
    trace_init(LABELS, num_classes=3, generator=labeled(SHAPE), discriminator=labeled(()))
    with pytest.raises(TypeError, match=message):
        trace_init(LABELS, num_classes=3, **changes)


@pytest.mark.parametrize(
    ("changes", "player"),
    [
        ({"generator": labeled(SHAPE)}, "generator"),
        ({"discriminator": labeled(()), "augmentation": jaxgan.augment.pack(2)}, "discriminator"),
        ({"discriminator": from_haiku(lambda x, labels: x)}, "discriminator"),
        ({"discriminator": jaxgan.networks.SNGANDiscriminator(num_classes=3)}, "discriminator"),
        ({"generator": jaxgan.networks.UNetGenerator(features=(2,))}, "generator"),
    ],
)
def test_networks_with_labels_in_a_gan_without_classes_are_rejected(changes, player):
    message = rf"^The batch must be \(images, condition\) for a {player} that takes a condition;"
    with pytest.raises(ValueError, match=message):
        trace_init(**changes)


def test_generator_that_rejects_the_condition_is_named_before_the_discriminator():
    unet = jaxgan.networks.UNetGenerator(features=(2,))
    with pytest.raises(TypeError, match=r"^The condition of UNetGenerator must be float"):
        trace_init(LABELS, generator=unet, discriminator=from_nnx(UnlabeledNnx))


def test_shipped_networks_without_classes_get_one_instruction():
    message = r"The generator must be .* num_classes=None; .* Set the network's num_classes\.(\n|$)"
    with pytest.raises(TypeError, match=message):
        trace_init(LABELS, generator=jaxgan.networks.MLPGenerator(SHAPE, features=(2,)))


def test_other_errors_of_a_network_are_raised_unchanged():
    def fail(*inputs, train, key):
        raise RuntimeError("not about labels")

    with pytest.raises(RuntimeError, match=r"^not about labels"):
        trace_init(generator=dense("y", "state")._replace(apply=fail))
