"""Defines the container of a dataset."""

import dataclasses
from collections.abc import Iterator

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)  # `==` of arrays is not one bool
class Dataset:
    """Holds images, their labels and their source. Unpacks as `images, labels`.

    Attributes:
      images: uint8 `[num, height, width, channels]`, a numpy array.
      labels: int32 `[num]`, a numpy array.
      source: one line that names the data and their folder.
    """

    images: np.ndarray
    labels: np.ndarray
    source: str

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.images, self.labels))
