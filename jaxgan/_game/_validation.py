"""Checks the arguments of `jaxgan.gan` and `jaxgan.game`, and of the functions that they return."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxgan._game._config import GameConfig, GANConfig
from jaxgan._internal import checks, meshes, opt_states
from jaxgan.dynamics import Dynamics
from jaxgan.latents import Sampler
from jaxgan.train_state import TrainState
from jaxgan.types import (
    Batch,
    Condition,
    Metrics,
    ModelState,
    Network,
    Objective,
    Pair,
    Params,
    PyTree,
)

OTHER_GAN = "Use the state of this GAN, not of another GAN."
DECLARE = ", or pass data_range to jaxgan.gan"
OTHER_OPTIMIZER = "To change the optimizer, pass it to jaxgan.checkpoint.restore as optimizer."


BUILT_IN_METRICS = {
    *(f"{player}_{x}" for player in Pair._fields for x in ("loss", "gradient_norm", "skipped")),
    *(f"{kind}_{name}" for kind in ("real", "fake") for name in ("probability", "accuracy")),
    *("logit_gap", "invalid_images", "invalid_labels", "augmentation_probability"),
}
"""The names of the metrics of every GAN, which terms cannot have."""


def check_game(config: GameConfig) -> None:
    """Checks the arguments that `jaxgan.game` and `jaxgan.gan` share."""
    for name, largest in (("ema_half_life", math.inf), ("ema_warmup", 1.0)):
        if getattr(config, name) is not None:
            checks.real(name, getattr(config, name), maximum=largest, positive=True)
    _check_half_life(config.ema_half_life)
    averages = config.ema_half_life is not None or config.ema_warmup is None
    expected = f"given with ema_warmup={config.ema_warmup}"
    checks.require(averages, "ema_half_life", expected, "None")
    check_dynamics(config.dynamics)
    checks.optimizers("optimizer", config.rules.optimizer)


def check_dynamics(x: Dynamics) -> None:
    """Checks that a dynamics consists of functions and a number of shares."""
    advice = "Call jaxgan.dynamics.alternating(...)."
    checks.instance("dynamics", x, Dynamics, "a jaxgan.dynamics.Dynamics", advice)
    checks.function("dynamics.init", x.init, "(params) -> memory")
    form = "(rules, state, shares, key) -> (state, metrics)"
    checks.function("dynamics.update", x.update, form)
    checks.integer("dynamics.shares", x.shares)


def check_move(result: Any, before: TrainState) -> tuple[TrainState, Metrics]:
    """Checks the result of a dynamics, whose parameters and memory must keep their structure."""
    form = "(state, metrics), a jaxgan.TrainState and a dict"
    fits = isinstance(result, tuple) and len(result) == 2
    fits = fits and isinstance(result[0], TrainState) and isinstance(result[1], dict)
    got = checks.shown(result)
    checks.require(fits, "The result of dynamics.update", form, got, error=TypeError)
    for field in ("params", "dynamics_state"):
        name, found = f"{field} of the state of dynamics.update", getattr(result[0], field)
        checks.tree_matches(name, found, getattr(before, field))
    return result


def check_objective(x: Objective) -> None:
    """Checks that an objective consists of functions."""
    advice = "Use jaxgan.objective for a function of both losses."
    checks.instance("objective", x, Objective, "a jaxgan.Objective", advice)
    checks.function("objective.init", x.init, "(keys, batch) -> (params, model_state)")
    checks.function("objective.generate", x.generate, "(params, inputs) -> (generated, aux)")
    checks.pair("objective.losses", x.losses, "functions", callable)


def check_gan(config: GANConfig) -> None:
    """Checks the arguments of `jaxgan.gan` from which its objective is built."""
    checks.boolean("bounded_logits", config.bounded_logits)
    _check_data_range(config.data_range)
    if config.metrics is not None:
        checks.function("metrics", config.metrics, "(view) -> dict of scalars", or_class=False)
    if config.num_classes is not None:
        checks.integer("num_classes", config.num_classes)
        advice = "Packed images have more than one label."
        fits, got = config.packing == 1, f"pack({config.packing})"
        checks.require(fits, "augmentation", "without packing with num_classes", got, advice)
    _check_names(config.terms)
    _check_boundary(config)


def _check_names(terms: Pair[dict[str, Any]]) -> None:
    both = [name for own in terms for name in own]
    for name in both:
        checks.instance("The name of a term", name, str, "a string")
        expected = "different from the metrics of every GAN"
        checks.require(name not in BUILT_IN_METRICS, "The name of a term", expected, repr(name))
        fits = both.count(name) == 1
        checks.require(fits, "The names of terms", "different for both players", f"{name!r} twice")


def _check_boundary(config: GANConfig) -> None:
    """Checks that the loss has the boundary that an augmentation with a state needs."""
    if config.augmentation is not None and config.loss.boundary is None:
        adapts = jax.tree.leaves(jax.eval_shape(config.augmentation.init))
        expected = "a jaxgan.Loss with a boundary for an augmentation that adapts"
        advice = "Use a loss of jaxgan.losses with a boundary, such as non_saturating()."
        checks.require(not adapts, "loss", expected, "boundary=None", advice)


def _check_half_life(half_life: float | None) -> None:
    """Checks that a half-life is at least one image. A number below 1 is probably a decay."""
    if half_life is not None and checks.is_concrete(half_life):
        expected, advice = "at least 1 image", "Pass a number of images, not a decay."
        got = checks.shown(half_life)
        checks.require(half_life >= 1, "ema_half_life", expected, got, advice)


def _check_data_range(data_range: Any) -> None:
    if data_range is not None:
        fits = isinstance(data_range, tuple) and len(data_range) == 2
        expected, got = "None or a pair of numbers (lowest, highest)", checks.shown(data_range)
        checks.require(fits, "data_range", expected, got, error=TypeError)
        least, most = data_range
        checks.real("data_range[0]", least)
        checks.real("data_range[1]", most)
        checks.require(least < most, "data_range", f"{expected} with lowest < highest", got)


def checked(player: str, network: Network) -> Network:
    """Returns a network that checks the structure of its results."""

    def init(key: jax.Array, *inputs: jax.Array) -> tuple[Params, ModelState]:
        result = network.init(key, *inputs)
        return check_pair(f"The result of the {player}'s init", result, "(params, model_state)")

    def apply(
        params: Params,
        model_state: ModelState,
        *inputs: jax.Array,
        train: bool,
        key: jax.Array | None,
    ) -> tuple[PyTree, ModelState]:
        name = f"The result of the {player}'s apply"
        result = network.apply(params, model_state, *inputs, train=train, key=key)
        _, after = check_pair(name, result, "(y, model_state)")
        if train:
            found: Any = jax.tree.structure(after)
            given: Any = jax.tree.structure(model_state)
            expected = f"(y, model_state) with a state of structure {given}"
            checks.require(found == given, name, expected, f"{found}", error=TypeError)
        return result

    return Network(init, apply)


def check_pair(name: str, result: Any, form: str) -> tuple[Any, Any]:
    """Checks that a result is a tuple of two values, and returns it."""
    fits = isinstance(result, tuple) and len(result) == 2
    checks.require(fits, name, form, checks.shown(result), error=TypeError)
    return result


def check_batch(batch: Batch, divisor: int) -> Batch:
    """Checks the rows of a batch, a multiple of `divisor`, and returns it as JAX arrays."""
    name, form = "An array of a batch", "[batch] or [batch, ...]"
    batch = jax.tree.map(lambda x: checks.array(name, x, form=form, lists=False), batch)
    sizes = sorted({len(x) for x in jax.tree.leaves(batch)})
    checks.require(len(sizes) < 2, "The arrays of a batch", "of the same first axis", f"{sizes}")
    for size in sizes:
        expected = f"a multiple of {divisor} (shares)"
        checks.require(size % divisor == 0, "The batch size", expected, f"{size}")
    return batch


def check_images_and_condition(
    batch: Batch, config: GANConfig, divisor: int, *, few: int = 0
) -> tuple[jax.Array, Condition]:
    """Checks the batch of a GAN, and returns its images and condition as JAX arrays."""
    check_form("The batch", batch)
    images, condition = batch if isinstance(batch, tuple) else (batch, None)
    images = check_images(images, config, divisor, few=few)
    return images, check_condition(condition, images.shape[:1], config)


def check_form(name: str, data: PyTree) -> None:
    """Checks that data has the form of images or of a tuple, not of a dict or a list of both."""
    if isinstance(data, tuple):
        fits = len(data) == 2
    elif isinstance(data, list):  # a PyTorch loader returns [images, labels]
        arrays = [x for x in data if hasattr(x, "shape")]
        fits = len(data) != 2 or len({x.shape for x in arrays}) < 2
    else:
        fits = not isinstance(data, dict)
    form = "images, or a tuple (images, condition)"
    checks.require(fits, name, form, checks.shown(data), error=TypeError)


def check_images(x: object, config: GANConfig, divisor: int, *, few: int = 0) -> jax.Array:
    """Checks images, and returns them as a JAX array.

    The range of a batch below `few` images is not guessed.
    """
    array = checks.array("Images", x, form="[batch, ...]")
    meshes.check_placed("Images", array)
    is_float, got = (
        jnp.issubdtype(array.dtype, jnp.floating),
        f"{array.dtype} of shape {array.shape}",
    )
    advice = "Convert uint8 with jaxgan.images.normalize."
    checks.require(is_float, "Images", "floats in [-1, 1]", got, advice, error=TypeError)
    expected = f"a multiple of {divisor} (discriminator steps times packing)"
    checks.require(array.shape[0] % divisor == 0, "The batch size", expected, got)
    if (data_range := promised_range(config, array)) is not None:
        is_few = len(array) < few
        checks.images_in_range("Images", x, data_range, real=True, few=is_few, declare=DECLARE)
    return array


def promised_range(config: GANConfig, images: jax.Array) -> tuple[float, float] | None:
    """Returns the range of real images, or None if they can have any values, such as points."""
    return config.data_range if images.ndim > 2 else None


def check_condition(x: Condition, batch: tuple[int, ...], config: GANConfig) -> Condition:
    """Checks a condition of shape `[*batch, ...]`, and returns it as JAX arrays.

    With `num_classes`, the condition must be labels. Packs have no conditions.
    """
    num_classes = config.num_classes
    if x is None:
        advice = "Pass (images, labels), or labels after latents."
        checks.require(num_classes is None, "Labels", f"given with {num_classes=}", "None", advice)
        return None
    expected, advice = "omitted with pack", "Packed images have more than one condition."
    checks.require(config.packing == 1, "The condition", expected, checks.shown(x), advice)
    if num_classes is not None:
        return checks.labels(x, batch, num_classes)
    as_array = functools.partial(checks.array, "The condition", form=None)
    arrays = jax.tree.map(as_array, x, is_leaf=lambda x: isinstance(x, list))
    for leaf in jax.tree.leaves(arrays):
        expected = f"arrays of shape ({', '.join(map(str, batch))}, ...)"
        fits = leaf.shape[: len(batch)] == batch
        checks.require(fits, "The condition", expected, f"shape {leaf.shape}")
    return arrays


def check_latents(x: PyTree, config: GANConfig, *, axes: str = "n") -> PyTree:
    """Checks latents with the given leading axes, and returns them as JAX arrays."""
    as_array = functools.partial(checks.array, "Latents", kind=jnp.floating, form=None)
    arrays = jax.tree.map(as_array, x, is_leaf=lambda x: isinstance(x, list))
    like: PyTree = config.latents_like(1, jnp.float32)
    expected, found = (str(jax.tree.structure(tree)) for tree in (like, arrays))
    checks.require(found == expected, "Latents", f"of structure {expected}", found)
    leading = len(axes.split(", "))
    shapes = set()
    for leaf, one in zip(jax.tree.leaves(arrays), jax.tree.leaves(like), strict=True):
        own = one.shape[1:]
        fits = leaf.ndim == leading + len(own) and leaf.shape[leading:] == own and leaf.size > 0
        form = f"[{', '.join((axes, *map(str, own)))}]"
        checks.require(fits, "Latents", form, f"{leaf.shape}")
        shapes.add(leaf.shape[:leading])
    checks.require(len(shapes) == 1, "Latents", "arrays of the same number", f"{sorted(shapes)}")
    for leaf in jax.tree.leaves(x):
        checks.finite("Latents", leaf)
    return arrays


def check_state(x: TrainState, config: GameConfig | None = None) -> None:
    """Checks a state and, if `config` is given, whether `ema_params` match it."""
    checks.instance("state", x, TrainState, "a jaxgan.TrainState, as returned by init")
    checks.not_donated("state", x)
    check_single(x)
    checks.key(x.key)
    for name in ("params", "opt_state", "model_state"):
        checks.pair(f"state.{name}", getattr(x, name), "values, one per network")
    if checks.is_concrete(x.step) and np.ndim(x.step) == 0:  # a step beyond int32 would wrap
        checks.integer("state.step", np.asarray(x.step).item(), 0, 2**31 - 2)
    if config is not None:
        half_life, averages = config.ema_half_life, x.ema_params is not None
        expected = f"{'None' if half_life is None else 'an average'} with ema_half_life={half_life}"
        got = "an average" if averages else "None"
        fits = averages == (half_life is not None)
        checks.require(fits, "state.ema_params", expected, got, OTHER_GAN)


def check_own_states(x: TrainState, config: GANConfig) -> None:
    """Checks that the states of terms and augmentation are those of this GAN."""

    def expected() -> Pair[dict[str, PyTree]]:
        terms = Pair(*({name: term.init() for name, term in own.items()} for own in config.terms))
        augmentation = () if config.augmentation is None else config.augmentation.init()
        both = {"terms": terms.discriminator, "augmentation": augmentation}
        return Pair({"terms": terms.generator}, both)

    for player, own in x.model_state._asdict().items():
        fits = isinstance(own, dict) and "network" in own
        form, got = 'a dict with "network", as returned by init', checks.shown(own)
        checks.require(fits, f"state.model_state.{player}", form, got, OTHER_GAN)
    rest = (({k: v for k, v in own.items() if k != "network"}) for own in x.model_state)
    checks.tree_matches("state.model_state", Pair(*rest), jax.eval_shape(expected), OTHER_GAN)


def check_single(x: TrainState) -> None:
    """Checks that a state is not a population."""
    expected, advice = "the state of one GAN", "Map the function over the members with jax.vmap."
    got = f"a population of shape {np.shape(x.step)}"
    checks.require(np.ndim(x.step) == 0, "state", expected, got, advice)


def check_opt_state(x: TrainState, config: GameConfig) -> None:
    """Checks that the optimizer states of both networks are states of the GAN's optimizers."""
    for player, optimizer in config.rules.optimizer._asdict().items():
        params, opt_state = getattr(x.params, player), getattr(x.opt_state, player)
        try:
            expected = jax.eval_shape(optimizer.init, params)
            found = jax.eval_shape(lambda tree: tree, opt_state)  # also converts Python numbers
        except Exception:  # the leaves are not arrays of floats, which the training step reports
            continue
        name = f"The {player}'s optimizer state"
        wanted, got = opt_states.outline(expected), opt_states.outline(found)
        checks.require(wanted == got, name, wanted, got, OTHER_OPTIMIZER)
        checks.tree_matches(name, found, expected)


