"""Defines alternating steps, the usual dynamics of GANs."""

import jax
import jax.numpy as jnp

from jaxgan import _players
from jaxgan._internal import checks
from jaxgan.dynamics._types import Dynamics, Rules
from jaxgan.train_state import TrainState
from jaxgan.types import Batch, Inputs, Metrics, Pair


def alternating(discriminator_steps: int = 1) -> Dynamics:
    r"""Returns the usual dynamics: discriminator steps, then a generator step.

    With the losses $L_D(\theta, \phi)$ and $L_G(\theta, \phi)$, one step is

    $$\phi' = \phi + \mathrm{opt}_D(\nabla_\phi L_D(\theta, \phi)), \qquad
    \theta' = \theta + \mathrm{opt}_G(\nabla_\theta L_G(\theta, \phi')).$$

    The last discriminator step and the generator step share one pass of the generator. Each
    discriminator step uses its own part of the batch and its own random numbers. A step needs one
    gradient of each loss for one discriminator step, and no memory.

    Args:
      discriminator_steps: the number of discriminator steps per generator step, at least 1.

    Returns:
      A `Dynamics` without memory.

    Raises:
      TypeError: If `discriminator_steps` is not an integer.
      ValueError: If `discriminator_steps` is below 1.

    Example:
      >>> import jaxgan, optax
      >>> gan = jaxgan.gan(
      ...     jaxgan.networks.MLPGenerator(),
      ...     jaxgan.networks.MLPDiscriminator(),
      ...     jaxgan.losses.wasserstein(),
      ...     jaxgan.Pair(optax.adam(1e-4), optax.adam(1e-4)),
      ...     latents=100,
      ...     penalty=jaxgan.penalties.wgan_gp(),
      ...     dynamics=jaxgan.dynamics.alternating(discriminator_steps=5),
      ... )

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, https://arxiv.org/abs/1406.2661
    """
    checks.integer("discriminator_steps", discriminator_steps)
    num = discriminator_steps

    def update(
        rules: Rules, state: TrainState, shares: tuple[Batch, ...], key: jax.Array
    ) -> tuple[TrainState, Metrics]:
        skipped = jnp.zeros((), jnp.int32)
        for i, batch in enumerate(shares):
            # split(key, 4)[i] equals fold_in(key, i), so numbers from 4 up avoid the last step's
            # keys.
            step_key = key if i == num - 1 else jax.random.fold_in(key, 4 + i)
            steps = Pair(state.step, state.step * num + i)
            inputs = Inputs(state.model_state, batch, step_key, steps)
            generated = _players.generate(rules.objective, state.params.generator, inputs)
            state, metrics = _players.discriminator_step(*rules, state, generated, inputs)
            skipped += metrics["discriminator_skipped"]
        state, own = _players.generator_step(*rules, state, generated, inputs)
        return state, metrics | own | {"discriminator_skipped": skipped}

    return Dynamics(lambda params: (), update, num)
