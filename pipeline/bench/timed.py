"""What timing an original gives, whichever framework it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.bench.measurement import GpuState


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Durations of single inferences in ms, in order, and what all of them took; as in ``Measurement`` otherwise."""

    samples_ms: tuple[float, ...]
    wall_s: float
    warmup_s: float
    stable: bool
    device: str
    version: str
    precision: str
    cuda_graph: bool = False
    peak_memory_bytes: int | None = None
    gpu: GpuState | None = None
    warnings: tuple[str, ...] = ()
