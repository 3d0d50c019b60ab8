"""What the benchmark says of real engines on a real GPU."""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.bench.samples import ms_from_compact
from tests.support.gpu_runs import ROOT, run

if TYPE_CHECKING:
    from pathlib import Path

Built = tuple["Path", dict[str, Any]]


def engines_of(built: Built) -> list[dict[str, Any]]:
    return [job["speed"]["engine"] for job in built[1]["jobs"]]


def test_every_engine_is_timed_on_the_gpu_with_a_cuda_graph(built: Built) -> None:
    for engine in engines_of(built):
        assert engine["cuda_graph"]
        assert engine["device"].startswith("NVIDIA")
        assert 0 < engine["compute"]["p50_ms"] <= engine["compute"]["p99_ms"]
        assert engine["compute"]["p50_ms"] < engine["latency"]["p50_ms"]


def test_launching_kernels_one_by_one_is_slower_than_a_graph(built: Built) -> None:
    for engine in engines_of(built):
        assert engine["without_graph"]["p50_ms"] > engine["compute"]["p50_ms"]


def test_memory_power_clocks_and_load_are_told(built: Built) -> None:
    for engine in engines_of(built):
        assert engine["peak_memory_bytes"] >= engine["context_memory_bytes"] > 0
        assert engine["gpu"]["readings"] >= 3
        assert engine["gpu"]["power_mean_w"] > 10
        assert engine["gpu"]["sm_clock_mean_mhz"] > 100


def test_two_streams_are_timed_too(built: Built) -> None:
    for engine in engines_of(built):
        assert engine["streams"]["streams"] == 2
        assert engine["streams"]["inferences_per_s"] > 0


def test_the_samples_are_kept_and_give_the_same_median(built: Built) -> None:
    for engine in engines_of(built):
        samples = ms_from_compact(engine["samples"])
        assert statistics.median(samples) == pytest.approx(engine["compute"]["p50_ms"], rel=0.01)


def test_the_original_is_timed_once_beside_all_precisions(built: Built) -> None:
    originals = [job["speed"]["originals"] for job in built[1]["jobs"]]
    assert all(each == originals[0] for each in originals)
    (original,) = originals[0]
    assert (original["subject"], original["precision"]) == ("onnxruntime", "fp32")


def test_the_median_agrees_with_an_independent_timer(built: Built) -> None:
    """The timer shares no code with the step, and times as trtexec says that it does."""
    folder, report = built
    script = ROOT / "benchmarks/bare_tensorrt.py"
    for job in report["jobs"][:3]:
        engine = folder / "engines" / job["engine"]["path"]
        command = [sys.executable, str(script), "time", str(engine), "8x1x8x8", "1"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert float(printed.splitlines()[-1]) == pytest.approx(job["speed"]["engine"]["compute"]["p50_ms"], rel=0.02)


def test_a_latency_budget_that_is_missed_fails_the_job(built: Built) -> None:
    folder, _ = built
    report = run(
        folder, more="benchmark: {duration_s: 0.5}\n    budgets: {latency_ms: 0.000001}", only="*/fp32", out="refused"
    )
    assert report["returncode"] == 8
    assert "the budget is 1e-06 ms" in report["jobs"][0]["failure"]["why"]
