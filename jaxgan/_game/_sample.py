"""Generates images, and recomputes the batch statistics with which images are generated."""

import contextlib
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan._game import _validation
from jaxgan._game._config import GANConfig
from jaxgan._game._dry_run import check_condition_is_taken
from jaxgan._game._objective import also
from jaxgan._game._standing import standing_model_state
from jaxgan._internal import checks
from jaxgan._internal.channels_last import channels_last, fast_if_traced
from jaxgan.train_state import TrainState
from jaxgan.types import Condition, Params, PyTree


def sample(
    config: GANConfig,
    state: TrainState,
    latents: PyTree,
    condition: Condition = None,
    *,
    num: int | None = None,
) -> jax.Array:
    """Generates images with the averaged parameters and the current model state."""
    _validation.check_state(state)
    given = not _is_key(latents)
    latents = latents if given else _draw(config, state, latents, condition, num)
    inputs = _generator_inputs(config, latents, condition, axes="n")
    checks.require(not given or num is None, "num", "omitted with latents", checks.shown(num))
    network, model_state = config.network.generator, state.model_state.generator["network"]
    with _named_errors(config, state, inputs):
        apply = fast_if_traced(functools.partial(network.apply, train=False, key=None))
        return apply(_sampling_params(state), model_state, *inputs)[0]


def _is_key(x: object) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _draw(
    config: GANConfig, state: TrainState, key: jax.Array, condition: Condition, num: int | None
) -> PyTree:
    """Draws latents from the GAN's sampler, by default one for each condition."""
    checks.key(key)
    if num is None:
        leaves = jax.tree.leaves(condition, is_leaf=lambda x: isinstance(x, list))
        shapes = [np.shape(x) for x in leaves]
        expected = "given with a key and without a condition"
        checks.require(len(shapes) > 0, "num", expected, "None")
        expected, advice = "arrays with a row for each image", "Pass the number of images as num=."
        got = checks.shown(condition)
        checks.require(all(shapes), "The condition", expected, got, advice)
        num = shapes[0][0]
    checks.integer("num", num)
    return config.latents(key, num, jax.tree.leaves(state.params.generator)[0].dtype)


def standing_statistics(
    config: GANConfig, state: TrainState, latents: PyTree, condition: Condition = None
) -> TrainState:
    """Returns the state with batch statistics of the parameters that `sample` uses."""
    _validation.check_state(state)
    inputs = _generator_inputs(config, latents, condition, axes="passes, batch")
    own = state.model_state.generator
    # Steps and shuffling fold in other numbers.
    key = jax.random.fold_in(state.key, 2**32 - 3)
    with _named_errors(config, state, jax.tree.map(lambda x: x[0], inputs)):
        params = _sampling_params(state)
        network = config.network.generator
        compute = channels_last(functools.partial(standing_model_state, network))  # has loops
        own = own | {"network": compute(params, own["network"], inputs, key)}
    return state.replace(model_state=state.model_state._replace(generator=own))


def _generator_inputs(
    config: GANConfig, latents: PyTree, condition: Condition, *, axes: str
) -> tuple[PyTree, ...]:
    """Checks the arguments of `sample`, and returns the inputs of the generator."""
    latents = _validation.check_latents(latents, config, axes=axes)
    batch = jax.tree.leaves(latents)[0].shape[: len(axes.split(", "))]
    return (latents, *also(_validation.check_condition(condition, batch, config)))


@contextlib.contextmanager
def _named_errors(
    config: GANConfig, state: TrainState, inputs: tuple[PyTree, ...]
) -> Iterator[None]:
    """Replaces an error of the generator by one that names the leaves of another GAN's state."""
    try:
        yield
    except Exception:
        network, (latents, *condition) = config.network.generator, inputs
        given = condition[0] if condition else None
        check_condition_is_taken("generator", network, latents, given)
        expected = jax.eval_shape(config.network.generator.init, state.key, *inputs)
        found = (state.params.generator, state.model_state.generator["network"])
        checks.tree_matches("The generator's state", found, expected, _validation.OTHER_GAN)
        raise


def _sampling_params(state: TrainState) -> Params:
    """Returns the averaged parameters in the dtypes of the parameters, if there is an average."""
    params = state.params.generator
    if state.ema_params is None:
        return params
    return jax.tree.map(lambda x, average: average.astype(x.dtype), params, state.ema_params)
