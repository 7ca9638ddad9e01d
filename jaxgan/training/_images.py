"""Selects the images of a batch, which may be split over the devices of a mesh."""

import math
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from jaxgan._game import GAN
from jaxgan._internal import checks, meshes
from jaxgan._internal.shapes import Int32
from jaxgan.distributed import SplitImages

Images: TypeAlias = Array | SplitImages


def select(images: Images, indices: Int32[Array, " batch"], mesh: Mesh | None) -> Array:
    """Returns the images of a batch."""
    if not isinstance(images, SplitImages):
        return images[indices]
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


def num_images_of(images: Images) -> int:
    """Returns the number of images without padding."""
    return images.num_images if isinstance(images, SplitImages) else images.shape[0]


def check_batch_size(gan: GAN, images: Images, batch_size: int, mesh: Mesh | None) -> None:
    """Checks that each device of a mesh has an equal part of every discriminator step's share."""
    if mesh is None:
        return
    factors = mesh.shape[meshes.DATA], gan.discriminator_steps, gan.packing
    divisor, largest = math.prod(factors), num_images_of(images)
    product = "{} devices times {} discriminator steps times packing {}".format(*factors)
    below = batch_size - batch_size % divisor
    fitting = [f"{size}" for size in (below, below + divisor) if 0 < size <= largest]
    advice = f"Use {' or '.join(fitting)}." if fitting else "Use fewer devices."
    expected = f"a multiple of {divisor} ({product})"
    checks.require(batch_size % divisor == 0, "batch_size", expected, f"{batch_size}", advice)
