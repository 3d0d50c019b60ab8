"""Durations: their distribution, and a compact form in which later runs can compare whole distributions (pure)."""

from __future__ import annotations

import base64
import math
import statistics
import zlib
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_KEPT = 4096
"""Samples that the compact form keeps; of more, evenly spaced ones in their order, so that drift stays visible."""
_TICKS_PER_MS = 100_000
"""10 ns: finer than the half microsecond that CUDA events resolve (CUDA Runtime API, ``cudaEventElapsedTime``)."""
_MOST_TICKS = (1 << 32) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Durations in ms. Percentiles interpolate linearly between the two nearest samples."""

    count: int
    mean_ms: float
    min_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def distribution_from_ms(samples: Sequence[float]) -> Distribution:
    """The distribution of at least one duration. Raises ``ValueError`` for none, or one that is not finite."""
    if not samples or not all(map(math.isfinite, samples)):
        raise ValueError("there are no finite durations")
    ordered = sorted(samples)
    return Distribution(
        count=len(ordered),
        mean_ms=statistics.fmean(ordered),
        min_ms=ordered[0],
        p50_ms=_percentile(ordered, 0.50),
        p90_ms=_percentile(ordered, 0.90),
        p95_ms=_percentile(ordered, 0.95),
        p99_ms=_percentile(ordered, 0.99),
        max_ms=ordered[-1],
    )


def compact_from_ms(samples: Sequence[float]) -> str:
    """At most ``MOST_KEPT`` of ``samples`` as text: differences of 10 ns ticks, deflated, in Base85."""
    kept = samples
    if len(samples) > MOST_KEPT:
        kept = [samples[index * len(samples) // MOST_KEPT] for index in range(MOST_KEPT)]
    ticks = [min(round(value * _TICKS_PER_MS), _MOST_TICKS) for value in kept]
    steps = array("q", [after - before for before, after in zip([0, *ticks], ticks, strict=False)])
    return base64.b85encode(zlib.compress(steps.tobytes(), 9)).decode()


def ms_from_compact(text: str) -> tuple[float, ...]:
    """The inverse of ``compact_from_ms``. Raises ``ValueError`` for text that it did not make."""
    try:
        raw = zlib.decompressobj()
        data = raw.decompress(base64.b85decode(text), MOST_KEPT * 8)
    except zlib.error as error:
        raise ValueError("the samples cannot be read") from error
    if raw.unconsumed_tail or not raw.eof or len(data) % 8:
        raise ValueError("the samples are cut, or too many")
    steps = array("q")
    steps.frombytes(data)
    total, ticks = 0, []
    for step in steps:
        total += step
        ticks.append(total)
    return tuple(tick / _TICKS_PER_MS for tick in ticks)


def _percentile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
