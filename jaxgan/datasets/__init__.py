"""Loads images as arrays from original files, tensorflow-datasets or an embedded sample.

All sources return numpy arrays in the same format, so training does not depend on the source.
"""

from jaxgan.datasets._dataset import Dataset
from jaxgan.datasets._load import EMBEDDED, load

__all__ = ["EMBEDDED", "Dataset", "load"]
