"""Trains many GANs in one program, each with its own seed and hyper-parameters.

A population is a `TrainState` whose arrays have a leading axis of members. Use `jax.vmap` to create
a population, and `each` to train it. This module also sets the hyper-parameters of members, picks
members, and distributes members over devices.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Concatenate, Protocol, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from numpy.typing import ArrayLike

from jaxgan._internal import checks, meshes
from jaxgan._internal.environment import default_platform
from jaxgan.train_state import TrainState
from jaxgan.types import Pair, PyTree

__all__ = ["Numbers", "each", "hyperparameters", "pick", "shard", "stack", "with_hyperparameters"]

T = TypeVar("T")  # a pytree of arrays
Member = TypeVar("Member")  # a pytree of arrays

Numbers = Mapping[str, jax.typing.ArrayLike]
"""Hyper-parameters by name, each a scalar or `[members]`."""


_INJECT = "Use optax.inject_hyperparams for an optimizer, jaxgan.penalties.inject for a term."
_STATE = "a jaxgan.TrainState, as gan.init returns"


class _Injected(Protocol):
    """The state of `optax.inject_hyperparams` or `jaxgan.penalties.inject`, a NamedTuple."""

    hyperparams: dict[str, jax.Array]

    def _replace(self, *, hyperparams: dict[str, jax.Array]) -> Self: ...


def hyperparameters(state: TrainState) -> dict[str, dict[str, jax.Array]]:
    """Returns the hyper-parameters that a state stores.

    Only optimizers from `optax.inject_hyperparams` and penalties from `jaxgan.penalties.inject`
    store their hyper-parameters in the state. `with_hyperparameters` sets them.

    Args:
      state: the state of one GAN or of a population.

    Returns:
      A dict from "generator", "discriminator" and "terms" to a dict from names to values, each a
      scalar or `[members]`. Optimizers and terms without stored hyper-parameters have no entry.
      If two parts of an optimizer, or two terms, share a name, the value is that of the last part.

    Raises:
      TypeError: If `state` is not a `TrainState`.

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
      >>> found["terms"]
      {'gamma': Array(0.1, dtype=float32)}
    """
    checks.instance("state", state, TrainState, _STATE)
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
    terms: Numbers | None = None,
) -> TrainState:
    """Sets hyper-parameters of one GAN, or of each member of a population.

    Args:
      state: the state of one GAN or of a population. An optimizer whose hyper-parameters are set
        must come from `optax.inject_hyperparams`, and a term from `jaxgan.penalties.inject`.
      generator: new hyper-parameters of the generator's optimizer, such as
        `{"learning_rate": rates}`. Each value is a scalar, or `[members]` for a population.
      discriminator: the same for the discriminator's optimizer.
      terms: the same for the penalty and the other terms of both networks.

    Returns:
      The state with the new values. Training keeps them, and checkpoints save them.

    Raises:
      TypeError: If `state` is not a `TrainState`, hyper-parameters are not a mapping, or a value
        is not a number.
      KeyError: If the state does not store a hyper-parameter of that name.
      ValueError: If a value is non-finite or has the wrong shape, a schedule sets the
        hyper-parameter in every step, or two parts of an optimizer or two terms share the name.

    Example:
      Set two learning rates for the generator, with the same seed:

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
    checks.instance("state", state, TrainState, _STATE)
    given = {"generator": generator, "discriminator": discriminator, "terms": terms}
    trees = _owners(state)
    for owner, numbers in given.items():
        numbers = {} if numbers is None else numbers
        checks.instance(owner, numbers, Mapping, "a mapping from names to numbers")
        for name, value in numbers.items():
            trees[owner] = _set(trees[owner], owner, name, value)
    opt_state = state.opt_state._replace(
        generator=trees["generator"], discriminator=trees["discriminator"]
    )
    model_state = state.model_state
    if terms:
        own = zip(model_state, trees["terms"], strict=True)
        model_state = Pair(*(player | {"terms": new} for player, new in own))
    return state.replace(opt_state=opt_state, model_state=model_state)


