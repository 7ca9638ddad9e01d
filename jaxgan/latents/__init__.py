"""Draws latents, the inputs that a generator maps to images, and moves between them.

A sampler is a function `(key, num, dtype) -> latents`. `normal`, `uniform`, `truncated_normal` and
`infogan` return samplers. You can also write a sampler yourself.
"""

from jaxgan.latents._paths import lerp, slerp, traversal, truncate
from jaxgan.latents._samplers import (
    Sampler,
    as_sampler,
    infogan,
    normal,
    truncated_normal,
    uniform,
)

__all__ = [
    "Sampler",
    "as_sampler",
    "infogan",
    "lerp",
    "normal",
    "slerp",
    "traversal",
    "truncate",
    "truncated_normal",
    "uniform",
]
