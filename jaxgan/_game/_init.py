"""Creates the state of step 0, and checks the networks before the first step."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JAXIndexError, JAXTypeError

from jaxgan._game import _sample, _validation
from jaxgan._game._config import GameConfig
from jaxgan._game._discriminator import pack
from jaxgan._game._dry_run import check_bounds, check_labels_are_taken, dry_run
from jaxgan._internal import checks
from jaxgan.train_state import TrainState, create
from jaxgan.types import Batch, Labels, Pair


class Example(NamedTuple):
    """Holds the properties of the data on which the state of step 0 depends.

    Attributes:
      shape: the shape of one image.
      dtype: the dtype of images and latents.
      label_dtype: the dtype of labels, or None.
    """

    shape: tuple[int, ...]
    dtype: Any
    label_dtype: Any


def example_of(images: jax.Array, labels: jax.Array | None) -> Example:
    """Returns the properties of a batch."""
    return Example(images.shape[1:], images.dtype, None if labels is None else labels.dtype)


def make_init(config: GameConfig) -> Callable[..., TrainState]:
    """Returns the `init` of a GAN.

    Called outside of `jax.jit`, it runs two programs: one creates the state, one draws samples.
    Each operation would otherwise be a program, and compiling them takes longer.
    """
    create = functools.partial(create_state, config)
    compiled = jax.jit(create, static_argnames="example")
    sample = jax.jit(functools.partial(_sample.sample, config))

    def init(key: jax.Array, images: Batch, labels: Labels | None = None) -> TrainState:
        images = _validation.check_images(images, config, 1)
        checks.finite("Images", images)
        labels = _validation.check_labels(labels, images.shape[:1], config.num_classes)
        checks.key(key)
        try:
            return _create_checked(config, compiled, sample, key, images, labels)
        except (JAXTypeError, JAXIndexError):
            pass  # a network reads or keeps values in its `init`; other errors occur again below
        again = jax.jit(functools.partial(_sample.sample, config))
        return _create_checked(config, create, again, key, images, labels)

    return init


def _create_checked(
    config: GameConfig,
    create: Callable[..., TrainState],
    sample: Callable[..., jax.Array],
    key: jax.Array,
    images: jax.Array,
    labels: jax.Array | None,
) -> TrainState:
    """Creates a state, and finds incompatible networks, losses and optimizers."""
    with checks.channels_first_note(images.shape):
        try:
            state = create(key, example=example_of(images, labels))
            dry_run(config, state, images, labels)
            check_bounds(config, state, images, labels)
        except Exception as error:
            check_labels_are_taken(config, images, error)
            raise
    if all(map(checks.is_concrete, jax.tree.leaves((state, images)))):
        samples = sample(state, *_first_inputs(config, images, labels))
        _validation.check_samples(np.asarray(samples), _validation.promised_range(config, images))
    return state


def create_state(config: GameConfig, key: jax.Array, *, example: Example) -> TrainState:
    """Creates the state of step 0."""
    generator_key, discriminator_key, run_key = jax.random.split(key, 3)
    images = jnp.zeros((config.packing, *example.shape), example.dtype)
    one_label = () if example.label_dtype is None else (jnp.zeros(1, example.label_dtype),)
    latent = jnp.zeros((1, config.latents), example.dtype)
    network = config.network
    made = Pair(
        network.generator.init(generator_key, latent, *one_label),
        network.discriminator.init(discriminator_key, pack(images, config.packing), *one_label),
    )
    params, model_state = (Pair(*values) for values in zip(*made, strict=True))
    _validation.check_params(params)
    return create(
        run_key,
        params,
        config.optimizer,
        model_state,
        ema=config.ema_half_life is not None,
        game_state={
            "penalty": () if config.penalty is None else config.penalty.init(),
            "augmentation": () if config.augmentation is None else config.augmentation.init(),
        },
    )


def _first_inputs(
    config: GameConfig, images: jax.Array, labels: jax.Array | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns inputs of a new generator, to compare the values of its samples with the images."""
    num = 8 if labels is None else 1
    # numpy draws the latents, because a program that draws them takes longer to compile.
    latents = np.random.default_rng(0).standard_normal((num, config.latents))
    one_label = None if labels is None else np.zeros(1, labels.dtype)
    return latents.astype(images.dtype), one_label
