"""Defines `jaxgan.game` and `jaxgan.objective`, for any game of two players."""

import functools
import math
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxgan import _players
from jaxgan._game import _validation
from jaxgan._game._config import GameConfig
from jaxgan._internal import checks
from jaxgan._internal.channels_last import fast_if_traced
from jaxgan._internal.shapes import Array, Int32
from jaxgan.dynamics import Dynamics, Rules, alternating
from jaxgan.train_state import TrainState, create
from jaxgan.types import (
    Batch,
    Inputs,
    Metrics,
    ModelState,
    Objective,
    Pair,
    Params,
    PyTree,
)


class GameInit(Protocol):
    """Creates the state of step 0."""

    def __call__(self, key: jax.Array, batch: Batch = (), /) -> TrainState: ...


class GameUpdate(Protocol):
    """Performs one training step."""

    def __call__(
        self,
        state: TrainState,
        batch: Batch = (),
        /,
        *,
        interleaved: bool = False,
        dynamics: Dynamics | None = None,
        key: jax.Array | None = None,
    ) -> tuple[TrainState, Metrics]: ...


class LossesFn(Protocol):
    """Computes both losses."""

    def __call__(
        self, params: Pair[Params], state: TrainState, batch: Batch, key: jax.Array, /
    ) -> tuple[Pair[jax.Array], Pair[tuple[ModelState, Metrics]]]: ...


class Game(NamedTuple):
    """Holds a game of two players as pure functions. `jaxgan.game` returns it.

    Wrap `update` in `jax.jit`, `jax.vmap` or `jax.lax.scan`, or pass the game to
    `jaxgan.training.steps`.

    Args:
      init: `(key, batch=()) -> TrainState`. Only shapes and dtypes of `batch` affect the state.
      update: `(state, batch=(), *, interleaved=False, dynamics=None, key=None) -> (state,
        metrics)`. Performs one training step. Each of several shares of a batch has consecutive
        rows or, with `interleaved`, every n-th row. Interleaved shares of a batch that is split
        over devices stay on their devices. `dynamics` replaces the game's dynamics in this step,
        and `key` the key of the step, `fold_in(state.key, state.step)`.
      losses: `(params, state, batch, key) -> (losses, aux)`. Computes both losses as a pure
        function of both players' parameters, a `Pair` of scalars; `aux` is a `Pair` of the new
        model state and metrics. `key` is the key of a step, `fold_in(state.key, state.step)`.
      rules: the objective and the optimizers.
      dynamics: the dynamics.
      num_classes: as in `jaxgan.GAN`; None.
      data_range: as in `jaxgan.GAN`; None.
      packing: as in `jaxgan.GAN`; 1.

    Example:
      See `jaxgan.game`.
    """

    init: GameInit
    update: GameUpdate
    losses: LossesFn
    rules: Rules
    dynamics: Dynamics
    num_classes: int | None = None
    data_range: tuple[float, float] | None = None
    packing: int = 1


class PlainInit(Protocol):
    """Initializes both players: `(key, batch) -> Pair` of parameters."""

    def __call__(self, key: jax.Array, batch: Batch, /) -> Pair[Params]: ...


class PlainLosses(Protocol):
    """Computes both losses: `(params, batch, key) -> Pair` of scalars."""

    def __call__(
        self, params: Pair[Params], batch: Batch, key: jax.Array, /
    ) -> Pair[jax.Array]: ...


def objective(init: PlainInit, losses: PlainLosses) -> Objective:
    """Returns the objective of a game whose losses are one function of both players' parameters.

    A training step calls `losses` once for each player, and XLA removes what the other player's
    loss needs alone. A generator pass that both losses need is therefore computed twice. Write a
    `jaxgan.Objective` with two stages to compute it once.

    Args:
      init: `(key, batch) -> params`, a `Pair` of pytrees of float arrays.
      losses: `(params, batch, key) -> Pair` of float scalars. `key` is a typed PRNG key, the same
        for both players.

    Returns:
      A `jaxgan.Objective` without model states.

    Raises:
      TypeError: If an argument is not a function. From `jaxgan.Game.update`: if `losses` does not
        return a `Pair` of float scalars.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> def losses(params, batch, key):
      ...     product = params.generator * params.discriminator
      ...     return jaxgan.Pair(product, -product)
      >>> objective = jaxgan.objective(
      ...     lambda key, batch: jaxgan.Pair(jnp.ones(()), jnp.ones(())), losses
      ... )
    """
    checks.function("init", init, "(key, batch) -> params")
    checks.function("losses", losses, "(params, batch, key) -> Pair of scalars")

    def create_players(
        keys: Pair[jax.Array], batch: Batch
    ) -> tuple[Pair[Params], Pair[ModelState]]:
        return init(keys.generator, batch), Pair((), ())

    def loss(
        player: str, params: Pair[Params], generated: PyTree, aux: PyTree, inputs: Inputs
    ) -> tuple[jax.Array, tuple[ModelState, Metrics]]:
        both = losses(params, inputs.batch, inputs.key)
        checks.pair("The result of losses", both, "float scalars")
        return getattr(both, player), (getattr(inputs.model_state, player), {})

    players: Any = (functools.partial(loss, player) for player in Pair._fields)
    return Objective(create_players, lambda params, inputs: ((), ()), Pair(*players))


