"""Tests the comparison of pytrees, pairs and JSON values."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import Pair
from jaxgan._internal import checks


class TestPair:
    def test_accepts(self):
        checks.pair("loss", Pair(1, 2), "losses")
        checks.pair("loss", Pair(len, print), "losses", callable)

    @pytest.mark.parametrize("value", [(1, 2), [1, 2], None, {"generator": 1, "discriminator": 2}])
    def test_other_types_are_rejected(self, value):
        with pytest.raises(TypeError, match=r"^loss must be a jaxgan\.Pair of losses; got .+\.$"):
            checks.pair("loss", value, "losses")

    @pytest.mark.parametrize("value", [Pair(len, 2), Pair(None, len), Pair("a", "b")])
    def test_both_parts_are_checked(self, value):
        with pytest.raises(TypeError, match=r"Pair of losses; got (generator|discriminator)="):
            checks.pair("loss", value, "losses", callable)


SCALAR = np.array(1, np.float32)
TREE = {"a": np.zeros((2, 3), np.float32), "b": [np.zeros(4, np.int32), SCALAR]}


class TestTreeMatches:
    @pytest.mark.parametrize(
        "same",
        [
            {
                "a": np.ones((2, 3), np.float32),
                "b": [np.ones(4, np.int32), SCALAR],
            },
            {"a": jnp.ones((2, 3)), "b": [jnp.ones(4, jnp.int32), jnp.float32(2)]},
        ],
    )
    def test_values_and_array_types_can_differ(self, same):
        checks.tree_matches("state", same, TREE)
        checks.tree_matches("state", TREE, jax.eval_shape(lambda: same))

    def test_empty_trees_match(self):
        checks.tree_matches("state", {}, {})
        checks.tree_matches("state", None, None)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"a": np.zeros((2, 2), np.float32)},
                r"\['a'\] float32\(2, 2\), not float32\(2, 3\)",
            ),
            (
                {"a": np.zeros((2, 3), np.int32)},
                r"\['a'\] int32\(2, 3\), not float32\(2, 3\)",
            ),
            ({"a": "text"}, r"\['a'\] str, not float32\(2, 3\)"),
            ({"c": np.zeros(1)}, r"\['c'\] float64\(1,\), not absent"),
            ({"b": []}, r"\['b'\]\[0\] absent, not int32\(4,\); \['b'\]\[1\] absent"),
        ],
    )
    def test_differences_are_named_by_path(self, changes, message):
        with pytest.raises(
            ValueError,
            match=rf"^state must be a pytree like .* one; got {message}.*\. Use another\.$",
        ):
            checks.tree_matches("state", {**TREE, **changes}, TREE, "Use another.")

    def test_single_leaf_is_named_the_root(self):
        with pytest.raises(ValueError, match=r"got the root float64\(3,\), not float64\(2,\)"):
            checks.tree_matches("x", np.zeros(3), np.zeros(2))

    def test_nodes_of_another_type_are_rejected(self):
        with pytest.raises(ValueError, match=r"state must be .*; got nodes other than PyTreeDef"):
            checks.tree_matches("state", (np.zeros(1),), [np.zeros(1)])

    def test_only_three_differences_are_named(self):
        wanted = {f"leaf {i:03}": np.zeros(i) for i in range(1000)}
        with pytest.raises(ValueError, match=r"leaf 002.*, and 997 more\.$") as caught:
            checks.tree_matches("state", {}, wanted)
        assert "leaf 003" not in str(caught.value)
        assert len(str(caught.value)) < 1000


class TestAsJson:
    @pytest.mark.parametrize("value", [None, 3, "a", [1, (2, 3)], {"a": {"b": [True, 1.5]}}, {}])
    def test_json_text_contains_the_value(self, value):
        text = checks.as_json("metadata", value)
        assert json.loads(text) == json.loads(json.dumps(value))

    @pytest.mark.parametrize(
        "value", [object(), {"a": {1, 2}}, [1j], b"x", np.zeros(2), {(1, 2): 3}, np.float32(1)]
    )
    def test_non_json_values_are_rejected(self, value):
        with pytest.raises(TypeError, match=r"^metadata must be numbers, text, None, or lists and"):
            checks.as_json("metadata", value)

    def test_circular_value_is_rejected(self):
        circle: list = []
        circle.append(circle)
        with pytest.raises(ValueError, match=r"metadata must be .*: Circular reference"):
            checks.as_json("metadata", circle)

    def test_too_deeply_nested_value_is_rejected(self):
        deep: list = []
        for _ in range(10**5):
            deep = [deep]
        with pytest.raises(ValueError, match="metadata must be"):
            checks.as_json("metadata", deep)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_non_finite_values_are_rejected_on_request(self, value):
        assert json.loads(checks.as_json("metadata", [float(value)]))[0] == pytest.approx(
            value, nan_ok=True
        )
        with pytest.raises(ValueError, match=r"metadata must be .*not JSON compliant"):
            checks.as_json("metadata", [float(value)], finite=True)
