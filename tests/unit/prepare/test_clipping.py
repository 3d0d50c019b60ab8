from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pipeline.manifest.types import CalibrationMethod
from pipeline.prepare.clipping import LEVELS, amax_from_histogram
from pipeline.prepare.histogram import MagnitudeHistogram

_ENTROPY, _MINMAX, _PERCENTILE = CalibrationMethod.ENTROPY, CalibrationMethod.MINMAX, CalibrationMethod.PERCENTILE


def _histogram(values: np.ndarray) -> MagnitudeHistogram:
    histogram = MagnitudeHistogram()
    histogram.add(values.astype(np.float32))
    return histogram


def _reference_bins(counts: np.ndarray) -> int:
    """Entropy calibration written out candidate by candidate."""
    used = int(np.flatnonzero(counts)[-1]) + 1
    total = counts.sum()
    best, best_divergence = 0, np.inf
    for kept in range(LEVELS, used + 1):
        clipped = counts[kept:used].sum()
        if counts[kept - 1] == 0 or clipped > 0.01 * total:
            continue
        p = counts[:kept].astype(float)
        p[-1] += clipped
        q = np.zeros(kept)
        edges = [level * kept // LEVELS for level in range(LEVELS + 1)]
        for start, end in pairwise(edges):
            part = counts[start:end]
            if part.any():
                q[start:end] = np.where(part > 0, part.sum() / (part > 0).sum(), 0)
        p, q = p / p.sum(), q / q.sum()
        divergence = round(float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum()), 9)
        if divergence <= best_divergence:
            best, best_divergence = kept, divergence
    return best


@pytest.mark.parametrize("degrees", [2, 5, 50])
def test_entropy_finds_what_the_written_out_algorithm_finds(degrees: int) -> None:
    histogram = _histogram(np.random.default_rng(degrees).standard_t(degrees, 20_000))

    amax = amax_from_histogram(histogram, _ENTROPY, 0)

    expected = _reference_bins(histogram.counts) * histogram.bin_width
    assert amax == pytest.approx(min(expected, histogram.largest))


def test_entropy_clips_a_heavy_tail() -> None:
    histogram = _histogram(np.random.default_rng(0).standard_t(2, 200_000))

    amax = amax_from_histogram(histogram, _ENTROPY, 0)

    assert amax < 0.25 * amax_from_histogram(histogram, _MINMAX, 0)
    assert 0 < histogram.share_above(amax) <= 0.01


def test_entropy_keeps_an_even_distribution_whole() -> None:
    histogram = _histogram(np.random.default_rng(0).uniform(-1, 1, 100_000))

    assert amax_from_histogram(histogram, _ENTROPY, 0) == pytest.approx(histogram.largest, rel=0.01)


def test_entropy_keeps_a_few_distinct_values_whole() -> None:
    histogram = _histogram(np.random.default_rng(0).integers(0, 17, 10_000))

    assert amax_from_histogram(histogram, _ENTROPY, 0) == 16


def test_minmax_is_the_largest_magnitude_exactly() -> None:
    histogram = _histogram(np.array([0.1, -3.3, 2.0]))

    assert amax_from_histogram(histogram, _MINMAX, 0) == float(np.float32(3.3))


@pytest.mark.parametrize("percentile", [50.0, 90.0, 99.9])
def test_a_percentile_keeps_at_least_its_share(percentile: float) -> None:
    values = np.abs(np.random.default_rng(1).standard_normal(50_000)).astype(np.float32)

    amax = amax_from_histogram(_histogram(values), _PERCENTILE, percentile)

    assert np.mean(values <= amax) >= percentile / 100 - 1e-12
    assert amax == pytest.approx(np.percentile(values, percentile), rel=0.01)


def test_a_percentile_of_100_clips_nothing() -> None:
    histogram = _histogram(np.array([1.0, 5.0, 100.0]))

    assert amax_from_histogram(histogram, _PERCENTILE, 100) == 100


@pytest.mark.parametrize("method", list(CalibrationMethod))
def test_zeros_alone_have_no_range(method: CalibrationMethod) -> None:
    assert amax_from_histogram(_histogram(np.zeros(10)), method, 99) == 0


@pytest.mark.parametrize("method", list(CalibrationMethod))
def test_one_repeated_value_is_kept(method: CalibrationMethod) -> None:
    assert amax_from_histogram(_histogram(np.full(10, 0.3)), method, 99) == float(np.float32(0.3))
