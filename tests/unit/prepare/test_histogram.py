from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.prepare.histogram import BINS, MagnitudeHistogram

_values = arrays.arrays(np.float32, st.integers(0, 60), elements=st.floats(-(2.0**100), 2.0**100, width=32))


def _histogram(*batches: np.ndarray) -> MagnitudeHistogram:
    histogram = MagnitudeHistogram()
    for batch in batches:
        histogram.add(batch)
    return histogram


@given(_values, st.integers(0, 60))
def test_the_counts_do_not_depend_on_order_or_batches(values: np.ndarray, cut: int) -> None:
    shuffled = np.random.default_rng(cut).permutation(values)

    whole, parts = _histogram(values), _histogram(shuffled[:cut], shuffled[cut:])

    assert np.array_equal(whole.counts, parts.counts)
    assert (whole.zeros, whole.largest, whole.bin_width) == (parts.zeros, parts.largest, parts.bin_width)


@given(_values)
def test_every_value_is_counted_once(values: np.ndarray) -> None:
    assert _histogram(values).total == values.size


def test_a_value_lies_in_the_bin_of_its_magnitude() -> None:
    histogram = _histogram(np.array([-0.25, 0.999], np.float32))

    assert np.flatnonzero(histogram.counts).tolist() == [BINS // 4, int(np.float32(0.999) * BINS)]


def test_at_least_half_of_the_bins_are_in_use() -> None:
    for largest in (1.0, 1.5, 1.999, 2.0):
        histogram = _histogram(np.array([largest], np.float32))
        assert np.flatnonzero(histogram.counts)[-1] >= BINS // 2


def test_a_larger_value_widens_the_bins_and_keeps_the_counts() -> None:
    histogram = _histogram(np.full(5, 1e-3, np.float32), np.array([1e6], np.float32))

    assert histogram.counts[0] == 5
    assert histogram.total == 6


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_noticed(bad: float) -> None:
    assert not _histogram(np.array([1, bad], np.float32)).finite


def test_the_share_above_a_magnitude_counts_zeros_as_below() -> None:
    histogram = _histogram(np.array([0, 0, 1, 4], np.float32))

    assert histogram.share_above(2.0) == pytest.approx(0.25)
    assert histogram.share_above(4.0) == 0.0
