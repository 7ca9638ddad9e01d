"""A whole epoch as one function, to be run inside one jit.

The images stay on the device as uint8; shuffling, cutting batches, normalising and all updates
happen in one `jax.lax.scan`. The batch of a step is a pure function of (key, step), so a run that
stops and resumes is the same run.
"""

import jax
import jax.numpy as jnp

from jaxgan.convolutions import channels_last
from jaxgan.gan import GAN
from jaxgan.images import normalize
from jaxgan.train_state import TrainState
from jaxgan.types import Metrics

# Folded into the run's key for shuffling. No step has this number, so no step's key is reused.
_SHUFFLE = 2**32 - 1


def epoch(
    gan: GAN,
    state: TrainState,
    images: jax.Array,
    labels: jax.Array | None = None,
    *,
    batch_size: int,
) -> tuple[TrainState, Metrics]:
    """Makes one pass over the images: `len(images) // batch_size` updates.

    Every epoch has its own order, and leaves out the last `len(images) % batch_size` images of it.

    Args:
      gan: what `jaxgan.gan` returned.
      state: where to start; need not be the beginning of an epoch.
      images: all training images, uint8 `[num_images, height, width, channels]`.
      labels: integers `[num_images]`, for a GAN with `num_classes`.
      batch_size: images an update, in [1, num_images]; several discriminator steps share them.

    Returns:
      The state after the last update, and the metrics of every update, each `[updates]`.

    Raises:
      TypeError: the images are not uint8.
      ValueError: they are not rank 4, or there is no whole batch of them.

    Example:
      >>> import functools, jax, jax.numpy as jnp, jaxgan, optax
      >>> gan = jaxgan.gan(
      ...     jaxgan.networks.MLPGenerator(),
      ...     jaxgan.networks.MLPDiscriminator(),
      ...     jaxgan.losses.non_saturating(),
      ...     jaxgan.Pair(optax.adam(1e-3), optax.adam(1e-3)),
      ...     latent_dim=100,
      ... )
      >>> images = jnp.zeros((64, 28, 28, 1), jnp.uint8)
      >>> state = gan.init(jax.random.key(0), jaxgan.images.normalize(images[:1]))
      >>> epoch = jax.jit(
      ...     functools.partial(jaxgan.training.epoch, gan, batch_size=20), donate_argnums=0
      ... )
      >>> state, metrics = epoch(state, images)
      >>> int(state.step), metrics["generator_loss"].shape
      (3, (3,))
    """
    images = jnp.asarray(images)  # numpy arrays cannot be cut by traced indices
    if images.dtype != jnp.uint8:
        raise TypeError(
            f"Training images must be uint8, as datasets.load gives; got {images.dtype}."
        )
    if images.ndim != 4:
        raise ValueError(
            f"Training images must be [num, height, width, channels]; got {images.shape}."
        )

    labels = None if labels is None else jnp.asarray(labels)
    if labels is not None and labels.shape != images.shape[:1]:
        raise ValueError(
            f"Labels must be {images.shape[:1]}, as many as images; got {labels.shape}."
        )

    update = channels_last(gan.update)

    def step(state: TrainState, indices: jax.Array) -> tuple[TrainState, Metrics]:
        batch = normalize(images[indices])
        return update(state, batch, None if labels is None else labels[indices])

    order = batch_order(state.key, state.step, num_images=images.shape[0], batch_size=batch_size)
    return jax.lax.scan(step, state, order)


def batch_order(key: jax.Array, step: jax.Array, *, num_images: int, batch_size: int) -> jax.Array:
    """Which images the updates of one epoch's length see, from `step` on.

    Row $i$ is the batch of step `step + i`: a pure function of (key, step + i). Steps are counted
    in epochs of `num_images // batch_size`, each a fresh permutation.

    Args:
      key: the run's key, `state.key`.
      step: int32 scalar, the first update.
      num_images: how many images there are.
      batch_size: images an update, in [1, num_images].

    Returns:
      int32 indices, `[num_images // batch_size, batch_size]`.

    Raises:
      ValueError: `batch_size` is not in [1, num_images].

    Example:
      >>> import jax, jaxgan
      >>> order = jaxgan.training.batch_order(jax.random.key(0), 0, num_images=6, batch_size=2)
      >>> sorted(order.ravel().tolist())
      [0, 1, 2, 3, 4, 5]
    """
    if not 1 <= batch_size <= num_images:
        raise ValueError(
            f"batch_size must be from 1 to the number of images, {num_images}; got {batch_size}."
        )
    num_steps = num_images // batch_size
    shuffle_key = jax.random.fold_in(key, _SHUFFLE)

    def shuffled(epoch: jax.Array) -> jax.Array:
        order = jax.random.permutation(jax.random.fold_in(shuffle_key, epoch), num_images)
        return order[: num_steps * batch_size].reshape(num_steps, batch_size)

    def across(epoch: jax.Array, offset: jax.Array) -> jax.Array:
        two_epochs = jnp.concatenate([shuffled(epoch), shuffled(epoch + 1)])
        return jax.lax.dynamic_slice_in_dim(two_epochs, offset, num_steps)

    epoch, offset = jnp.divmod(jnp.asarray(step, jnp.int32), jnp.int32(num_steps))
    return jax.lax.cond(offset == 0, lambda: shuffled(epoch), lambda: across(epoch, offset))
