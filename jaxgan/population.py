"""Many GANs in one program: seeds and hyper-parameters side by side.

A population is a `TrainState` whose arrays have a leading axis of members. `jax.vmap` makes one and
trains it; nothing in `gan`, `training` or `checkpoint` knows of it. This module is what is
left to say: which numbers a member plays with, how to take members out, and where they run.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from jaxgan._internal import checks
from jaxgan.train_state import TrainState

__all__ = ["Numbers", "each", "hyperparameters", "pick", "shard", "stack", "with_hyperparameters"]

T = TypeVar("T")

Numbers = Mapping[str, jax.typing.ArrayLike]
"""Hyper-parameters by name: scalars, or `[members]`."""


def hyperparameters(state: TrainState) -> dict[str, dict[str, jax.Array]]:
    """Returns the hyper-parameters that a state holds and `with_hyperparameters` can set.

    They are those of optimizers made by `optax.inject_hyperparams` and of a penalty made by
    `jaxgan.penalties.inject`.

    Args:
      state: of one GAN or of a population.

    Returns:
      By owner ("generator", "discriminator", "penalty") and name; scalars, or `[members]`. Of a
      name that two parts share, which cannot be set, the last.

    Example:
      >>> import jax, jax.numpy as jnp, jaxgan, optax
      >>> adam = optax.inject_hyperparams(optax.adam)(1e-3, b1=0.5)
      >>> gan = jaxgan.gan(
      ...     jaxgan.networks.MLPGenerator(),
      ...     jaxgan.networks.MLPDiscriminator(),
      ...     jaxgan.losses.non_saturating(),
      ...     jaxgan.Pair(adam, adam),
      ...     latents=100,
      ...     penalty=jaxgan.penalties.inject(jaxgan.penalties.r1)(gamma=0.1),
      ... )
      >>> state = gan.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
      >>> found = jaxgan.population.hyperparameters(state)
      >>> sorted(found["generator"]), float(found["generator"]["b1"])
      (['b1', 'b2', 'eps', 'eps_root', 'learning_rate'], 0.5)
      >>> found["penalty"]
      {'gamma': Array(0.1, dtype=float32)}
    """
    _check_state(state)
    found: dict[str, dict[str, jax.Array]] = {}
    for owner, tree in _owners(state).items():
        for node in _nodes(tree):
            found.setdefault(owner, {}).update(node.hyperparams)
    return found


def with_hyperparameters(
    state: TrainState,
    *,
    generator: Numbers | None = None,
    discriminator: Numbers | None = None,
    penalty: Numbers | None = None,
) -> TrainState:
    """Sets hyper-parameters: of one GAN, or for each member of a population its own.

    Args:
      state: of one GAN or of a population. Its optimizers must be made by
        `optax.inject_hyperparams`, its penalty by `jaxgan.penalties.inject`.
      generator: of the generator's optimizer, such as `{"learning_rate": rates}`; scalars, or for
        a population `[members]`.
      discriminator: of the discriminator's optimizer.
      penalty: of the penalty.

    Returns:
      The state with these numbers instead of those it had. They stay until they are set again, and
      are saved and restored as all else.

    Raises:
      TypeError: `state` is no `TrainState`, an owner's numbers no mapping, or one no number.
      KeyError: a state holds no such hyper-parameter.
      ValueError: a value is not finite or has the wrong shape, a name is a schedule (which would
        set it again in the next step), or two parts of an optimizer use the name.

    Example:
      Two learning rates for the generator, one seed:

      >>> import jax, jax.numpy as jnp, jaxgan, optax
      >>> adam = optax.inject_hyperparams(optax.adam)(1e-3, b1=0.5)
      >>> gan = jaxgan.gan(
      ...     jaxgan.networks.MLPGenerator(),
      ...     jaxgan.networks.MLPDiscriminator(),
      ...     jaxgan.losses.non_saturating(),
      ...     jaxgan.Pair(adam, adam),
      ...     latents=100,
      ... )
      >>> keys = jnp.stack([jax.random.key(0)] * 2)
      >>> states = jax.vmap(gan.init, in_axes=(0, None))(keys, jnp.zeros((1, 28, 28, 1)))
      >>> states = jaxgan.population.with_hyperparameters(
      ...     states, generator={"learning_rate": [1e-3, 1e-4]}
      ... )
      >>> print(jaxgan.population.hyperparameters(states)["generator"]["learning_rate"])
      [0.001  0.0001]
    """
    _check_state(state)
    given = {"generator": generator, "discriminator": discriminator, "penalty": penalty}
    trees = _owners(state)
    for owner, numbers in given.items():
        if numbers is not None and not isinstance(numbers, Mapping):
            raise TypeError(f"{owner} must be numbers by name; got {checks.show(numbers)}.")
        for name, value in (numbers or {}).items():
            trees[owner] = _set(trees[owner], owner, name, value)
    opt_state = state.opt_state._replace(
        generator=trees["generator"], discriminator=trees["discriminator"]
    )
    game_state = state.game_state
    if penalty:
        game_state = {**game_state, "penalty": trees["penalty"]}
    return state.replace(opt_state=opt_state, game_state=game_state)


def pick(population: T, members: Any) -> T:
    """Takes members out of a population, or out of its metrics.

    Args:
      population: any pytree of arrays `[members, ...]`.
      members: the number of one, which loses the leading axis; or a list of numbers, `[n]`.

    Returns:
      The same pytree, of copies: it can be trained, donated and saved by itself.

    Raises:
      TypeError: `members` are no integers.
      ValueError: `members` is neither a number nor a list, or empty, or it is no population.
      IndexError: there is no such member.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan import population
      >>> population.pick({"loss": jnp.arange(4.0)}, 2)
      {'loss': Array(2., dtype=float32)}
      >>> population.pick({"loss": jnp.arange(4.0)}, [0, 3])
      {'loss': Array([0., 3.], dtype=float32)}
    """
    if not checks.is_concrete(members):
        raise TypeError(f"members must be known while tracing; got {checks.show(members)}.")
    numbers = np.asarray(members)
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"members must be whole numbers; got {checks.show(members)}.")
    if numbers.ndim > 1 or not numbers.size:
        raise ValueError(f"members must be a number or a list of them; got {checks.show(members)}.")
    size = _size(population)
    if not (-size <= numbers.min() and numbers.max() < size):
        raise IndexError(f"There are {size} members, numbered from 0; got {checks.show(members)}.")
    return jax.tree.map(lambda x: x[numbers], population)


def stack(members: Sequence[T]) -> T:
    """Makes a population of states that were made or trained by themselves.

    Args:
      members: pytrees of the same structure and shapes, at least one.

    Returns:
      One pytree with a leading axis of members.

    Raises:
      TypeError: `members` is no sequence.
      ValueError: there is none, or they differ in structure, shapes or dtypes.

    Example:
      >>> from jaxgan import population
      >>> print(population.stack([{"loss": 1.0}, {"loss": 2.0}])["loss"])
      [1. 2.]
    """
    if not isinstance(members, Sequence) or isinstance(members, str | bytes | TrainState):
        raise TypeError(f"members must be a list of pytrees; got {checks.show(members)}.")
    if not members:
        raise ValueError("A population needs at least one member; got none.")
    for i, member in enumerate(members):
        checks.tree_matches(
            f"Member {i}", member, members[0], " The first member says what it must be."
        )
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


def each(function: Callable[..., T]) -> Callable[..., T]:
    """Maps a function over members in the way that suits the processor.

    Side by side (`jax.vmap`) on an accelerator, which small networks leave idle; one after another
    (`jax.lax.map`) on a CPU, where a stack of small matrices is slower than one after the other
    and convolutions, which become grouped ones, are several times slower. Either is one program.

    Args:
      function: `(member, *data) -> pytree`; `data` is what all share.

    Returns:
      `(population, *data) -> pytree`, with a leading axis of members; to be jitted.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import population
      >>> train = population.each(lambda member, data: member * data.sum())
      >>> print(jax.jit(train)(jnp.arange(4.0), jnp.ones(3)))
      [0. 3. 6. 9.]
    """

    checks.function("function", function, "(member, *data) -> pytree")

    def mapped(population: Any, *data: Any) -> T:
        _size(population)
        if jax.default_backend() == "cpu":
            return jax.lax.map(lambda member: function(member, *data), population)
        return jax.vmap(lambda member: function(member, *data))(population)

    return mapped


def shard(
    function: Callable[..., Any], devices: Sequence[jax.Device] | None = None
) -> Callable[..., Any]:
    """Spreads the members of a population over devices.

    Each device runs the program for its share of the members, and never talks to another.

    Args:
      function: `(population, *data) -> pytree`, everything returned with a leading axis of
        members: `jax.vmap(train, in_axes=(0, None))`.
      devices: which; by default all. Their number must divide that of the members.

    Returns:
      The same function, to be jitted. The population is split, `data` goes to every device.

    Raises:
      TypeError: `function` is no function, or `devices` are no devices.
      ValueError: there is no device; and, when called, if the members cannot be divided
        among the devices.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import population
      >>> train = jax.vmap(lambda x, data: x * data.sum(), in_axes=(0, None))
      >>> everywhere = population.shard(train, jax.devices()[:1])
      >>> print(jax.jit(everywhere)(jnp.arange(4.0), jnp.ones(3)))
      [0. 3. 6. 9.]
    """
    checks.function("function", function, "(population, *data) -> pytree")
    devices = jax.devices() if devices is None else devices
    if not isinstance(devices, Sequence) or not all(isinstance(d, jax.Device) for d in devices):
        raise TypeError(f"devices must be a list of jax.Device; got {checks.show(devices)}.")
    if not devices:
        raise ValueError(f"devices must be at least one; got {devices}.")
    mesh = Mesh(np.asarray(devices), ("members",))

    def sharded(population: Any, *data: Any) -> Any:
        if (size := _size(population)) % len(devices):
            raise ValueError(
                f"{size} members cannot be divided among {len(devices)} devices: there must be as "
                "many for each. Make more members, or give shard fewer devices."
            )
        split, whole = PartitionSpec("members"), PartitionSpec()
        in_specs = (split, *(whole for _ in data))
        run = jax.shard_map(
            function, mesh=mesh, in_specs=in_specs, out_specs=split, check_vma=False
        )
        return run(population, *data)

    return sharded


def _size(population: Any) -> int:
    sizes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(population)}
    if len(sizes) != 1 or () in sizes:
        raise ValueError(
            "A population has one leading axis of members in all of its arrays; got leading sizes "
            f"{checks.show(sorted(sizes))}. jax.vmap of init or population.stack makes one."
        )
    return sizes.pop()[0]


def _check_state(state: TrainState) -> None:
    if not isinstance(state, TrainState):
        raise TypeError(
            f"state must be a jaxgan.TrainState, as init makes; got {checks.show(state)}."
        )


def _owners(state: TrainState) -> dict[str, Any]:
    game_state = state.game_state if isinstance(state.game_state, dict) else {}
    return {**state.opt_state._asdict(), "penalty": game_state.get("penalty", ())}


def _holds(node: Any) -> bool:
    return hasattr(node, "hyperparams")


def _nodes(tree: Any) -> list[Any]:
    return [node for node in jax.tree.leaves(tree, is_leaf=_holds) if _holds(node)]


def _set(tree: Any, owner: str, name: str, value: Any) -> Any:
    holders = [node for node in _nodes(tree) if name in node.hyperparams]
    if not holders:
        known = sorted({known for node in _nodes(tree) for known in node.hyperparams})
        raise KeyError(
            f"The {owner} has no hyper-parameter {name!r} in the state, only {known}. Make the "
            "optimizer with optax.inject_hyperparams, a penalty with jaxgan.penalties.inject."
        )
    if len(holders) > 1:
        raise ValueError(
            f"{len(holders)} parts of the {owner}'s state have a {name!r}, which must be in one to "
            "be set. Inject it into one of them only."
        )
    if name in getattr(holders[0], "hyperparams_states", {}):
        raise ValueError(
            f"The {owner}'s {name!r} is a schedule, which would set it again. Make the optimizer "
            "with a number, which can be set."
        )
    old = holders[0].hyperparams[name]
    new = checks.array(f"The {owner}'s {name!r}", value, form=None).astype(old.dtype)
    checks.finite(f"The {owner}'s {name!r}", value)
    if new.shape not in ((), old.shape):
        raise ValueError(
            f"The {owner}'s {name!r} must be a number or have shape {old.shape}; got {new.shape}."
        )

    def replace(node: Any) -> Any:
        if node is not holders[0]:
            return node
        values = {**node.hyperparams, name: jnp.broadcast_to(new, old.shape)}
        return node._replace(hyperparams=values)

    return jax.tree.map(replace, tree, is_leaf=_holds)
