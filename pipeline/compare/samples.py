"""What one run of an engine in a fresh process tells: its latencies, in little room."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

KEPT = 64
"""How many quantiles are kept of one process. More change no typical latency by a tenth of its noise."""
_TRIMMED_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """The latencies of one process, as ``count`` and at most ``KEPT`` equally likely quantiles, ascending, in ms.

    Raises ``ValueError`` where there are none, or one is not a positive finite number, or they are out of order.
    """

    count: int
    quantiles_ms: tuple[float, ...]

    def __post_init__(self) -> None:
        values = self.quantiles_ms
        if not values or self.count < len(values):
            raise ValueError(f"{self.count} latencies cannot have {len(values)} quantiles")
        if not all(math.isfinite(value) and value > 0 for value in values):
            raise ValueError("a latency must be a positive finite number of milliseconds")
        if any(later < earlier for earlier, later in pairwise(values)):
            raise ValueError("quantiles must ascend")

    @property
    def typical_ms(self) -> float:
        """The mean without the fastest and the slowest tenth.

        Unlike a median it moves smoothly where a GPU changes between two clocks, and unlike a mean it does not
        follow a few stalls (Huber and Ronchetti, Robust Statistics, 2009, 3.3: trimmed means).
        """
        cut = int(len(self.quantiles_ms) * _TRIMMED_SHARE)
        kept = self.quantiles_ms[cut : len(self.quantiles_ms) - cut]
        return math.fsum(kept) / len(kept)


def samples_from_latencies(latencies_ms: Sequence[float]) -> Samples:
    """All latencies of one process, in any order, made compact. Raises ``ValueError`` as ``Samples`` does."""
    ordered = sorted(latencies_ms)
    if len(ordered) <= KEPT:
        return Samples(count=len(ordered), quantiles_ms=tuple(ordered))
    step = len(ordered) / KEPT
    kept = tuple(ordered[int((index + 0.5) * step)] for index in range(KEPT))
    return Samples(count=len(ordered), quantiles_ms=kept)
