"""Finds discriminators that end in a sigmoid, softmax or tanh, whose logits are bounded."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan._game._config import GameConfig
from jaxgan._internal import checks

_PROBES = 4
_GAIN = 20.0  # of a layer with large weights: saturates a last sigmoid without overflow before it


def check_unbounded(config: GameConfig, images: jax.Array) -> None:
    """Checks that large images and parameters give large logits, with a trial discriminator.

    A last sigmoid, softmax or tanh then returns almost exactly 0, 1 or -1. The check needs no
    values of the caller, so it also runs while JAX traces `init`.

    Args:
      config: the arguments of `jaxgan.gan`.
      images: real images, whose shape and dtype the check uses.
    """
    *axes, channels = images.shape[1:]
    # Large parameters may overflow, which is no error here.
    with jax.ensure_compile_time_eval(), jax.debug_nans(False), jax.debug_infs(False):
        logits = _probe(config, jnp.zeros((1, *axes, config.packing * channels), images.dtype))
    is_bounded = (np.abs(logits) <= 1.001).all()  # false if a logit is not a number
    saturated = (np.abs(logits - np.rint(logits)) < 0.01).any() and logits.any()
    low = 0 if logits.min() >= 0 else -1
    advice = (
        "Remove a last sigmoid, softmax or tanh, or pass bounded_logits=True if the loss takes "
        "bounded values."
    )
    got, name = f"values in [{low}, 1] only", "The discriminator's logits"
    checks.require(not (is_bounded and saturated), name, "unbounded", got, advice)


def _probe(config: GameConfig, blank: jax.Array) -> np.ndarray:
    """Returns the logits of single random images under large random parameters."""
    network, random = config.network.discriminator, np.random.default_rng(0)
    label = () if config.num_classes is None else (jnp.zeros(1, jnp.int32),)
    params, model_state = network.init(jax.random.key(0), blank, *label)

    def uniform(like: jax.Array) -> np.ndarray:
        return random.random(like.shape, np.float32) * 2 - 1

    def enlarge(x: jax.Array) -> jax.Array:
        gain = _GAIN * (x.shape[-1] / x.size) ** 0.5 if x.ndim > 1 else 1.0
        return jnp.asarray(np.asarray(x) + (gain * uniform(x)).astype(x.dtype))

    def logit() -> float:
        image = jnp.asarray((10 * uniform(blank)).astype(blank.dtype))
        output, _ = network.apply(large, model_state, image, *label, train=False, key=None)
        return np.asarray(output[0] if isinstance(output, tuple) else output, np.float32).item()

    large = jax.tree.map(enlarge, params)
    return np.array([logit() for _ in range(_PROBES)])
