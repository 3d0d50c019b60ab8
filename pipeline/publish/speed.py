"""How fast engines are, as figures that read the same in the terminal and in Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.publish.figures import NOTHING, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.bench.measurement import Measurement
    from pipeline.publish.job_report import JobReport
    from pipeline.publish.report import Report

SPEED_HEADER = ("job", "GPU time p50 (p99)", "alone p50 (p99)", "per second", "GPU memory", "times faster than")
_FRAMEWORKS = {"onnxruntime": "ONNX Runtime", "pytorch": "PyTorch"}
_DIGITS = ((0.1, 4), (1, 3), (10, 2), (100, 1))
_REVERSED = 1.02
"""An engine of lower precision is told to be slower where it is so by more than this, which is past the noise."""

_WIDER = {
    "int8": ("fp16", "fp32"),
    "int8-fp16": ("fp16", "fp32"),
    "fp16": ("fp32",),
    "bf16": ("fp32",),
}


@dataclass(frozen=True, slots=True)
class SpeedRow:
    """One timed job and its cells, in the order of ``SPEED_HEADER`` without the job."""

    job: JobReport
    cells: tuple[str, ...]


def speed_rows(report: Report) -> tuple[SpeedRow, ...]:
    """The jobs that were timed."""
    return tuple(SpeedRow(job, tuple(_cells(job))) for job in report.jobs if job.speed is not None)


def slower_than_wider_precision(report: Report) -> tuple[str, ...]:
    """Engines that are slower for their lower precision, which a reader must not overlook.

    Each INT8 engine is held against the FP16 one of the same model and target, each FP16, BF16 and INT8 engine against
    the FP32 one.
    """
    p50_ms = {
        (job.model, job.target, str(job.precision)): job.speed.engine.compute.p50_ms
        for job in report.jobs
        if job.speed is not None
    }
    found = []
    for (model, target, precision), own_ms in p50_ms.items():
        for wider in _WIDER.get(precision, ()):
            other_ms = p50_ms.get((model, target, wider))
            if other_ms is not None and own_ms > _REVERSED * other_ms:
                found.append(f"{model}/{target}: {precision} is {own_ms / other_ms:.2f} times as slow as {wider}")
                break
    return tuple(found)


def circumstances_text(report: Report) -> str:
    """How the figures were taken, on one line; empty where nothing was timed."""
    engines = [job.speed.engine for job in report.jobs if job.speed is not None]
    if not engines:
        return ""
    devices = ", ".join(dict.fromkeys(engine.device for engine in engines))
    clocks = [engine.gpu.sm_clock_mean_mhz for engine in engines if engine.gpu and engine.gpu.sm_clock_mean_mhz]
    graphs = "with" if all(engine.cuda_graph for engine in engines) else "partly without"
    parts = [
        f"Timed on {devices}, {graphs} CUDA graphs",
        _clocks_text(clocks),
        "GPU time is between two events around an inference; alone is one inference and its copies, by the host clock",
    ]
    return "; ".join(filter(None, parts)) + "."


def _clocks_text(clocks_mhz: list[float]) -> str:
    if not clocks_mhz:
        return ""
    low, high = round(min(clocks_mhz)), round(max(clocks_mhz))
    return f"clock {low} MHz" if low == high else f"clocks {low} to {high} MHz"


def _cells(job: JobReport) -> Iterator[str]:
    assert job.speed is not None  # noqa: S101  the caller selects the jobs that were timed
    engine = job.speed.engine
    yield f"{ms_text(engine.compute.p50_ms)} ({ms_text(engine.compute.p99_ms)})"
    yield f"{ms_text(engine.latency.p50_ms)} ({ms_text(engine.latency.p99_ms)})" if engine.latency else NOTHING
    yield per_second_text(engine)
    yield size_text(engine.peak_memory_bytes) if engine.peak_memory_bytes is not None else NOTHING
    factors = (f"{job.speed.factor_over(each):.2f}x {original_text(each)}" for each in job.speed.originals)
    yield ", ".join(factors) or NOTHING


def ms_text(duration_ms: float) -> str:
    """Such as ``0.0421 ms``, ``3.42 ms`` or ``120 ms``: three significant digits."""
    digits = next((digits for limit, digits in _DIGITS if duration_ms < limit), 0)
    return f"{duration_ms:.{digits}f} ms"


def per_second_text(engine: Measurement) -> str:
    """The best throughput, in the manifest's items where it names them."""
    if engine.items_per_s is not None:
        return f"{engine.items_per_s:,.0f} {engine.items_unit}"
    return f"{engine.best_inferences_per_s:,.0f}"


def original_text(original: Measurement) -> str:
    """What an original model was run in, such as ``ONNX Runtime fp32 (CPU)``."""
    where = " (CPU)" if original.device == "CPU" else " (CUDA graph)" if original.cuda_graph else ""
    return f"{_FRAMEWORKS.get(original.subject, original.subject)} {original.precision}{where}"
