"""Images as arrays: tensorflow-datasets, the original IDX files, and a small sample that ships.

Every source ends in the same two numpy arrays, so training does not depend on where they came from.
"""

from jaxgan.datasets._dataset import Dataset
from jaxgan.datasets._load import EMBEDDED, load

__all__ = ["EMBEDDED", "Dataset", "load"]
