"""Defines array types with shapes, for annotations of private functions.

With jaxtyping installed, these are jaxtyping's types, and jaxgan's tests check every call against
them. Otherwise they are plain annotations. Public functions check their arguments with `checks`,
which raises clearer errors.
"""

from typing import TYPE_CHECKING

from jax import Array

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float64, Int, Int32, Integer, Key, UInt8, UInt32
else:
    try:
        from jaxtyping import Bool, Float, Float64, Int, Int32, Integer, Key, UInt8, UInt32
    except ImportError:
        from typing import Annotated

        Bool = Float = Float64 = Int = Int32 = Integer = Key = UInt8 = UInt32 = Annotated

__all__ = ["Array", "Bool", "Float", "Float64", "Int", "Int32", "Integer", "Key", "UInt8", "UInt32"]
