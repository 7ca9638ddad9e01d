"""Tests `from_linen`, the reference of the other adapters."""

from adapter_contract import LINEN, AdapterContract


class TestLinen(AdapterContract):
    library = LINEN