def game(
    objective: Objective,
    optimizer: Pair[optax.GradientTransformation],
    dynamics: Dynamics | None = None,
    *,
    ema_half_life: float | None = None,
    ema_warmup: float | None = None,
) -> Game:
    r"""Builds a game of two players from an objective, two optimizers and a dynamics.

    `jaxgan.gan` is a game with an objective that it builds from networks and a loss. Use `game` for
    other games, such as those of an encoder and a discriminator of pairs (BiGAN), or of a feature
    extractor and a domain classifier. The first player is called the generator.

    Args:
      objective: a `jaxgan.Objective`, or the result of `jaxgan.objective`.
      optimizer: a `Pair` of optax transformations, as in `jaxgan.gan`.
      dynamics: one of `jaxgan.dynamics`; by default `alternating()`.
      ema_half_life: the half-life of the average of the generator's parameters, in rows of a
        batch (at least 1), or None for no average.
      ema_warmup: limits the half-life to this fraction of the rows seen so far.

    Returns:
      A `Game`. The metrics of `update` are scalars: those that end in `_loss`, `_gradient_norm` and
      `_skipped` for each player, and those of the objective.

    Raises:
      TypeError: If an argument has the wrong type. From `update`: if the state is not a
        `TrainState`, or a loss is not a float scalar.
      ValueError: If a number is out of range. From `update`: if the batch size is not a multiple
        of the dynamics' shares, or the state belongs to another game or other optimizers.

    Example:
      A bilinear game, in which alternating gradient descent circles around the solution:

      >>> import jax, jax.numpy as jnp, jaxgan, optax
      >>> def losses(params, batch, key):
      ...     product = params.generator * params.discriminator
      ...     return jaxgan.Pair(product, -product)
      >>> init = lambda key, batch: jaxgan.Pair(jnp.ones(()), jnp.zeros(()))
      >>> optimizer = jaxgan.Pair(optax.sgd(0.1), optax.sgd(0.1))
      >>> game = jaxgan.game(jaxgan.objective(init, losses), optimizer)
      >>> state, metrics = game.update(game.init(jax.random.key(0)))
      >>> print(f"{state.params.generator:.2f} {state.params.discriminator:.2f}")
      0.99 0.10
    """
    _validation.check_objective(objective)
    dynamics = alternating() if dynamics is None else dynamics
    config = GameConfig(Rules(objective, optimizer), dynamics, ema_half_life, ema_warmup)
    _validation.check_game(config)

    def init(key: jax.Array, batch: Batch = ()) -> TrainState:
        checks.key(key)
        return create_state(config, key, batch)

    def update(
        state: TrainState,
        batch: Batch = (),
        *,
        interleaved: bool = False,
        dynamics: Dynamics | None = None,
        key: jax.Array | None = None,
    ) -> tuple[TrainState, Metrics]:
        own = with_options(config, interleaved=interleaved, dynamics=dynamics, key=key)
        _validation.check_state(state, own)
        _validation.check_opt_state(state, own)
        _validation.check_dynamics_state(state, own.dynamics)
        batch = _validation.check_batch(batch, own.dynamics.shares)
        step = functools.partial(train_step, own, interleaved=interleaved)
        return fast_if_traced(step)(state, batch, key)

    def losses_of(
        params: Pair[Params], state: TrainState, batch: Batch, key: jax.Array
    ) -> tuple[Pair[jax.Array], Pair[tuple[ModelState, Metrics]]]:
        return losses(config, params, state, _validation.check_batch(batch, 1), key)

    return Game(init, update, losses_of, config.rules, dynamics)


