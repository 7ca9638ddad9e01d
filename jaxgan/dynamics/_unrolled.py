"""Defines unrolled steps, in which the generator anticipates the discriminator."""

import jax

from jaxgan import _players
from jaxgan._internal import checks
from jaxgan.dynamics._field import inputs_of
from jaxgan.dynamics._types import Dynamics, Rules
from jaxgan.train_state import TrainState
from jaxgan.types import Batch, Inputs, Metrics, ModelState, Pair, Params, PyTree


def unrolled(steps: int = 5) -> Dynamics:
    r"""Returns unrolled steps: the generator descends its loss against a later discriminator.

    With $\phi_0 = \phi$ and $\phi_{i + 1} = \phi_i + \mathrm{opt}_D(\nabla_\phi L_D(\theta,
    \phi_i))$, the generator receives the total derivative

    $$\nabla_\theta L_G(\theta, \phi_k(\theta)),$$

    and the discriminator moves to $\phi_1$. All $k$ steps use the same batch and samples, and start
    from the discriminator's optimizer state. A step needs $k + 1$ gradients of $L_D$, one of $L_G$,
    and the memory for the derivatives of the $k$ steps. It keeps no memory between steps.

    Args:
      steps: $k$, at least 1.

    Returns:
      A `Dynamics` with one discriminator step.

    Raises:
      TypeError: If `steps` is not an integer.
      ValueError: If `steps` is below 1.

    Example:
      >>> from jaxgan import dynamics
      >>> dynamics.unrolled(5).shares
      1

    References:
      Metz et al., Unrolled Generative Adversarial Networks, 2017, https://arxiv.org/abs/1611.02163
    """
    checks.integer("steps", steps)

    def update(
        rules: Rules, state: TrainState, shares: tuple[Batch, ...], key: jax.Array
    ) -> tuple[TrainState, Metrics]:
        inputs = inputs_of(state, shares[0], key)
        objective, own = rules.objective, state.opt_state.discriminator
        generated = _players.generate(objective, state.params.generator, inputs)

        def loss(
            params: Pair[Params], value: PyTree, aux: PyTree, inputs: Inputs
        ) -> tuple[jax.Array, tuple[ModelState, Metrics]]:
            opt_state, here = own, generated._replace(value=value)
            for _ in range(steps):
                found = _players.evaluate_discriminator(objective, params, here, inputs)
                moved, opt_state = _players.apply_optimizer(
                    rules.optimizer.discriminator, found, params.discriminator, opt_state
                )
                params = params._replace(discriminator=moved)
            return objective.losses.generator(params, value, aux, inputs)

        ahead = objective._replace(losses=objective.losses._replace(generator=loss))
        both = Pair(
            _players.evaluate_generator(ahead, state.params, generated, inputs),
            _players.evaluate_discriminator(objective, state.params, generated, inputs),
        )
        metrics: Metrics = {}
        for player in ("discriminator", "generator"):
            found = getattr(both, player)
            state, norms = _players.apply_gradients(rules.optimizer, state, found, player=player)
            metrics |= norms | found.metrics
        return state, metrics

    return Dynamics(lambda params: (), update)
