"""Runs the code of README and docs, and checks their links."""

import importlib.util
import re
from pathlib import Path

import jax
import optax
import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_readme_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    namespace: dict = {}
    for block in blocks:
        exec(block, namespace)
    assert namespace["metrics"]["generator_loss"].shape == (8, 1, 10)
    assert (tmp_path / "samples.png").exists()


def test_networks_guide_code_runs():
    text = (ROOT / "docs" / "networks.md").read_text()
    namespace: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        namespace.pop("metrics", None)
        exec(block, namespace)
        assert int(namespace["metrics"]["discriminator_skipped"]) == 0, block
        assert int(namespace["state"].step) == 1


def test_training_guide_code_runs():
    text = (ROOT / "docs" / "training.md").read_text()
    namespace: dict = {}
    shapes = []
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, namespace)
        shapes.append(namespace["metrics"]["generator_loss"].shape)
    assert shapes == [(2, 5), (1, 5), (1, 5), (4, 1, 5), (1, 2), (1, 2)]
    assert int(namespace["best"].step) == 2 * 5 + 3 * 2 + 2 * 2
    assert int(namespace["state"].step) == 4 * 5
    assert len(namespace["history"]) == 2
    counts = [optax.tree.get_all_with_path(x, "count") for x in namespace["trained"].opt_state]
    assert [{int(number) for _, number in own} for own in counts] == [{5}, {25}]


def test_dynamics_guide_code_runs():
    text, namespace = (ROOT / "docs" / "dynamics.md").read_text(), {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, namespace)
    assert int(namespace["metrics"]["generator_skipped"]) == 0
    assert namespace["eigenvalues"].shape == (4,)


def test_own_loop_guide_code_runs():
    """Loaders of other libraries run if they are installed."""
    text, namespace = (ROOT / "docs" / "own_loop.md").read_text(), {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        library = re.match(r"import (torch|grain)\n", block)
        if library is None or importlib.util.find_spec(library[1]):
            exec(block, namespace)
    assert int(namespace["state"].step) == 500
    # The encoder hides the domain: the loss of chance is log 2, and it was 0.33 for the data.
    assert float(namespace["metrics"]["discriminator_loss"][-50:].mean()) > 0.6


def test_objectives_guide_code_can_be_compiled():
    """Tracing the code takes a tenth of the time of running it."""
    (block,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "objectives.md").read_text(), re.DOTALL
    )

    def run():
        namespace: dict = {}
        exec(block, namespace)
        return namespace["metrics"], namespace["digits"]

    metrics, digits = jax.eval_shape(run)
    assert digits.shape == (10, 28, 28, 1)
    terms = {"class_loss", "real_class_loss", "fake_class_loss"}
    assert terms | {"fake_distance", "logit_gap", "invalid_labels"} <= set(metrics)


def test_scaling_guide_code_runs():
    page = (ROOT / "docs" / "scaling.md").read_text()
    training, population = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    namespace: dict = {}
    exec(training, namespace)
    assert namespace["metrics"]["generator_loss"].shape == (1, 10)
    # Without compiling: tests/mesh_programs.py trains a population on several devices.
    call = "jax.jit(train_all, donate_argnums=0)("
    assert call in population
    exec(population.replace(call, "jax.eval_shape(train_all, "), namespace)
    assert namespace["metrics"]["generator_loss"].shape == (8, 1, 10)


def test_evaluation_guide_code_runs():
    text = (ROOT / "docs" / "evaluation.md").read_text()
    namespace: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, namespace)
    assert namespace["distance"] > 0
    assert 0 < namespace["fidelity"] <= 1
    assert len(list(namespace["folder"].glob("*.png"))) == 300


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_link_targets_exist(page):
    text = page.read_text()
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    for target in targets:
        assert (page.parent / target).exists(), target


def test_readme_contains_the_commands_that_ci_runs():
    text = (ROOT / "README.md").read_text()
    for name, message in (("train", "examples/mnist.py"), ("tests", "-m pytest")):
        (command,) = re.findall(rf"<!-- {name} -->\n```bash\n(.*?)\n```\n<!-- end -->", text)
        assert message in command