def create_state(config: GameConfig, key: jax.Array, batch: Batch) -> TrainState:
    """Creates the state of step 0."""
    generator_key, discriminator_key, run_key = jax.random.split(key, 3)
    rules = config.rules
    keys = Pair(generator_key, discriminator_key)
    result, form = rules.objective.init(keys, batch), "(params, model_state)"
    params, model_state = _validation.check_pair("The result of the objective's init", result, form)
    checks.pair("The initial parameters", params, "pytrees of float arrays")
    _validation.check_params(params)
    return create(
        run_key,
        params,
        rules.optimizer,
        model_state,
        ema=config.ema_half_life is not None,
        dynamics_state=config.dynamics.init(params),
    )


def with_options(
    config: GameConfig, *, interleaved: bool, dynamics: Dynamics | None, key: jax.Array | None
) -> GameConfig:
    """Checks the options of `update`, and returns the configuration of the step."""
    checks.boolean("interleaved", interleaved)
    if key is not None:
        checks.key(key)
    if dynamics is None:
        return config
    _validation.check_dynamics(dynamics)
    return config._replace(dynamics=dynamics)


def train_step(
    config: GameConfig,
    state: TrainState,
    batch: Batch,
    key: jax.Array | None = None,
    *,
    interleaved: bool = False,
) -> tuple[TrainState, Metrics]:
    """Moves the players once, and updates the step number and the average."""
    num = config.dynamics.shares
    shares = tuple(
        jax.tree.map(functools.partial(_share, index=i, num=num, interleaved=interleaved), batch)
        for i in range(num)
    )
    key = jax.random.fold_in(state.key, state.step) if key is None else key
    result = config.dynamics.update(config.rules, state, shares, key)
    state, metrics = _validation.check_move(result, state)
    rows = jax.tree.leaves(shares[-1])
    average = _average(config, state, batch_size=rows[0].shape[0] if rows else 1)
    return state.replace(step=state.step + 1, ema_params=average), metrics


def losses(
    config: GameConfig, params: Pair[Params], state: TrainState, batch: Batch, key: jax.Array
) -> tuple[Pair[jax.Array], Pair[tuple[ModelState, Metrics]]]:
    """Computes both losses as a function of both players' parameters."""
    _validation.check_state(state)
    checks.pair("params", params, "pytrees of float arrays")
    checks.key(key)
    objective = config.rules.objective
    steps = Pair(state.step, state.step * config.dynamics.shares)
    inputs = Inputs(state.model_state, batch, key, steps)
    generated, aux = objective.generate(params.generator, inputs)
    found = [
        _players.check_loss(player, loss(params, generated, aux, inputs))
        for player, loss in objective.losses._asdict().items()
    ]
    return Pair(*(value for value, _ in found)), Pair(*(aux for _, aux in found))


def _share(x: jax.Array, index: int, *, num: int, interleaved: bool) -> jax.Array:
    """Returns one of `num` equal parts of a batch."""
    if num == 1:
        return x
    if interleaved:  # a reshape keeps rows on their devices, unlike a slice
        return x.reshape(-1, num, *x.shape[1:])[:, index]
    size = x.shape[0] // num
    return x[index * size : (index + 1) * size]


def _average(config: GameConfig, state: TrainState, *, batch_size: int) -> Params | None:
    """Returns the moving average of the generator's parameters after this step."""
    if config.ema_half_life is None:
        return None
    rate = average_rate(config.ema_half_life, config.ema_warmup, state.step, batch_size)

    def average(old: jax.Array, new: jax.Array) -> jax.Array:
        return old + jnp.asarray(rate, old.dtype) * (new.astype(old.dtype) - old)

    return jax.tree.map(average, state.ema_params, state.params.generator)


def average_rate(
    half_life: Any, warmup: float | None, step: Int32[Array, ""], batch_size: int
) -> ArrayLike:
    """Returns the weight of the new parameters, 1 - 0.5 ** (batch_size / half_life)."""
    if warmup is not None:
        seen = step.astype(float) * batch_size  # an int32 product could overflow
        half_life = jnp.clip(warmup * seen, 1e-8, half_life)
    # The weight is small, so the subtraction would cancel in float32.
    expm1 = math.expm1 if isinstance(half_life, int | float) else jnp.expm1
    return -expm1(-math.log(2) * batch_size / half_life)
