import pytest

from jaxgan import datasets


@pytest.fixture
def few_digits(monkeypatch):
    """Leaves 200 digits of a dataset: two batches of 100."""
    load = datasets.load

    def load_few(*args, **kwargs):
        data = load(*args, **kwargs)
        return datasets.Dataset(data.images[:200], data.labels[:200], data.source)

    monkeypatch.setattr(datasets, "load", load_few)
