"""Baselines of one job for tests."""

from __future__ import annotations

from typing import Any

from pipeline.compare.baseline import Figures, JobBaseline, PastRun, RunName
from pipeline.compare.gates import Gate, Strictness
from pipeline.compare.samples import Samples
from pipeline.digest import digest_from_bytes

JOB = "digits/h200/fp16"


def run_name(day: int = 1) -> RunName:
    return RunName(started=f"2030-01-{day:02}T12:00:00Z", commit=f"{day:040x}", tool_version="0.1.0")


def job_baseline(day: int = 1, **parts: Any) -> JobBaseline:
    """The result of a run on that day of January 2030."""
    figures = Figures(
        engine_size_bytes=700_000 + day,
        build_s=30.5,
        latency_p50_ms=0.25,
        latency_p99_ms=0.5,
        throughput_per_s=4000.0,
        memory_bytes=1 << 20,
        top1_percent=98.5,
        cosine_min=0.999,
    )
    fields: dict[str, Any] = {
        "job": JOB,
        "run": run_name(day),
        "engine_key": digest_from_bytes(b"key"),
        "engine_digest": digest_from_bytes(b"engine"),
        "gpu": "NVIDIA H200",
        "figures": figures,
        "samples": Samples(count=100, quantiles_ms=(0.2, 0.25, 0.5)),
        "gates": (
            Gate(name="budgets.latency_ms", strictness=Strictness.AT_MOST, limit=0.5),
            Gate(name="accuracy.tolerances.cosine", strictness=Strictness.AT_LEAST, limit=0.99),
            Gate(name="accuracy.samples", strictness=Strictness.AMOUNT, limit=None),
        ),
        "history": (PastRun(run=run_name(day), figures=figures),),
    }
    return JobBaseline(**(fields | parts))
