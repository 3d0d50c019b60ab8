"""Choosing the largest magnitude that INT8 keeps (amax) from a histogram of magnitudes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pipeline.manifest.types import CalibrationMethod

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.prepare.histogram import MagnitudeHistogram

LEVELS = 128
"""The magnitudes that a symmetric INT8 can hold, 0 to 127."""
_MOST_CLIPPED = 0.01
_DECIMALS = 9


def amax_from_histogram(histogram: MagnitudeHistogram, method: CalibrationMethod, percentile: float) -> float:
    """The magnitude that becomes 127; larger ones are clipped to it. 0 where no value but zero was seen.

    ``percentile`` (0 to 100) is the share of all values that must not be clipped; only read by that method.
    """
    if histogram.largest == 0 or method is CalibrationMethod.MINMAX:
        return histogram.largest
    kept = (
        _bins_of_least_divergence(histogram.counts)
        if method is CalibrationMethod.ENTROPY
        else _bins_of_percentile(histogram, percentile)
    )
    return min(kept * histogram.bin_width, histogram.largest)


def _bins_of_percentile(histogram: MagnitudeHistogram, percentile: float) -> int:
    wanted = math.ceil(histogram.total * percentile / 100) - histogram.zeros
    return max(1, int(np.searchsorted(np.cumsum(histogram.counts), wanted)) + 1)


def _bins_of_least_divergence(counts: NDArray[np.int64]) -> int:
    """How many bins to keep so that the kept distribution, cut into 128 levels, is nearest to the whole one.

    Entropy calibration after S. Migacz, "8-bit Inference with TensorRT" (GTC 2017): for each number of bins i, P is
    the first i counts with all that lies above added to the last, and Q the same i counts (nothing added) averaged
    over the non-empty bins of each of 128 levels. The i with the smallest Kullback-Leibler divergence D(P || Q)
    wins; among equals the largest, which clips least. An i whose last bin is empty would leave Q without the mass
    that P has there, so its divergence is infinite. An i that clips more than a hundredth of the non-zero values is
    no candidate: where nearly all mass falls into one bin (few distinct values, such as pixels of 0 to 16), P and Q
    become equal by losing everything.

    All i are handled at once: within a level Q is constant, so that D needs only sums over levels, and these are
    differences of running sums.
    """
    used = int(np.flatnonzero(counts)[-1]) + 1
    candidates = np.flatnonzero(counts[:used]) + 1
    mass = np.concatenate(([0.0], np.cumsum(counts[:used], dtype=np.float64)))
    total = mass[-1]
    candidates = candidates[(candidates >= LEVELS) & (total - mass[candidates] <= _MOST_CLIPPED * total)]
    filled = np.concatenate(([0], np.cumsum(counts[:used] > 0)))
    p_log_p = np.concatenate(([0.0], np.cumsum(_x_log_x(counts[:used].astype(np.float64)))))

    edges = candidates[:, None] * np.arange(LEVELS + 1) // LEVELS
    level_mass = np.diff(mass[edges], axis=1)
    level_filled = np.diff(filled[edges], axis=1)
    log_q = np.log(level_mass, out=np.zeros_like(level_mass), where=level_mass > 0)
    log_q -= np.log(level_filled, out=np.zeros_like(level_mass), where=level_filled > 0)
    clipped = total - mass[candidates]
    level_mass[:, -1] += clipped
    last = counts[candidates - 1] + clipped
    divergence = (p_log_p[candidates - 1] + _x_log_x(last) - (level_mass * log_q).sum(axis=1)) / total
    divergence += np.log(mass[candidates] / total)
    divergence = divergence.round(_DECIMALS)
    return int(candidates[len(candidates) - 1 - np.argmin(divergence[::-1])])


def _x_log_x(x: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = x * np.log(x, out=np.zeros_like(x), where=x > 0)
    return result
