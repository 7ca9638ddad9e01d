"""Finds discriminators that end in a sigmoid, softmax or tanh, whose logits are bounded."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan._game._config import GameConfig
from jaxgan._internal import checks
from jaxgan.train_state import TrainState

_PROBES = 16
_GAIN = 20.0  # of a layer with large weights: saturates a last sigmoid without overflow before it


def check_unbounded(config: GameConfig, state: TrainState, images: jax.Array) -> None:
    """Checks that large images and parameters give large logits.

    A last sigmoid, softmax or tanh then returns almost exactly 0, 1 or -1.

    Args:
      config: the arguments of `jaxgan.gan`.
      state: a new state with values.
      images: real images, whose shape and dtype the check uses.
    """
    found = []
    for seed in range(_PROBES):
        # Large parameters may overflow, which is no error here.
        with jax.debug_nans(False), jax.debug_infs(False):
            try:
                found.append(_logit(config, state, images, np.random.default_rng(seed)))
            except Exception:  # the network runs only in a training pass, or returns tracers
                return
        if not abs(found[-1]) <= 1.001:  # large, or not a number
            return
    logits = np.array(found)
    is_bounded = np.sum(np.abs(np.abs(logits) - 1) < 0.01) >= _PROBES / 4
    low = 0 if logits.min() >= 0 else -1
    advice = (
        "Remove a last sigmoid, softmax or tanh, or pass bounded_logits=True if the loss takes "
        "bounded values."
    )
    got, name = f"values in [{low}, 1] only", "The discriminator's logits"
    checks.require(not is_bounded, name, "unbounded", got, advice)


def _logit(
    config: GameConfig, state: TrainState, images: jax.Array, random: np.random.Generator
) -> float:
    """Returns the logit of one random image under large random parameters."""
    apply, model_state = config.network.discriminator.apply, state.model_state.discriminator
    *axes, channels = images.shape[1:]
    shape = (1, *axes, config.packing * channels)  # as in `init`, which compiled these operations
    label = () if config.num_classes is None else (jnp.zeros(1, jnp.int32),)

    def uniform(shape: tuple[int, ...]) -> np.ndarray:
        return random.random(shape, np.float32) * 2 - 1

    def enlarge(x: jax.Array) -> jax.Array:
        gain = _GAIN * (x.shape[-1] / x.size) ** 0.5 if x.ndim > 1 and x.size else 1.0
        return jnp.asarray(np.asarray(x) + (gain * uniform(x.shape)).astype(x.dtype))

    large = jax.tree.map(enlarge, state.params.discriminator)
    image = jnp.asarray((10 * uniform(shape)).astype(images.dtype))
    output, _ = apply(large, model_state, image, *label, train=False, key=None)
    return np.asarray(output[0] if isinstance(output, tuple) else output, np.float32).item()