def pick(population: T, members: ArrayLike) -> T:
    """Picks members of a population, or of its metrics.

    Args:
      population: any pytree (nested containers) of arrays `[members, ...]`.
      members: an index or a list of indices `[n]`, in [-members, members). With an index, the
        result is one member, without the leading axis.

    Returns:
      The same pytree with copies of the arrays, which you can train, donate to `jax.jit` and save.

    Raises:
      TypeError: If `members` are not integers, or are traced by `jax.jit`.
      ValueError: If `members` is neither an index nor a non-empty list of indices, or `population`
        has no leading axis of members.
      IndexError: If an index is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan import population
      >>> population.pick({"loss": jnp.arange(4.0)}, 2)
      {'loss': Array(2., dtype=float32)}
      >>> population.pick({"loss": jnp.arange(4.0)}, [0, 3])
      {'loss': Array([0., 3.], dtype=float32)}
    """
    got = checks.shown(members)
    is_known = checks.is_concrete(members)
    checks.require(is_known, "members", "integers, not traced by jax.jit", got, error=TypeError)
    indices = np.asarray(members)
    checks.require(indices.dtype.kind in "iu", "members", "integers", got, error=TypeError)
    fits = indices.ndim <= 1 and indices.size > 0
    checks.require(fits, "members", "an index or a list of indices", got)
    size = _size(population)
    in_range = -size <= indices.min() and indices.max() < size
    checks.require(in_range, "members", f"in [{-size}, {size})", got, error=IndexError)
    return jax.tree.map(lambda x: x[indices], population)


def stack(members: Sequence[T]) -> T:
    """Stacks the states of single GANs into a population.

    Args:
      members: a list of at least one pytree, all with the same structure, shapes and dtypes.

    Returns:
      One pytree with a leading axis of members.

    Raises:
      TypeError: If `members` is not a sequence.
      ValueError: If `members` is empty, or the pytrees differ in structure, shapes or dtypes.

    Example:
      >>> from jaxgan import population
      >>> print(population.stack([{"loss": 1.0}, {"loss": 2.0}])["loss"])
      [1. 2.]
    """
    is_list = isinstance(members, Sequence) and not isinstance(members, str | bytes)
    got = checks.shown(members)
    checks.require(is_list, "members", "a list of pytrees", got, error=TypeError)
    checks.require(len(members) > 0, "members", "a list of at least one pytree", got)
    advice = "All members must match the first."
    for i, member in enumerate(members):
        checks.tree_matches(f"Member {i}", member, members[0], advice)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


def each(
    function: Callable[Concatenate[Member, ...], T],
) -> Callable[Concatenate[Member, ...], T]:
    """Maps a function over the members of a population, with the faster method for the device.

    On an accelerator, `jax.vmap` runs all members at once, because one small network does not use
    the whole device. On a CPU, `jax.lax.map` runs the members one after another, because batched
    small matrix products and grouped convolutions are slow there. Both compile to one program. Each
    member of `jax.lax.map` is bit-identical to its single run; under `jax.vmap`, rounding differs.

    The device is that of `jax.default_device`, by default JAX's first one, when the returned
    function is traced. The devices of its arguments have no effect.

    Args:
      function: `(member, *data) -> pytree`. Each member receives the same `data`.

    Returns:
      A function `(population, *data) -> pytree`, to pass to `jax.jit`. The returned arrays have a
      leading axis of members.

    Raises:
      TypeError: If `function` is not a function.
      ValueError: If the returned function receives a population without a leading axis of members.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import population
      >>> train = population.each(lambda member, data: member * data.sum())
      >>> print(jax.jit(train)(jnp.arange(4.0), jnp.ones(3)))
      [0. 3. 6. 9.]
    """
    checks.function("function", function, "(member, *data) -> pytree")

    def mapped(population: Member, *data: PyTree) -> T:
        _size(population)
        in_turn = default_platform() == "cpu"
        one = lambda member: function(member, *data)
        return jax.lax.map(one, population) if in_turn else jax.vmap(one)(population)

    return mapped