def check_dynamics_state(x: TrainState, dynamics: Dynamics) -> None:
    """Checks that a state has the memory of a dynamics. Dynamics without memory take any state."""
    try:
        expected = jax.eval_shape(dynamics.init, x.params)
    except Exception:  # the parameters are not arrays, which the training step reports
        return
    if jax.tree.leaves(expected):
        advice = "Use init of a GAN or game with this dynamics."
        checks.tree_matches("state.dynamics_state", x.dynamics_state, expected, advice)


def check_params(both: Pair[Params]) -> None:
    """Checks that both networks have parameters to train."""
    for player, tree in both._asdict().items():
        expected = "at least one array of floats"
        checks.require(
            bool(jax.tree.leaves(tree)), f"The {player}'s parameters", expected, f"{tree!r}"
        )


def checked_sampler(sampler: Sampler) -> Sampler:
    """Returns a sampler that checks its latents."""

    def draw(key: jax.Array, num: int, dtype: DTypeLike) -> PyTree:
        latents = sampler(key, num, dtype)
        name, expected = "The result of latents", f"float arrays of shape ({num}, ...)"
        leaves = jax.tree.leaves(latents)
        checks.require(len(leaves) > 0, name, expected, checks.shown(latents), error=TypeError)
        for x in leaves:
            is_float = jnp.issubdtype(getattr(x, "dtype", object), jnp.floating)
            checks.require(is_float, name, expected, checks.shown(x), error=TypeError)
            checks.require(x.shape[:1] == (num,), name, expected, checks.shown(x))
        return latents

    return draw


def check_samples(samples: np.ndarray, data_range: tuple[float, float] | None) -> None:
    """Checks that samples of a new generator are finite, and not far larger than real images."""
    low, high = float(np.min(samples)), float(np.max(samples))
    made = f"{low:.3g} to {high:.3g}"
    finite = bool(np.isfinite(low) and np.isfinite(high))
    checks.require(finite, "The generator's images", "finite", made)
    if data_range is not None:
        least, most = data_range
        advice = "For images without negative values, end the generator with a sigmoid."
        expected = f"compatible with that of the images, {least:g} to {most:g}"
        checks.require(not least >= 0 > low, "The generator's range", expected, made, advice)
        fits = max(-low, high) <= 20 * max(-least, most)
        expected = f"comparable with those of the images, {least:g} to {most:g}"
        advice = "End the generator with a function of this range, or start with smaller weights."
        checks.require(fits, "The new generator's values", expected, made, advice)
