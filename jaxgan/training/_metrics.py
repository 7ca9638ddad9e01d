"""Stacks the metrics of a training step, so that a scan writes few arrays."""

import dataclasses
from collections import defaultdict

import jax
import jax.numpy as jnp

from jaxgan.types import Metrics


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StackedMetrics:
    """Holds metrics of equal shape and dtype in one array, stacked along a new last axis.

    A scan writes every array of a step separately, and a GPU needs a kernel for each of them. A
    step has about 12 metrics of only two kinds, float and integer scalars.

    Attributes:
      names: the names of the metrics in each array, static.
      arrays: one array for each shape and dtype.
    """

    names: tuple[tuple[str, ...], ...] = dataclasses.field(metadata={"static": True})
    arrays: tuple[jax.Array, ...]

    @classmethod
    def stack(cls, metrics: Metrics) -> "StackedMetrics":
        """Stacks metrics by shape and dtype."""
        groups = defaultdict(list)
        for name, value in metrics.items():
            groups[jnp.shape(value), jnp.result_type(value)].append(name)
        arrays = (jnp.stack([metrics[x] for x in names], axis=-1) for names in groups.values())
        return cls(tuple(map(tuple, groups.values())), tuple(arrays))

    def unstack(self) -> Metrics:
        """Returns the metrics by name."""
        return {
            name: array[..., index]
            for names, array in zip(self.names, self.arrays, strict=True)
            for index, name in enumerate(names)
        }
