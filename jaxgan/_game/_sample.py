"""Generates images, and recomputes the batch statistics with which images are generated."""

import contextlib
import functools
from collections.abc import Iterator

import jax

from jaxgan._game import _validation
from jaxgan._game._config import GameConfig
from jaxgan._game._standing import standing_model_state
from jaxgan._internal import checks
from jaxgan._internal.channels_last import channels_last, fast_if_traced
from jaxgan.train_state import TrainState
from jaxgan.types import Labels, Params


def sample(
    config: GameConfig, state: TrainState, latents: jax.Array, labels: Labels | None
) -> jax.Array:
    """Generates images with the averaged parameters and the current model state."""
    inputs = _generator_inputs(config, state, latents, labels, axes="n")
    network, model_state = config.network.generator, state.model_state.generator
    with _named_errors(config, state, inputs):
        apply = fast_if_traced(functools.partial(network.apply, train=False, key=None))
        return apply(_sampling_params(state), model_state, *inputs)[0]


def standing_statistics(
    config: GameConfig, state: TrainState, latents: jax.Array, labels: Labels | None
) -> TrainState:
    """Returns the state with batch statistics of the parameters that `sample` uses."""
    inputs = _generator_inputs(config, state, latents, labels, axes="passes, batch")
    network, model_state = config.network.generator, state.model_state.generator
    # Steps and shuffling fold in other numbers.
    key = jax.random.fold_in(state.key, 2**32 - 3)
    with _named_errors(config, state, tuple(x[0] for x in inputs)):
        params = _sampling_params(state)
        compute = channels_last(functools.partial(standing_model_state, network))  # has loops
        model_state = compute(params, model_state, inputs, key)
    return state.replace(model_state=state.model_state._replace(generator=model_state))


def _generator_inputs(
    config: GameConfig, state: TrainState, latents: jax.Array, labels: Labels | None, *, axes: str
) -> tuple[jax.Array, ...]:
    """Checks the arguments of `sample`, and returns the inputs of the generator."""
    latents = _validation.check_latents(latents, config.latents, axes=axes)
    labels = _validation.check_labels(labels, latents.shape[:-1], config.num_classes)
    _validation.check_state(state)
    return (latents,) if labels is None else (latents, labels)


@contextlib.contextmanager
def _named_errors(
    config: GameConfig, state: TrainState, inputs: tuple[jax.Array, ...]
) -> Iterator[None]:
    """Replaces an error of the generator by one that names the leaves of another GAN's state."""
    try:
        yield
    except Exception:
        expected = jax.eval_shape(config.network.generator.init, state.key, *inputs)
        found = (state.params.generator, state.model_state.generator)
        checks.tree_matches("The generator's state", found, expected, _validation.OTHER_GAN)
        raise


def _sampling_params(state: TrainState) -> Params:
    """Returns the averaged parameters in the dtypes of the parameters, if there is an average."""
    params = state.params.generator
    if state.ema_params is None:
        return params
    return jax.tree.map(lambda x, average: average.astype(x.dtype), params, state.ema_params)
