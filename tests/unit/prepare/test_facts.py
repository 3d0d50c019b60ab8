from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.digest import digest_from_bytes
from pipeline.prepare.facts import ModelFacts, TensorFacts, facts_from_json, facts_to_json, tensor_from_json

_NAMES = st.text(max_size=8)
_DIGESTS = st.binary(max_size=2).map(digest_from_bytes)
_COUNTS = st.integers(0, 2**40)
_TENSORS = st.builds(
    TensorFacts,
    _NAMES,
    st.sampled_from(["float32", "int64", "bfloat16", "string"]),
    st.lists(st.one_of(st.integers(0, 9), _NAMES, st.none()), max_size=4).map(tuple),
)


def _pairs() -> st.SearchStrategy[tuple[tuple[str, int], ...]]:
    return st.dictionaries(_NAMES, _COUNTS, max_size=3).map(lambda counts: tuple(sorted(counts.items())))


_FACTS = st.builds(
    ModelFacts,
    opset=_COUNTS,
    opsets=_pairs(),
    ir_version=_COUNTS,
    inputs=st.lists(_TENSORS, max_size=3).map(tuple),
    outputs=st.lists(_TENSORS, max_size=3).map(tuple),
    node_names=st.lists(_NAMES, max_size=3).map(tuple),
    operators=_pairs(),
    external_files=st.lists(_NAMES, max_size=3).map(tuple),
    weights_bytes=_COUNTS,
    structure=_DIGESTS,
    named_structure=_DIGESTS,
    weights=_DIGESTS,
)

_SOUND: dict[str, Any] = {
    "opset": 17,
    "opsets": {},
    "ir_version": 8,
    "inputs": [{"name": "x", "dtype": "float32", "shape": ["batch", 4]}],
    "outputs": [],
    "node_names": ["a"],
    "operators": {"ai.onnx::Relu": 1},
    "external_files": [],
    "weights_bytes": 0,
    "structure": f"sha256:{'0' * 64}",
    "named_structure": f"sha256:{'1' * 64}",
    "weights": f"sha256:{'2' * 64}",
}


@given(_FACTS)
def test_facts_survive_the_way_through_json(facts: ModelFacts) -> None:
    assert facts_from_json(json.loads(json.dumps(facts_to_json(facts)))) == facts


@pytest.mark.parametrize("name", sorted(_SOUND))
def test_a_missing_member_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        facts_from_json({key: value for key, value in _SOUND.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("opset", "17"),
        ("opset", True),
        ("weights_bytes", -1),
        ("structure", "sha256:0"),
        ("node_names", [1]),
        ("operators", {"Relu": None}),
        ("inputs", ["x"]),
        ("inputs", [{"name": "x", "dtype": "float32"}]),
        ("inputs", [{"name": "x", "dtype": "float32", "shape": [-1]}]),
        ("inputs", [{"name": "x", "dtype": "float32", "shape": [True]}]),
        ("inputs", [{"name": "x", "dtype": "float32", "shape": [1.5]}]),
    ],
)
def test_a_member_of_another_type_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match="model facts"):
        facts_from_json({**_SOUND, name: value})


@pytest.mark.parametrize(("shape", "dynamic"), [([1, 2], False), ([], False), (["batch", 2], True), ([None], True)])
def test_a_tensor_is_dynamic_when_any_dimension_is_open(shape: list[object], dynamic: bool) -> None:
    assert tensor_from_json({"name": "x", "dtype": "float32", "shape": shape}).dynamic is dynamic
