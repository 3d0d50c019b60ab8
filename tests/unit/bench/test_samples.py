from __future__ import annotations

import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bench.samples import MOST_KEPT, compact_from_ms, distribution_from_ms, ms_from_compact

DURATIONS = st.lists(st.floats(0, 40_000, allow_nan=False), max_size=200)


@given(DURATIONS)
def test_samples_come_back_in_order_to_the_tick(durations: list[float]) -> None:
    assert ms_from_compact(compact_from_ms(durations)) == pytest.approx(durations, abs=0.00001)


def test_of_many_samples_evenly_spaced_ones_are_kept() -> None:
    kept = ms_from_compact(compact_from_ms([number / 100 for number in range(10 * MOST_KEPT)]))
    assert len(kept) == MOST_KEPT
    assert kept[:3] == pytest.approx((0.0, 0.1, 0.2))


def test_like_samples_take_a_few_bytes_each() -> None:
    durations = [1.0 + (number * 7919 % 100) / 100_000 for number in range(MOST_KEPT)]
    assert len(compact_from_ms(durations)) < 3 * MOST_KEPT


def text_of(data: bytes) -> str:
    return base64.b85encode(data).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not base 85 \x00",
        text_of(b"not deflated"),
        text_of(zlib.compress(b"123")),
        text_of(zlib.compress(bytes(8 * MOST_KEPT + 8))),
        compact_from_ms([1.0, 2.0])[:-5],
    ],
)
def test_a_text_that_holds_no_samples_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        ms_from_compact(text)


def test_percentiles_lie_between_samples() -> None:
    found = distribution_from_ms([float(number) for number in range(101)])
    assert (found.p50_ms, found.p90_ms, found.p95_ms, found.p99_ms) == (50, 90, 95, 99)
    assert (found.count, found.mean_ms, found.min_ms, found.max_ms) == (101, 50, 0, 100)


def test_the_median_of_two_lies_between_them() -> None:
    assert distribution_from_ms([1.0, 2.0]).p50_ms == 1.5


@pytest.mark.parametrize("durations", [[], [1.0, float("nan")], [float("inf")]])
def test_durations_that_are_none_have_no_distribution(durations: list[float]) -> None:
    with pytest.raises(ValueError, match="no finite durations"):
        distribution_from_ms(durations)
