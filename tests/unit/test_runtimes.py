from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import DeviceError
from pipeline.manifest.types import Budgets, BuildSettings, Location, ModelSpec
from pipeline.precision import Precision
from pipeline.runtimes import (
    RUNTIMES,
    build_refusals,
    effective_refit,
    effective_typing,
    refusals,
    run_hindrance,
    run_refusals,
)
from pipeline.targets import TENSORRT, TENSORRT_RTX, Target, gpu_from_name

if TYPE_CHECKING:
    from collections.abc import Mapping


def _model(build: BuildSettings | None = None) -> ModelSpec:
    return ModelSpec(
        name="m",
        onnx=Path("/m.onnx"),
        sha256=None,
        profiles=(),
        targets=(),
        precisions=(),
        calibration=None,
        build=build or BuildSettings(),
        accuracy=None,
        budgets=Budgets(),
        location=Location("m.yaml", 1, 1),
    )


def _refused(gpu: str, runtime: str, precision: Precision, build: BuildSettings | None = None) -> list[tuple[str, ...]]:
    target = Target(gpu, runtime, gpu_from_name(gpu).compute_capability, gpu)
    return [refusal.field for refusal in refusals(_model(build), target, precision)]


def _install(monkeypatch: pytest.MonkeyPatch, versions: Mapping[str, str]) -> None:
    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "version", version)


@pytest.mark.parametrize("gpu", ["t4", "a100", "a10", "l4", "rtx-5090", "gb10"])
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16, Precision.INT8, Precision.INT8_FP16])
def test_tensorrt_rtx_builds_for_what_it_lists(gpu: str, precision: Precision) -> None:
    assert _refused(gpu, TENSORRT_RTX, precision) == []


@pytest.mark.parametrize("gpu", ["orin", "h100", "b200", "b300", "thor"])
def test_tensorrt_rtx_refuses_other_capabilities(gpu: str) -> None:
    assert _refused(gpu, TENSORRT_RTX, Precision.FP16) == [("targets",)]
    assert _refused(gpu, TENSORRT, Precision.FP16) == []


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.TF32])
def test_turing_has_neither_bf16_nor_tf32(precision: Precision) -> None:
    assert _refused("t4", TENSORRT_RTX, precision) == [("precisions",)]
    assert _refused("a10", TENSORRT_RTX, precision) == []


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("precision", [Precision.FP8, Precision.INT4])
def test_a_precision_without_a_quantizer_is_refused_everywhere(runtime: str, precision: Precision) -> None:
    assert _refused("l4", runtime, precision) == [("precisions",)]


@pytest.mark.parametrize(
    "build",
    [
        BuildSettings(typing="weak"),
        BuildSettings(version_compatible=True),
        BuildSettings(hardware_compatibility="ampere+"),
        BuildSettings(refit="always"),
        BuildSettings(strip_weights=True),
        BuildSettings(plugins=(Path("/p.so"),)),
    ],
)
def test_settings_that_tensorrt_rtx_cannot_honour_are_refused(build: BuildSettings) -> None:
    ((section, name),) = _refused("l4", TENSORRT_RTX, Precision.FP16, build)
    assert section == "build"
    assert getattr(build, name) != getattr(BuildSettings(), name)
    assert _refused("l4", TENSORRT, Precision.FP16, build) == []


@pytest.mark.parametrize(
    ("refit", "precision", "version", "expected"),
    [
        ("auto", Precision.FP16, "8.6.0", True),
        ("auto", Precision.FP32, "11.4.0.106", True),
        ("auto", Precision.FP16, "11.3.0.1", False),
        ("always", Precision.FP16, "11.3.0.1", True),
        ("auto", Precision.INT8, "8.6.0", False),
        ("never", Precision.FP16, "8.6.0", False),
    ],
)
def test_engines_are_refittable_where_that_is_known_to_be_right(
    refit: str, precision: Precision, version: str, *, expected: bool
) -> None:
    target = Target("h200", TENSORRT, (9, 0), "h200")
    assert effective_refit(target, BuildSettings(refit=refit), precision, version) is expected


