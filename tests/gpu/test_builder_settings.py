"""What a manifest asks of the builder is what full TensorRT builds, on the GPU of this machine."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.detector import detector
from tests.support.gpu_runs import BENCHMARK, capability, entrypoint, run

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = """
static int version(void *self) { return 8600; }
static const char *name(void *self) { return "Unused"; }
static const char *edition(void *self) { return "1"; }
static const char *space(void *self) { return ""; }
static struct { int count; const void *fields; } none = {0, 0};
static const void *fields(void *self) { return &none; }
static void *nothing(void *self) { return 0; }
static void *table[] = {version, name, edition, fields, nothing, nothing, nothing, space, nothing, nothing};
static struct { void **table; } creator = {table};
static void *creators[] = {&creator};
void **getPluginCreators(int *count) { *count = 1; return creators; }
void setLoggerFinder(void *finder) { (void)finder; }
"""
"""A library with one plugin that no model uses, since no header of TensorRT's is here: the functions of
``IPluginCreator`` (TensorRT 8.6 API) in the order of its methods, as C++ lays them out (Itanium C++ ABI)."""

DETECTOR = """
version: 1
models:
  - name: detector
    onnx: detector.onnx
    profiles:
      - {{boxes: {{min: [1, 64, 4], opt: [4, 64, 4], max: [8, 64, 4]}},
          logits: {{min: [1, 64, 3], opt: [4, 64, 3], max: [8, 64, 3]}}}}
    targets: [{{compute_capability: "{capability}"}}]
    precisions: [fp32]
    build: {{optimization_level: 1, tactic_sources: [edge-mask-convolutions, jit-convolutions]}}
    benchmark: {{duration_s: 0.5, warmup_s: 0.5}}
"""


def sidecar(folder: Path, report: dict[str, Any]) -> dict[str, Any]:
    (job,) = report["jobs"]
    loaded: dict[str, Any] = json.loads((folder / "engines" / job["engine"]["path"]).with_suffix(".json").read_text())
    return loaded


@pytest.mark.parametrize("setting", ["sparsity: true", "hardware_compatibility: ampere+", "workspace_mib: 64"])
def test_an_engine_built_with_the_setting_runs_and_is_accurate(tmp_path: Path, setting: str) -> None:
    report = run(tmp_path, only="*/fp16", build=setting)
    assert report["returncode"] == 0, report["jobs"][0]["failure"]
    name, _, value = setting.partition(": ")
    assert str(sidecar(tmp_path, report)["builder_settings"][name]).lower() == value
    assert report["jobs"][0]["accuracy"]["top1_candidate_percent"] >= 98


def test_a_version_compatible_engine_is_built_or_what_it_lacks_is_named(tmp_path: Path) -> None:
    """It holds the lean runtime, which TensorRT's images have and its Python package of 8.6 has not."""
    report = run(tmp_path, only="*/fp16", build="version_compatible: true")
    failure = report["jobs"][0]["failure"]
    assert report["returncode"] == 0 or "libnvinfer_lean" in failure["why"]


def test_layers_that_are_to_stay_in_fp32_do(tmp_path: Path) -> None:
    report = run(tmp_path, only="*/fp16", build='layer_precisions: {"/block1/*": fp32}')
    assert report["returncode"] == 0
    (path,) = (tmp_path / "engines").rglob("*.layers.json")
    layers = [layer for layer in json.loads(path.read_text())["layers"] if "/block1/conv" in layer["name"]]
    assert layers
    assert {layer["precision"] for layer in layers} == {"fp32"}


@pytest.mark.parametrize(("precision", "expected"), [("int8", "fp32"), ("int8-fp16", "fp16")])
def test_layers_that_are_to_stay_in_fp16_or_more_do(tmp_path: Path, precision: str, expected: str) -> None:
    report = run(tmp_path, only=f"*/{precision}", build='layer_precisions: {"/block1/*": fp16}')
    assert report["returncode"] == 0, report["jobs"][0]["failure"]
    (path,) = (tmp_path / "engines").rglob("*.layers.json")
    layers = [layer for layer in json.loads(path.read_text())["layers"] if "/block1/conv" in layer["name"]]
    # One that only moves data, as between two layouts, may tell no precision.
    assert {layer["precision"] for layer in layers if layer["precision"]} == {expected}


@pytest.mark.parametrize("batches", [(1, 1, 1), (1, 2, 4), (16, 16, 32)])
def test_an_engine_is_verified_whatever_batches_it_takes(tmp_path: Path, batches: tuple[int, int, int]) -> None:
    report = run(tmp_path, only="*/fp32", batches=batches)
    assert report["returncode"] == 0, report["jobs"][0]["failure"]
    assert report["jobs"][0]["accuracy"]["top1_candidate_percent"] >= 98


def test_each_of_several_profiles_serves_its_shapes(tmp_path: Path) -> None:
    report = run(
        tmp_path,
        only="*/fp16",
        profiles="\n      - image: {min: [64, 1, 8, 8], opt: [64, 1, 8, 8], max: [128, 1, 8, 8]}",
        more=BENCHMARK + "      shapes: {image: [64, 1, 8, 8]}\n",
    )
    assert report["returncode"] == 0
    assert len(sidecar(tmp_path, report)["profiles"]) == 2
    assert report["jobs"][0]["speed"]["engine"]["shapes"] == {"image": [64, 1, 8, 8]}


def test_a_plugin_library_is_loaded_to_build_to_run_and_to_inspect(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    source, library = tmp_path / "unused.c", tmp_path / "digits/libunused.so"
    source.write_text(PLUGIN)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    report = run(tmp_path, only="*/fp16", build="plugins: [libunused.so]")
    assert report["returncode"] == 0, report["jobs"][0]["failure"]
    assert sidecar(tmp_path, report)["builder_settings"]["plugins"] == ["libunused.so"]


def test_a_plugin_library_that_is_none_fails_the_job_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits/libnone.so").write_bytes(b"not a library")
    report = run(tmp_path, only="*/fp16", build="plugins: [libnone.so]")
    assert report["returncode"] == 6
    assert "libnone.so" in report["jobs"][0]["failure"]["what"]


def test_a_model_with_one_of_tensorrts_own_plugins_is_built_and_timed(tmp_path: Path) -> None:
    detector(tmp_path / "detector.onnx")
    (tmp_path / "gpu.yaml").write_text(DETECTOR.format(capability=capability()))
    result = entrypoint(tmp_path, "run", "--manifest", "gpu.yaml")
    report = json.loads((tmp_path / "engines/report.json").read_text())
    assert result.returncode == 0, result.stderr
    assert report["jobs"][0]["speed"]["engine"]["compute"]["p50_ms"] > 0
