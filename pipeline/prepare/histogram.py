"""A histogram of magnitudes that grows as values come, in one pass and constant memory.

Its range is always a power of two just above the largest magnitude seen. Where a larger one comes, neighbouring
bins are added together. Scaling by a power of two is exact, so the result does not depend on the order of the
values or on how they were cut into batches.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 4096
"""At least half of them are in use, so that a bin is at most 1/2048 of the largest magnitude wide."""
_BINS_EXPONENT = 12
_LEAST_EXPONENT = -100
"""Magnitudes of 2 ** -100 and less share the last bin of the smallest range: no scale below it would be usable."""


class MagnitudeHistogram:
    """Counts |x| over all values added. Zeros are counted apart: every scale holds them exactly."""

    def __init__(self) -> None:
        self.largest = 0.0
        """The largest magnitude seen, exactly."""
        self.zeros = 0
        self.finite = True
        """Whether no NaN and no infinity was seen; counting ends at the first."""
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        """Values by magnitude, int64[4096]; bin ``i`` holds ``i * bin_width <= |x| < (i + 1) * bin_width``."""
        self._exponent = _LEAST_EXPONENT

    @property
    def total(self) -> int:
        """How many values were added, zeros included."""
        return self.zeros + int(self.counts.sum())

    @property
    def bin_width(self) -> float:
        """The width of one bin, a power of two."""
        return math.ldexp(1.0, self._exponent - _BINS_EXPONENT)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count ``values`` (float32, any shape)."""
        if values.size == 0 or not self.finite:
            return
        magnitudes = np.abs(values.ravel())
        largest = float(magnitudes.max())
        if not math.isfinite(largest):
            self.finite = False
            return
        nonzero = magnitudes[magnitudes > 0]
        self.zeros += magnitudes.size - nonzero.size
        if nonzero.size == 0:
            return
        self._grow(math.frexp(largest)[1])
        self.largest = max(self.largest, largest)
        bins = (nonzero * np.float32(math.ldexp(1.0, _BINS_EXPONENT - self._exponent))).astype(np.int64)
        self.counts += np.bincount(bins, minlength=BINS)

    def share_above(self, magnitude: float) -> float:
        """The share of all values (0 to 1) that exceed ``magnitude``, to the width of a bin."""
        if magnitude >= self.largest:
            return 0.0
        first = math.ceil(magnitude / self.bin_width)
        return int(self.counts[first:].sum()) / self.total

    def _grow(self, exponent: int) -> None:
        steps = max(exponent, self._exponent) - self._exponent
        if not steps:
            return
        folded = np.zeros(BINS, np.int64)
        kept = BINS >> steps
        if kept:
            folded[:kept] = self.counts.reshape(kept, -1).sum(axis=1)
        else:
            folded[0] = self.counts.sum()
        self.counts = folded
        self._exponent += steps
