"""Traces a training step before the first one, to find networks that do not fit the GAN."""

import functools
import re
import warnings

import jax
import jax.numpy as jnp

from jaxgan._game._bounds import Bounds, bounds_of
from jaxgan._game._config import GameConfig, GANConfig
from jaxgan._game._game import train_step
from jaxgan._game._objective import also, discriminate
from jaxgan._game._validation import promised_range
from jaxgan._internal import checks
from jaxgan.train_state import TrainState
from jaxgan.types import Batch, Condition, Metrics, ModelState, Network, Pair, PyTree


def dry_run(gan: GANConfig, game: GameConfig, state: TrainState, batch: Batch) -> None:
    """Traces one training step, and warns about model state that the step does not change."""
    unchanged = Pair[list[str]]([], [])

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        after, metrics = train_step(game, state, batch)
        for names, *states in zip(unchanged, state.model_state, after.model_state, strict=True):
            names.extend(_unchanged(*(x["network"] for x in states)))
        return after, metrics

    size = 2 * game.dynamics.shares * gan.packing
    like = lambda x: jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype)
    jax.eval_shape(step, state, jax.tree.map(like, batch))
    for player, names in unchanged._asdict().items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            warnings.warn(
                f"Training does not change {', '.join(names[:3])}{more} in the {player}'s model "
                "state. Turn on training in these layers (use_running_average=not train), or keep "
                "constants under the key 'buffers'.",
                stacklevel=4,
            )


def _unchanged(before: ModelState, after: ModelState) -> list[str]:
    """Returns the paths of the leaves that a traced function returned as they were."""
    leaves = jax.tree_util.tree_flatten_with_path(before)[0]
    pairs = zip(leaves, jax.tree.leaves(after), strict=True)
    names = [
        jax.tree_util.keystr(path, simple=True, separator="/") for (path, x), y in pairs if x is y
    ]
    return [name for name in names if "buffers" not in name.split("/")]


def check_bounds(
    config: GANConfig, state: TrainState, images: jax.Array, condition: Condition
) -> None:
    """Checks that the networks' last operations fit the range of images, and logits."""
    state, images, condition = jax.eval_shape(lambda *x: x, state, images, condition)
    # Some networks need at least two images, as in minibatch statistics.
    two = lambda x: jax.ShapeDtypeStruct((2, *x.shape[1:]), x.dtype)
    condition = jax.tree.map(two, condition)
    if (data_range := promised_range(config, images)) is not None:
        latents = config.latents_like(2, images.dtype)
        generate = functools.partial(_generate, config)
        _check_generator(bounds_of(generate, state, latents, condition), data_range)
    if not config.bounded_logits:
        seen = (2, *images.shape[1:-1], images.shape[-1] * config.packing)
        packs = jax.ShapeDtypeStruct(seen, images.dtype)
        logits = functools.partial(_outputs, config)
        shapes = jax.eval_shape(logits, state, packs, condition)
        for name in shapes:
            head = lambda *args, name=name: logits(*args)[name]
            _check_logits(name, bounds_of(head, state, packs, condition))


def _generate(
    config: GANConfig, state: TrainState, latents: PyTree, condition: Condition
) -> jax.Array:
    params, model_state = state.params.generator, state.model_state.generator["network"]
    apply = config.network.generator.apply
    inputs = (latents, *also(condition))
    return apply(params, model_state, *inputs, train=True, key=state.key)[0]


def _outputs(
    config: GANConfig, state: TrainState, seen: jax.Array, condition: Condition
) -> dict[str, jax.Array]:
    """Returns the logits, and the class logits of an auxiliary classifier, by name."""
    params, model_state = state.params.discriminator, state.model_state.discriminator["network"]
    output, _ = discriminate(config, params, model_state, seen, condition, state.key)
    found = {"logits": jax.tree.leaves(output.logits)[0]}
    if hasattr(output.extras.get("classes"), "ndim"):
        found["class logits"] = output.extras["classes"]
    return found


def _check_generator(found: Bounds, data_range: tuple[float, float]) -> None:
    """Checks that a generator can produce the limits of the images, to a quarter of their range.

    The bounds may be wider than the true range, so wide bounds are no error.
    """
    least, most = data_range
    margin = (most - least) / 4
    covers = found.low <= least + margin and found.high >= most - margin
    ends = {(-1.0, 1.0): "End it with tanh.", (0.0, 1.0): "End it with a sigmoid."}
    advice = ends.get(data_range, "Scale its output to this range.")
    expected = f"compatible with that of the images, {least:g} to {most:g}"
    got = f"{found.low:g} to {found.high:g}"
    checks.require(covers, "The generator's range", expected, got, advice)


def _check_logits(head: str, found: Bounds) -> None:
    is_bounded = found.low >= -1 and found.high <= 1
    advice = (
        "Remove a last sigmoid, softmax or tanh, or pass bounded_logits=True if the loss takes "
        "bounded values."
    )
    got = f"values in [{found.low:g}, {found.high:g}] only"
    checks.require(not is_bounded, f"The discriminator's {head}", "unbounded", got, advice)


def check_conditions_are_taken(config: GANConfig, images: jax.Array, condition: Condition) -> None:
    """Raises a clear error if a network does not run because of a condition, or without one."""
    channels = images.shape[-1] * config.packing
    inputs = Pair(
        config.latents_like(2, images.dtype),
        jax.ShapeDtypeStruct((2, *images.shape[1:-1], channels), images.dtype),
    )
    two = jax.tree.map(lambda x: jax.ShapeDtypeStruct((2, *x.shape[1:]), x.dtype), condition)
    for player, network, x in zip(Pair._fields, config.network, inputs, strict=True):
        check_condition_is_taken(player, network, x, two)
        if _error_of(network, x, *also(two)) is not None:
            return  # the caller raises it


def check_condition_is_taken(
    player: str, network: Network, x: PyTree, condition: Condition
) -> None:
    """Raises a clear error if a network does not run because of a condition, or without one.

    A network's signature does not show whether it takes a condition, so this function runs the
    network with and without one.
    """
    label = jax.ShapeDtypeStruct((jax.tree.leaves(x)[0].shape[0],), jnp.int32)
    with_one = _error_of(network, x, label if condition is None else condition)
    without = _error_of(network, x)
    if condition is None and without is not None:
        needs_one = with_one is None or re.search(r"missing \d+ required positional", str(without))
        expected = f"(images, condition) for a {player} that takes a condition"
        checks.require(not needs_one, "The batch", expected, "images")
    if condition is not None and without is None and with_one is not None:
        first = "latents" if player == "generator" else "images"
        expected = f"a network of ({first}, condition) with a batch (images, condition)"
        text = (str(with_one).splitlines() or [""])[0].rstrip(".")[:300]
        takes_none = isinstance(with_one, TypeError) and "positional argument" in text
        advice = "Let it take the condition as its second argument." if takes_none else ""
        got = f"{type(with_one).__name__}: {text}"
        checks.require(False, f"The {player}", expected, got, advice, error=TypeError)


def _error_of(network: Network, *inputs: PyTree) -> Exception | None:
    """Returns the error with which a network fails to be initialized or applied, or None."""

    def one_pass(*inputs: PyTree) -> object:
        key = jax.random.key(0)
        params, model_state = network.init(key, *inputs)
        return network.apply(params, model_state, *inputs, train=True, key=key)

    try:
        jax.eval_shape(one_pass, *inputs)
    except Exception as error:  # of any network library
        return error
    return None
