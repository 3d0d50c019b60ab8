from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.verify.comparison import (
    ENGINE,
    PREPARED_MODEL,
    Comparison,
    OutputComparison,
    Overflow,
    comparison_from_json,
    comparison_to_json,
)

_FIGURES = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
_COUNTS = st.integers(0, 2**40)
_COMPARISONS = st.builds(
    Comparison,
    subject=st.sampled_from([PREPARED_MODEL, ENGINE]),
    samples=_COUNTS,
    emulated=st.booleans(),
    outputs=st.lists(
        st.builds(
            OutputComparison,
            name=st.text(max_size=5),
            cosine_min=_FIGURES,
            cosine_mean=_FIGURES,
            max_absolute_error=_FIGURES,
            max_relative_error=_FIGURES,
            exact_match=_FIGURES,
            non_finite=_COUNTS,
            shape_mismatches=_COUNTS,
        ),
        max_size=3,
    ).map(tuple),
    top1_reference=_FIGURES,
    top1_candidate=_FIGURES,
    top1_agreement=_FIGURES,
    overflows=st.lists(
        st.builds(
            Overflow,
            node=st.text(max_size=5),
            operator=st.text(max_size=5),
            largest=st.floats(allow_nan=False, allow_infinity=False),
        ),
        max_size=2,
    ).map(tuple),
)


@given(_COMPARISONS)
def test_a_comparison_survives_the_way_through_json(comparison: Comparison) -> None:
    text = json.dumps(comparison_to_json(comparison), allow_nan=False)
    assert comparison_from_json(json.loads(text)) == comparison


def _sound() -> dict[str, Any]:
    output = OutputComparison(name="scores", cosine_min=1.0)
    return comparison_to_json(Comparison(subject=PREPARED_MODEL, samples=3, emulated=False, outputs=(output,)))


@pytest.mark.parametrize("name", sorted(_sound()))
def test_a_missing_member_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="comparison"):
        comparison_from_json({key: value for key, value in _sound().items() if key != name})


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "something"},
        {"samples": -1},
        {"samples": True},
        {"emulated": 0},
        {"outputs": [3]},
        {"outputs": [{"name": "scores"}]},
        {"top1_reference": "98"},
        {"top1_reference": float("nan")},
    ],
)
def test_a_damaged_comparison_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="comparison"):
        comparison_from_json(_sound() | change)