def shard(
    function: Callable[Concatenate[Member, ...], T],
    devices: Sequence[jax.Device] | Mesh | None = None,
) -> Callable[Concatenate[Member, ...], T]:
    """Distributes the members of a population over devices.

    Each device trains its own members, without communication between devices. With a mesh of
    `distributed.mesh(members=n)`, $n$ groups of devices train their own members, and the devices of
    a group split each batch.

    Args:
      function: `(population, *data) -> pytree`, such as `each(train)`. All returned arrays must
        have a leading axis of members.
      devices: a list of devices, by default all; or a mesh with the axis "members". The number of
        devices, or of groups, must divide the number of members. For groups of several devices,
        pass the same mesh to `training.epochs`.

    Returns:
      A function with the same arguments and result, to pass to `jax.jit`. Each device receives its
      members and all of `data`.

    Raises:
      TypeError: If `function` is not a function, or `devices` is neither a list of devices nor a
        mesh.
      ValueError: If `devices` is empty or contains a device twice, the number of devices or groups
        does not divide the number of members, or the mesh has no axis "members" or an axis that is
        not Auto.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import population
      >>> train = population.each(lambda x, data: x * data.sum())
      >>> sharded = population.shard(train, jax.devices()[:1])
      >>> print(jax.jit(sharded)(jnp.arange(4.0), jnp.ones(3)))
      [0. 3. 6. 9.]
    """
    checks.function("function", function, "(population, *data) -> pytree")
    if isinstance(devices, Mesh):
        mesh = devices
        meshes.check_mesh(mesh, meshes.MEMBERS)
    else:
        mesh = Mesh(np.asarray(meshes.check_devices(devices)), (meshes.MEMBERS,))
    parts = mesh.shape[meshes.MEMBERS]

    def sharded(population: Member, *data: PyTree) -> T:
        divides, expected = _size(population) % parts == 0, f"a multiple of {parts}"
        checks.require(divides, "The number of members", expected, f"{_size(population)}")
        split, whole = PartitionSpec(meshes.MEMBERS), PartitionSpec()
        run = jax.shard_map(
            function,
            mesh=mesh,
            in_specs=(split, *(whole for _ in data)),
            out_specs=split,
            axis_names={meshes.MEMBERS},
            check_vma=False,
        )
        return run(population, *data)

    return sharded


def _size(population: PyTree) -> int:
    """Returns the number of members."""
    sizes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(population)}
    got, advice = checks.show(sorted(sizes)), "Create it with jax.vmap or population.stack."
    fits = len(sizes) == 1 and () not in sizes
    checks.require(fits, "The population", "arrays with one leading axis of members", got, advice)
    return sizes.pop()[0]


def _owners(state: TrainState) -> dict[str, PyTree]:
    """Returns the pytrees that can store hyper-parameters."""
    of = lambda own: own.get("terms", ()) if isinstance(own, dict) else ()
    return {**state.opt_state._asdict(), "terms": Pair(*map(of, state.model_state))}


def _holds(node: object) -> bool:
    return hasattr(node, "hyperparams")


def _nodes(tree: PyTree) -> list[_Injected]:
    return [node for node in jax.tree.leaves(tree, is_leaf=_holds) if _holds(node)]


def _set(tree: PyTree, owner: str, name: str, value: jax.typing.ArrayLike) -> PyTree:
    """Sets one hyper-parameter."""
    node, full_name = _node(tree, owner, name), f"The {owner}'s {name!r}"
    old = node.hyperparams[name]
    new = checks.array(full_name, value, form=None).astype(old.dtype)
    checks.finite(full_name, value)
    fits = new.shape in ((), old.shape)
    checks.require(fits, full_name, f"a number or of shape {old.shape}", f"shape {new.shape}")
    hyperparams = {**node.hyperparams, name: jnp.broadcast_to(new, old.shape)}
    changed = node._replace(hyperparams=hyperparams)
    return jax.tree.map(lambda x: changed if x is node else x, tree, is_leaf=_holds)


def _node(tree: PyTree, owner: str, name: str) -> _Injected:
    """Finds the only node that stores a hyper-parameter."""
    nodes = [node for node in _nodes(tree) if name in node.hyperparams]
    known = sorted({known for node in _nodes(tree) for known in node.hyperparams})
    given, expected = f"The {owner}'s hyper-parameter", f"one of {known}"
    checks.require(len(nodes) > 0, given, expected, repr(name), _INJECT, error=KeyError)
    full_name, got = f"The {owner}'s {name!r}", f"{len(nodes)} parts"
    checks.require(len(nodes) == 1, full_name, "in one part of the state", got)
    is_number = name not in getattr(nodes[0], "hyperparams_states", {})
    checks.require(is_number, full_name, "a number", "a schedule, which sets it in every step")
    return nodes[0]
