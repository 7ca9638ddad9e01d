"""Creates the state of step 0, and checks the networks before the first step."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JAXIndexError, JAXTypeError

from jaxgan._game import _game, _sample, _validation
from jaxgan._game._config import GameConfig, GANConfig
from jaxgan._game._dry_run import check_bounds, check_conditions_are_taken, dry_run
from jaxgan._game._objective import join_batch, split_batch
from jaxgan._internal import checks
from jaxgan.train_state import TrainState
from jaxgan.types import Batch, Condition, PyTree


class Example(NamedTuple):
    """Holds the properties of a batch on which the state of step 0 depends.

    Attributes:
      structure: the structure of the batch.
      rows: the shape of one row, and the dtype, of each array.
    """

    structure: Any
    rows: tuple[tuple[tuple[int, ...], Any], ...]

    def zeros(self) -> Batch:
        """Returns a batch of one row of zeros."""
        leaves = [jnp.zeros((1, *shape), dtype) for shape, dtype in self.rows]
        return jax.tree.unflatten(self.structure, leaves)


def example_of(batch: Batch) -> Example:
    """Returns the properties of a batch."""
    leaves, structure = jax.tree.flatten(batch)
    return Example(structure, tuple((x.shape[1:], x.dtype) for x in leaves))


def make_init(gan: GANConfig, game: GameConfig) -> Callable[..., TrainState]:
    """Returns the `init` of a GAN.

    Called outside of `jax.jit`, it runs two programs: one creates the state, one draws samples.
    Each operation would otherwise be a program, and compiling them takes longer.
    """
    create = functools.partial(create_state, game)
    compiled = jax.jit(create, static_argnames="example")
    sample = jax.jit(functools.partial(_sample.sample, gan))

    def init(key: jax.Array, batch: Batch) -> TrainState:
        images, condition = _validation.check_images_and_condition(batch, gan, 1)
        checks.finite("Images", images)
        checks.key(key)
        batch = join_batch(images, condition)
        try:
            return _create_checked(gan, game, compiled, sample, key, batch)
        except (JAXTypeError, JAXIndexError):
            pass  # a network reads or keeps values in its `init`; other errors occur again below
        again = jax.jit(functools.partial(_sample.sample, gan))
        return _create_checked(gan, game, create, again, key, batch)

    return init


def _create_checked(
    gan: GANConfig,
    game: GameConfig,
    create: Callable[..., TrainState],
    sample: Callable[..., jax.Array],
    key: jax.Array,
    batch: Batch,
) -> TrainState:
    """Creates a state, and finds incompatible networks, losses and optimizers."""
    images, condition = split_batch(batch)
    with checks.channels_first_note(images.shape):
        try:
            state = create(key, example=example_of(batch))
            dry_run(gan, game, state, batch)
            check_bounds(gan, state, images, condition)
        except Exception:
            check_conditions_are_taken(gan, images, condition)
            raise
    if all(map(checks.is_concrete, jax.tree.leaves((state, images)))):
        samples = sample(state, *_first_inputs(gan, images, condition))
        _validation.check_samples(np.asarray(samples), _validation.promised_range(gan, images))
    return state


def create_state(game: GameConfig, key: jax.Array, *, example: Example) -> TrainState:
    """Creates the state of step 0."""
    return _game.create_state(game, key, example.zeros())


def _first_inputs(
    gan: GANConfig, images: jax.Array, condition: Condition
) -> tuple[PyTree, Condition]:
    """Returns inputs of a new generator, to compare the values of its samples with the images."""
    num = 8 if condition is None else 1
    # numpy draws the latents, because a program that draws them takes longer to compile.
    draw = np.random.default_rng(0).standard_normal
    latents = jax.tree.map(
        lambda x: draw(x.shape).astype(x.dtype), gan.latents_like(num, images.dtype)
    )
    return latents, jax.tree.map(lambda x: np.zeros((num, *x.shape[1:]), x.dtype), condition)
