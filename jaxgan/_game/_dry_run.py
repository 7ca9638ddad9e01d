"""Traces a training step before the first one, to find networks that do not fit the GAN."""

import functools
import warnings

import jax
import jax.numpy as jnp

from jaxgan._game._bounds import Bounds, bounds_of
from jaxgan._game._config import GameConfig
from jaxgan._game._discriminator import apply_discriminator, pack
from jaxgan._game._half_steps import train_step
from jaxgan._game._validation import promised_range
from jaxgan._internal import checks
from jaxgan.train_state import TrainState
from jaxgan.types import Metrics, ModelState, Network, Pair


def dry_run(
    config: GameConfig, state: TrainState, images: jax.Array, labels: jax.Array | None
) -> None:
    """Traces one training step, and warns about model state that the step does not change."""
    unchanged = Pair[list[str]]([], [])

    def step(
        state: TrainState, images: jax.Array, labels: jax.Array | None
    ) -> tuple[TrainState, Metrics]:
        after, metrics = train_step(config, state, images, labels)
        for names, *states in zip(unchanged, state.model_state, after.model_state, strict=True):
            names.extend(_unchanged(*states))
        return after, metrics

    size = 2 * config.batch_divisor
    like = lambda x: jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype)
    jax.eval_shape(step, state, like(images), None if labels is None else like(labels))
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
    config: GameConfig, state: TrainState, images: jax.Array, labels: jax.Array | None
) -> None:
    """Checks that the networks' last operations fit the range of images, and logits."""
    state, images, labels = jax.eval_shape(lambda *x: x, state, images, labels)
    # Some networks need at least two images, as in minibatch statistics.
    two_labels = None if labels is None else jax.ShapeDtypeStruct((2,), labels.dtype)
    if (data_range := promised_range(config, images)) is not None:
        latents = jax.ShapeDtypeStruct((2, config.latents), images.dtype)
        generate = functools.partial(_generate, config)
        _check_generator(bounds_of(generate, state, latents, two_labels), data_range)
    if not config.bounded_logits:
        few = jax.ShapeDtypeStruct((2 * config.packing, *images.shape[1:]), images.dtype)
        heads = ("logits",) if config.auxiliary is None else ("logits", "class logits")
        for head, name in enumerate(heads):
            logits = functools.partial(_logits, config, head)
            _check_logits(name, bounds_of(logits, state, few, two_labels))


def _generate(
    config: GameConfig, state: TrainState, latents: jax.Array, labels: jax.Array | None
) -> jax.Array:
    inputs = (latents,) if labels is None else (latents, labels)
    params, model_state = state.params.generator, state.model_state.generator
    apply = config.network.generator.apply
    return apply(params, model_state, *inputs, train=True, key=state.key)[0]


def _logits(
    config: GameConfig, head: int, state: TrainState, images: jax.Array, labels: jax.Array | None
) -> jax.Array:
    output, _ = apply_discriminator(
        config,
        state.params.discriminator,
        state.model_state.discriminator,
        pack(images, config.packing),
        labels=labels,
        key=state.key,
    )
    return output[head] if isinstance(output, tuple) else output


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


def check_labels_are_taken(config: GameConfig, images: jax.Array, error: Exception) -> None:
    """Raises a clear error if the cause of `error` is a network with or without labels.

    A network's signature does not show whether it takes labels, so this function runs the network
    with and without labels.
    """
    channels = images.shape[-1] * config.packing
    num_classes, label = config.num_classes, jax.ShapeDtypeStruct((2,), jnp.int32)
    inputs = Pair(
        jax.ShapeDtypeStruct((2, config.latents), images.dtype),
        jax.ShapeDtypeStruct((2, *images.shape[1:-1], channels), images.dtype),
    )
    for player, network, x in zip(Pair._fields, config.network, inputs, strict=True):
        with_label, without = _runs(network, x, label), _runs(network, x)
        if num_classes is None and with_label and not without:
            expected = f"given for a {player} that takes labels"
            checks.require(False, "num_classes", expected, "None")
        if num_classes is not None and without and not with_label:
            form = f"({'latents' if player == 'generator' else 'images'}, labels)"
            expected = f"a network of {form} with {num_classes=}"
            got = (
                f"{type(error).__name__}: {(str(error).splitlines() or [''])[0].rstrip('.')[:300]}"
            )
            advice = "Let it take the labels, integers [batch], as its second argument."
            checks.require(False, f"The {player}", expected, got, advice, error=TypeError)


def _runs(network: Network, *inputs: jax.ShapeDtypeStruct) -> bool:
    """Returns whether a network can be initialized and applied."""

    def one_pass(*inputs: jax.Array) -> object:
        key = jax.random.key(0)
        params, model_state = network.init(key, *inputs)
        return network.apply(params, model_state, *inputs, train=True, key=key)

    try:
        jax.eval_shape(one_pass, *inputs)
    except Exception:  # of any network library
        return False
    return True