@pytest.mark.parametrize(
    "build",
    [
        BuildSettings(sparsity=True),
        BuildSettings(dla_core=0),
        BuildSettings(version_compatible=True),
        BuildSettings(plugins=(Path("/p.so"),)),
    ],
)
def test_settings_under_which_refitting_was_not_tried_are_left_alone(build: BuildSettings) -> None:
    target = Target("h200", TENSORRT, (9, 0), "h200")
    assert not effective_refit(target, build, Precision.FP16, "8.6.0")


def test_an_engine_without_weights_cannot_do_without_refits() -> None:
    build = BuildSettings(strip_weights=True, refit="never")
    assert _refused("h200", TENSORRT, Precision.FP16, build) == [("build", "refit")]


def test_settings_that_tensorrt_rtx_takes_are_not_refused() -> None:
    build = BuildSettings(optimization_level=5, workspace_mib=64, sparsity=True, profiling_verbosity="detailed")
    assert _refused("l4", TENSORRT_RTX, Precision.FP16, build) == []


def test_the_version_is_read_from_package_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, {"tensorrt_rtx_cu13_libs": "1.7.1", "tensorrt_rtx_cu13_bindings": "1.7.1"})
    assert RUNTIMES[TENSORRT_RTX].installed_version() == "1.7.1"
    assert RUNTIMES[TENSORRT].installed_version() is None


def test_half_an_installation_counts_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, {"tensorrt_rtx_cu13_bindings": "1.7.1"})
    assert RUNTIMES[TENSORRT_RTX].installed_version() is None


def test_parts_of_different_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, {"tensorrt_rtx_cu13_libs": "1.7.1", "tensorrt_rtx_cu13_bindings": "1.6.0"})
    with pytest.raises(DeviceError, match=r"libs 1\.7\.1, tensorrt_rtx_cu13_bindings 1\.6\.0"):
        RUNTIMES[TENSORRT_RTX].installed_version()


@pytest.mark.parametrize(
    ("runtime", "asked", "version", "typing"),
    [
        ("tensorrt-rtx", "auto", "1.7.1.116", "strong"),
        ("tensorrt", "auto", "8.6.0", "weak"),
        ("tensorrt", "auto", "10.13.3", "weak"),
        ("tensorrt", "strong", "10.13.3", "strong"),
        ("tensorrt", "auto", "11.0.0", "strong"),
        ("tensorrt", "weak", "11.0.0", "weak"),
    ],
)
def test_typing_follows_the_version_unless_it_is_named(runtime: str, asked: str, version: str, typing: str) -> None:
    target = Target("t", runtime, (9, 0))
    assert effective_typing(target, BuildSettings(typing=asked), version) == typing


def test_int8_from_a_table_is_refused_where_typing_is_strong() -> None:
    target = Target("t", "tensorrt", (9, 0))
    (refusal,) = build_refusals(target, BuildSettings(typing="strong", int8="implicit"))
    assert refusal.field == ("build", "int8")


@pytest.mark.parametrize("build", [BuildSettings(int8="implicit"), BuildSettings(tactic_sources=("cudnn",))])
def test_tensorrt_rtx_refuses_what_only_full_tensorrt_knows(build: BuildSettings) -> None:
    assert len(build_refusals(Target("t", "tensorrt-rtx", (8, 9)), build)) == 1


def test_an_engine_with_host_code_is_never_run_so_that_nothing_of_it_can_be_timed() -> None:
    build, target = BuildSettings(version_compatible=True), Target("h200", TENSORRT, (9, 0), "h200")
    assert "lean runtime" in run_hindrance(target, build)
    assert run_hindrance(target, BuildSettings()) == ""
    refused = run_refusals([target], build, timed=True)
    assert [refusal.field for refusal in refused] == [
        ("benchmark",),
        ("budgets", "latency_ms"),
        ("budgets", "regression_percent"),
    ]


def test_the_tactics_of_an_engine_with_host_code_cannot_be_compared() -> None:
    build = BuildSettings(version_compatible=True, deterministic="verify")
    assert _refused("h200", TENSORRT, Precision.FP16, build) == [("build", "deterministic")]
    assert _refused("h200", TENSORRT, Precision.FP16, replace(build, deterministic="record")) == []
