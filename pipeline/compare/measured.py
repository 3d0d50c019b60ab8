"""A benchmark's measurement as what comparisons and baselines are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.bench.samples import ms_from_compact
from pipeline.compare.samples import Samples, samples_from_latencies
from pipeline.compare.schedule import Block

if TYPE_CHECKING:
    from pipeline.bench.measurement import Measurement
    from pipeline.compare.schedule import Side

_SLOWED_DOWN = frozenset({"hw-slowdown", "sw-thermal-slowdown", "hw-thermal-slowdown", "hw-power-brake"})
"""NVML's reasons that come and go and may meet one engine alone; a power limit holds for both."""


def samples_from_measurement(measurement: Measurement) -> Samples:
    """The GPU's own times for one inference. Raises ``ValueError`` where the measurement holds none."""
    return samples_from_latencies(ms_from_compact(measurement.samples))


def block_from_measurement(side: Side, measurement: Measurement) -> Block:
    """One fresh process's benchmark of one engine. Raises ``ValueError`` where it holds no samples."""
    reasons = measurement.gpu.throttled if measurement.gpu else ()
    return Block(
        side=side, samples=samples_from_measurement(measurement), throttled=not _SLOWED_DOWN.isdisjoint(reasons)
    )
