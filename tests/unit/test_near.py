from __future__ import annotations

from pipeline.near import near_spelling


def test_a_slip_is_recognised_whatever_the_case() -> None:
    assert near_spelling("PERCENTIL", ["entropy", "percentile"]) == "did you mean 'percentile'?"


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    assert near_spelling("zebra", ["entropy", "percentile"]) == ""
