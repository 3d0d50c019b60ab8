"""The main job with full TensorRT on the GPU of this machine: built, run, and compared with the original."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.cache.receipt import receipt_from_bytes
from pipeline.digest import Digest
from pipeline.machine.devices import installed_gpus
from pipeline.recipes.timing_caches import KIND
from tests.support.gpu_runs import BENCHMARK, PRECISIONS, run

if TYPE_CHECKING:
    from pathlib import Path


def test_every_precision_is_built_and_is_accurate_on_the_gpu_itself(built: tuple[Path, dict[str, Any]]) -> None:
    _, report = built
    assert report["returncode"] == 0
    assert [job["precision"] for job in report["jobs"]] == list(PRECISIONS)
    for job in report["jobs"]:
        assert job["status"] == "built"
        assert job["accuracy"]["subject"] == "engine"
        assert job["accuracy"]["top1_candidate_percent"] >= 98


def test_a_second_run_builds_and_runs_nothing(built: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = built
    report = run(folder, more=BENCHMARK)
    assert {job["status"] for job in report["jobs"]} == {"cached"}
    assert all(job["accuracy"]["subject"] == "engine" for job in report["jobs"])
    assert report["elapsed_s"] < 5


def test_the_timing_cache_is_kept_and_loaded_without_complaint(built: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = built
    (path,) = (folder / ".trt-cache/v1/receipt" / KIND).rglob("*.json")
    receipt = receipt_from_bytes(path.read_bytes(), kind=KIND, stored_as=Digest("sha256", path.stem))
    assert min(blob.size_bytes for blob in receipt.blobs) > 1000
    logs = "".join(path.read_text() for path in (folder / "engines/logs").rglob("engine.log"))
    assert "does not fit" not in logs


def test_int8_from_the_calibration_table_is_built_and_accurate(tmp_path: Path) -> None:
    report = run(tmp_path, int8="implicit", only="*/int8*")
    assert report["returncode"] == 0
    for job in report["jobs"]:
        assert job["accuracy"]["top1_candidate_percent"] >= 98


def test_a_tolerance_that_the_engine_misses_fails_its_job(built: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = built
    report = run(folder, cosine=0.9999999, only="*/int8", out="refused")
    assert report["returncode"] == 7
    assert "missed by" in report["jobs"][0]["failure"]["why"]


def test_an_engine_that_was_damaged_in_the_cache_is_never_loaded(tmp_path: Path) -> None:
    run(tmp_path, only="*/fp32")
    blobs = sorted((tmp_path / ".trt-cache/v1/blob").rglob("*"), key=lambda path: path.stat().st_size)
    blobs[-1].chmod(0o644)
    data = bytearray(blobs[-1].read_bytes())
    data[len(data) // 2] ^= 1
    blobs[-1].write_bytes(bytes(data))
    report = run(tmp_path, only="*/fp32")
    assert report["returncode"] == 0
    assert report["jobs"][0]["status"] == "built"


def test_nvml_names_the_gpu() -> None:
    (gpu, *_) = installed_gpus()
    assert gpu.uuid.startswith(("GPU-", "MIG-"))
    assert gpu.memory_bytes > 1 << 30
    assert gpu.name
    assert gpu.driver.count(".") >= 1
