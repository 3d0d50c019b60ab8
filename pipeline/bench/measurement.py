"""What a benchmark found: figures with units, and the circumstances that make them worth trusting (light)."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  record_from_json reads the annotations
from dataclasses import dataclass
from typing import Any

from pipeline.bench.samples import Distribution  # noqa: TC001  record_from_json reads the annotations
from pipeline.record import json_from_record, record_from_json

ENGINE, PYTORCH = "engine", "pytorch"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuState:
    """What NVML said while it was timed: means and extremes over all readings, ``None`` where it does not say.

    ``throttled`` names NVML's reasons for lower clocks that held at any reading, such as ``sw-power-cap``.
    """

    readings: int
    utilization_percent: float | None = None
    power_mean_w: float | None = None
    power_max_w: float | None = None
    sm_clock_min_mhz: float | None = None
    sm_clock_mean_mhz: float | None = None
    memory_clock_mean_mhz: float | None = None
    temperature_max_c: float | None = None
    throttled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Inferences side by side on ``streams`` streams, each with a context of its own."""

    streams: int
    inferences_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One subject, timed on one device with one set of shapes.

    ``compute`` is what the GPU itself takes for one inference, between two events around it on the stream, and that of
    a CPU's whole call; with a CUDA graph where ``cuda_graph``. ``without_graph`` is the same with kernels launched
    one by one, ``None`` where nothing else was measured. ``latency`` is the host's clock around one inference alone:
    copies in, inference, copies out. ``copy_in`` and ``copy_out`` are its parts by events; ``enqueue`` is what the
    host takes to launch one inference. ``inferences_per_s`` is that of one stream kept busy.
    """

    subject: str
    device: str
    version: str
    precision: str
    shapes: Mapping[str, tuple[int, ...]]
    cuda_graph: bool
    compute: Distribution
    inferences_per_s: float
    without_graph: Distribution | None = None
    latency: Distribution | None = None
    copy_in: Distribution | None = None
    copy_out: Distribution | None = None
    enqueue: Distribution | None = None
    streams: Streams | None = None
    items_per_inference: float | None = None
    items_unit: str = ""
    engine_memory_bytes: int | None = None
    context_memory_bytes: int | None = None
    peak_memory_bytes: int | None = None
    warmup_s: float
    stable: bool
    measured_s: float
    gpu: GpuState | None = None
    samples: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def items_per_s(self) -> float | None:
        """The best throughput in the manifest's items, ``None`` where it names none."""
        if self.items_per_inference is None:
            return None
        return self.items_per_inference * self.best_inferences_per_s

    @property
    def best_inferences_per_s(self) -> float:
        """Of one stream or of several, whichever was faster."""
        return max(self.inferences_per_s, self.streams.inferences_per_s if self.streams else 0.0)


def measurement_to_json(measurement: Measurement) -> dict[str, Any]:
    """The JSON form of a measurement."""
    data: dict[str, Any] = json_from_record(measurement)
    return data


def measurement_from_json(value: Any) -> Measurement:
    """The inverse of ``measurement_to_json``; ignores the warnings of earlier stages. Raises ``RecordError``."""
    measurement: Measurement = record_from_json(Measurement, value)
    return measurement
