"""The base class of jaxgan's modules, which checks their fields and inputs."""

import types
import typing

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxgan._internal import checks
from jaxgan.types import PyTree


class Checked(nn.Module):
    """Checks the fields of a linen module against their annotations when it is created.

    An int must be from 1 to 65,536, a float positive, a `dtype` a float dtype. A tuple must have as
    many elements as its annotation, or any number of elements if the annotation has `...`.
    """

    def __post_init__(self) -> None:
        for field, kind in typing.get_type_hints(type(self)).items():
            if field not in ("parent", "name", "scope"):
                _check_field(f"{type(self).__name__}.{field}", getattr(self, field, None), kind)
        super().__post_init__()

    @nn.nowrap
    def as_floats(self, x: object, form: str, name: str = "input") -> jax.Array:
        """Checks an input of the module, and returns it as a JAX array.

        Args:
          x: the input.
          form: its axes, as in `checks.array`.
          name: the input's name in an error.

        Raises:
          TypeError: If the input is not an array of floats.
          ValueError: If the input does not have these axes, or is empty.
        """
        return checks.array(f"The {name} of {type(self).__name__}", x, jnp.floating, form)

    @nn.nowrap
    def as_latents(self, latents: PyTree) -> jax.Array:
        """Checks latents, and joins the arrays of a pytree along the last axis.

        The order is that of `jax.tree.leaves`: a dict's arrays in the order of the sorted keys.

        Args:
          latents: float `[batch, latent_dim]`, or a pytree of such arrays.

        Raises:
          TypeError: If the latents are not floats.
          ValueError: If an array is not `[batch, latent_dim]`, or the arrays' batch sizes or dtypes
            differ.
        """
        form, leaves = "[batch, latent_dim]", jax.tree_util.tree_leaves_with_path(latents)
        if not leaves or isinstance(latents, list):  # a list is an array of numbers
            return self.as_floats(latents, form)
        names = ["input" + jax.tree_util.keystr(path) for path, _ in leaves]
        arrays = [self.as_floats(x, form, name) for name, (_, x) in zip(names, leaves, strict=True)]
        kind = lambda x: f"{x.dtype} with {len(x)} rows"
        for name, x in zip(names, arrays, strict=True):
            fits, full_name = kind(x) == kind(arrays[0]), f"The {name} of {type(self).__name__}"
            checks.require(fits, full_name, kind(arrays[0]), kind(x))
        return arrays[0] if len(arrays) == 1 else jnp.concatenate(arrays, axis=-1)


def check_sides(
    name: str, shape: tuple[int, ...], multiple: int, reason: str, advice: str = ""
) -> None:
    """Checks that height and width are multiples of a number.

    Args:
      name: the argument's name in an error.
      shape: height, width and channels of an image.
      multiple: the number.
      reason: the reason for that number, in an error.
      advice: one instruction, in an error.

    Raises:
      ValueError: If height or width is not a multiple.
    """
    fits = all(side % multiple == 0 for side in shape[:2])
    expected = f"multiples of {multiple} ({reason})"
    checks.require(fits, f"The sides of {name}", expected, f"{shape}", advice)


def _check_field(name: str, value: typing.Any, kind: object) -> None:
    options = typing.get_args(kind)
    if kind == DTypeLike | None:
        fits = value is None or _is_float(value)
        checks.require(fits, name, "a float dtype or None", checks.show(value), error=TypeError)
    elif isinstance(kind, types.UnionType):  # a kind or None
        if value is not None:
            _check_field(name, value, options[0])
    elif kind is int:
        checks.integer(name, value, 1, 2**16)
    elif kind is float:
        checks.real(name, value, positive=True)
    elif kind is bool:
        checks.boolean(name, value)
    elif typing.get_origin(kind) is tuple:
        is_tuple = isinstance(value, tuple | list)
        checks.require(is_tuple, name, "a tuple", checks.show(value), error=TypeError)
        fits = ... in options or len(value) == len(options)
        checks.require(fits, name, f"a tuple of length {len(options)}", checks.show(value))
        for element in value:
            _check_field(f"Each of {name}", element, options[0])


def _is_float(dtype: DTypeLike) -> bool:
    try:
        return jnp.issubdtype(dtype, jnp.floating)
    except TypeError:
        return False
