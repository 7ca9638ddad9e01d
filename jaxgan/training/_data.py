"""Checks training data, and selects the rows of a batch, which may be split over a mesh."""

import functools
import math
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from jaxgan._game import GAN, Game
from jaxgan._game._validation import check_form
from jaxgan._internal import checks, meshes
from jaxgan._internal.shapes import Int32
from jaxgan.distributed import SplitImages
from jaxgan.types import PyTree

Data: TypeAlias = PyTree
"""A pytree of arrays and `SplitImages`, with one row for each example."""

AnyGame: TypeAlias = GAN | Game


def rows_of(data: Data) -> list[Array | SplitImages]:
    """Returns the arrays of training data."""
    return jax.tree.leaves(data, is_leaf=_is_split)


def num_rows_of(data: Data) -> int:
    """Returns the number of examples, without padding."""
    first = rows_of(data)[0]
    return first.num_images if isinstance(first, SplitImages) else first.shape[0]


def has_split(data: Data) -> bool:
    """Returns whether images are split over the devices of a mesh."""
    return any(map(_is_split, rows_of(data)))


def _is_split(x: object) -> bool:
    return isinstance(x, SplitImages)


def select(data: Data, indices: Int32[Array, " batch"], mesh: Mesh | None) -> PyTree:
    """Returns the rows of a batch."""

    def rows(x: Array | SplitImages) -> Array:
        return _select_split(x, indices, mesh) if isinstance(x, SplitImages) else x[indices]

    return jax.tree.map(rows, data, is_leaf=_is_split)


def _select_split(images: SplitImages, indices: Int32[Array, " batch"], mesh: Mesh | None) -> Array:
    assert mesh is not None  # `steps` requires it of split images

    def add_selected(rows: Array, indices: Array) -> Array:
        index = indices - jax.lax.axis_index(meshes.DATA) * rows.shape[0]
        is_own = (index >= 0) & (index < rows.shape[0])
        selected = jnp.where(is_own[:, None, None, None], rows[jnp.where(is_own, index, 0)], 0)
        return jax.lax.psum_scatter(selected, meshes.DATA, tiled=True)

    split, whole = PartitionSpec(meshes.DATA), PartitionSpec()
    run = jax.shard_map(
        add_selected,
        mesh=meshes.current(mesh),
        in_specs=(split, whole),
        out_specs=split,
        axis_names={meshes.DATA},
    )
    return run(images.rows, indices)


def check_batch_size(game: AnyGame, data: Data, batch_size: int, mesh: Mesh | None) -> None:
    """Checks that each device of a mesh has an equal part of every discriminator step's share."""
    if mesh is None:
        return
    factors = mesh.shape[meshes.DATA], game.dynamics.shares, game.packing
    divisor, largest = math.prod(factors), num_rows_of(data)
    product = "{} devices times {} discriminator steps times packing {}".format(*factors)
    below = batch_size - batch_size % divisor
    fitting = [f"{size}" for size in (below, below + divisor) if 0 < size <= largest]
    advice = f"Use {' or '.join(fitting)}." if fitting else "Use fewer devices."
    expected = f"a multiple of {divisor} ({product})"
    checks.require(batch_size % divisor == 0, "batch_size", expected, f"{batch_size}", advice)


def check_data(game: AnyGame, data: Data, mesh: Mesh | None, *, normalized: bool) -> Data:
    """Checks training data, and returns it as JAX arrays, which traced indices can index."""
    name = "Training images"
    if not isinstance(game, GAN) or not normalized:  # `update` checks the result of preprocess
        return _arrays("Training data", data, mesh)
    check_form("Training data", data)
    given = data[0] if isinstance(data, tuple) else data
    images = _arrays(name, given, mesh)
    fits = isinstance(images, Array | SplitImages)
    checks.require(fits, name, "one array", checks.shown(given), error=TypeError)
    _check_images(game, images if isinstance(given, list) else given)
    if not isinstance(data, tuple):
        return images
    num = num_rows_of(images)
    if game.num_classes is not None:
        return images, checks.labels(data[1], (num,), game.num_classes)
    found = images, _arrays("The condition", data[1], mesh)
    lengths, expected = [num, num_rows_of(found[1])], "as many conditions as images"
    fits, got = len(set(lengths)) == 1, f"lengths {sorted(lengths)}"
    checks.require(fits, "Training data", expected, got)
    return found


def _arrays(name: str, data: PyTree, mesh: Mesh | None) -> PyTree:
    """Returns a pytree of JAX arrays with the same number of rows."""
    is_leaf = lambda x: _is_split(x) or isinstance(x, list)
    arrays = jax.tree.map(functools.partial(_array, name, mesh=mesh), data, is_leaf=is_leaf)
    leaves = rows_of(arrays)
    checks.require(len(leaves) > 0, name, "at least one array", checks.shown(data), error=TypeError)
    lengths = sorted({num_rows_of(x) for x in leaves})
    checks.require(len(lengths) == 1, name, "arrays of the same length", f"{lengths}")
    return arrays


def _array(name: str, x: Any, *, mesh: Mesh | None) -> Array | SplitImages:
    given = x.rows if isinstance(x, SplitImages) else x
    array = checks.array(name, given, form="[...]")
    meshes.check_placed(name, array)
    if not isinstance(x, SplitImages):
        return array
    expected, advice = "given for split images", "Pass the mesh of jaxgan.distributed.split."
    checks.require(mesh is not None, "mesh", expected, "None", advice)
    return x


def _check_images(game: AnyGame, given: Any) -> None:
    """Checks that images are uint8 or floats, and in the GAN's range after normalization."""
    is_split = isinstance(given, SplitImages)
    x = given.rows if is_split else given
    dtype, name = jnp.result_type(x), "Training images"
    fits = dtype == jnp.uint8 or jnp.issubdtype(dtype, jnp.floating)
    got, advice = f"{dtype} of shape {jnp.shape(x)}", "Convert others in preprocess."
    checks.require(fits, name, "uint8 or float", got, advice, error=TypeError)
    if game.data_range is None or jnp.ndim(x) < 3:
        return
    least, most = game.data_range
    if jnp.result_type(x) == jnp.uint8:
        expected = "None or include [-1, 1], the range of normalized images"
        got = f"({least:g}, {most:g})"
        checks.require(least <= -1 and most >= 1, "gan.data_range", expected, got)
    if not is_split:  # a process has only a part of split images
        checks.images_in_range("Training images", x, game.data_range, real=True)
