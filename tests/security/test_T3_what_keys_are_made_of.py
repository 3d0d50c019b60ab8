"""T3: whatever decides an artefact's bytes is in its key: a row for each ingredient, and no ingredient without one."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.digest import digest_from_bytes
from pipeline.manifest.types import BuildSettings, Calibration, CalibrationMethod, Location, ShapeRange
from pipeline.precision import Precision
from pipeline.recipes.ingredients import (
    calibration_ingredients,
    calibration_key,
    engine_key,
    given_table_ingredients,
    model_digest,
    model_key,
    native_calibration_ingredients,
    operators_key,
    prepared_ingredients,
    prepared_key,
    refit_key,
)
from pipeline.recipes.measurement_keys import (
    benchmark_key,
    check_key,
    comparison_key,
    engine_check_key,
    layers_key,
    original_key,
    rebuild_key,
)
from pipeline.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.keys import Key

ONE, OTHER = (digest_from_bytes(text) for text in (b"one", b"other"))
TOOLS = {"numpy": "2.4.6", "onnx": "1.23.2", "onnxruntime": "1.31.1"}
CALIBRATION = Calibration(data=Path("c.npz"), location=Location("m.yaml", 1, 1))
PERCENTILE = replace(CALIBRATION, method=CalibrationMethod.PERCENTILE)
LEGACY = replace(CALIBRATION, method=CalibrationMethod.LEGACY)
RANGE = ShapeRange((1, 8), (8, 8), (32, 8))
RTX = Target("sm_89", "tensorrt-rtx", (8, 9))
FULL: dict[str, Any] = {"target": Target("h100", "tensorrt", (9, 0), "h100")}
WEAK = FULL | {"typing": "weak"}
FP32 = {"precision": Precision.FP32}
GLOB = {"layer_precisions": (("/head/*", Precision.FP32),)}
REFITTED = {"refit": "always"}


def newer(tool: str) -> dict[str, str]:
    return TOOLS | {tool: "9"}


def prepared(
    *,
    model: Any = ONE,
    precision: Precision = Precision.INT8,
    calibration: Calibration = CALIBRATION,
    data: Any = ONE,
    tools: Any = TOOLS,
    **build: Any,
) -> Any:
    table = calibration_ingredients(calibration, data, tools)
    return prepared_ingredients(model, precision, BuildSettings(**build), table, tools)


def engine(
    *,
    precision: Precision = Precision.INT8,
    target: Target = RTX,
    profile: ShapeRange = RANGE,
    platform: str = "linux-x86_64",
    runtime_version: str = "10.16.1",
    typing: str = "strong",
    gpu: str = "NVIDIA H100 NVL",
    plugins: Any = (ONE,),
    **more: Any,
) -> Key:
    """Any field of ``BuildSettings`` may be among ``more``, and what ``prepared`` takes."""
    build = {name: more.pop(name) for name in {each.name for each in fields(BuildSettings)} & more.keys()}
    return engine_key(
        prepared(precision=precision, **more, **build),
        target,
        precision,
        BuildSettings(**build),
        ({"image": profile},),
        platform=platform,
        runtime_version=runtime_version,
        typing=typing,
        gpu=gpu,
        plugins=plugins,
    )


def typed(**parts: Any) -> Key:
    return prepared_key(prepared(**parts))


def table(*, model: Any = ONE, calibration: Calibration = CALIBRATION, data: Any = ONE, tools: Any = TOOLS) -> Key:
    return calibration_key(model, calibration_ingredients(calibration, data, tools))


def native_table(
    *, calibration: Calibration = CALIBRATION, data: Any = ONE, version: str = "8.6.1", plugins: Any = (ONE,)
) -> Key:
    return calibration_key(ONE, native_calibration_ingredients(calibration, data, version, plugins))


def given_table(*, file: Any = ONE) -> Key:
    return calibration_key(ONE, given_table_ingredients(file))


def model_of_files(*, external: Any = ONE) -> Key:
    return operators_key(model_digest(ONE, {"w.bin": external}), "tensorrt", "10.16.1")


def refit(*, structure: Any = ONE, **parts: Any) -> Key:
    return refit_key(engine(**parts), structure)


JUDGED = {"data": ONE, "labels": ONE, "samples": 8, "tools": TOOLS}
TIMED = {"settings": {"streams": 1}, "data": ONE, "gpu": "NVIDIA L4", "driver": "580.1"}
OTHER_JUDGED = (
    ({"data": OTHER}, "accuracy.data"),
    ({"labels": OTHER}, "accuracy.labels"),
    ({"labels": None}, "accuracy.labels"),
    ({"samples": 9}, "accuracy.samples"),
    ({"tools": newer("onnxruntime")}, "tool.onnxruntime"),
    ({"tools": newer("numpy")}, "tool.numpy"),
)
OTHER_TIMED = (
    ({"settings": {"streams": 2}}, "benchmark.settings"),
    ({"data": OTHER}, "benchmark.data"),
    ({"gpu": "NVIDIA L40"}, "benchmark.gpu"),
    ({"driver": "581.0"}, "benchmark.driver"),
)
OTHER_CALIBRATION = (
    ({"data": OTHER}, "calibration.data"),
    ({"calibration": replace(CALIBRATION, samples=7)}, "calibration.samples"),
    ({"calibration": replace(CALIBRATION, batch_size=7)}, "calibration.batch-size"),
    ({"calibration": replace(CALIBRATION, method=CalibrationMethod.MINMAX)}, "calibration.method"),
)
OTHER_TABLE = (
    *OTHER_CALIBRATION,
    ({"model": OTHER}, "model"),
    ({"calibration": replace(CALIBRATION, reuse_within=0.1)}, "calibration.reuse-within"),
    ({"tools": newer("onnxruntime")}, "tool.onnxruntime"),
    ({"tools": newer("numpy")}, "tool.numpy"),
)

Rows = tuple[tuple[dict[str, Any], str], ...]
KEYS: tuple[tuple[Callable[..., Key], dict[str, Any], Rows], ...]
"""A key, what it is made from, and row by row what is changed of that and the only ingredient that may tell."""
KEYS = (
    (
        model_key,
        {"onnx": ONE, "external": {"w.bin": ONE}, "tools": TOOLS},
        (
            ({"onnx": OTHER}, "model.onnx"),
            ({"external": {"w.bin": OTHER}}, "model.external.w.bin"),
            ({"tools": newer("onnx")}, "tool.onnx"),
        ),
    ),
    (
        operators_key,
        {"structure": ONE, "runtime": "tensorrt", "version": "10.16.1"},
        (
            ({"structure": OTHER}, "model.structure"),
            ({"runtime": "tensorrt-rtx"}, "runtime"),
            ({"version": "11.0.0"}, "runtime.version"),
        ),
    ),
    (model_of_files, {}, (({"external": OTHER}, "model.structure"),)),
    (table, {}, OTHER_TABLE),
    (
        table,
        {"calibration": PERCENTILE},
        (({"calibration": replace(PERCENTILE, percentile=99.0)}, "calibration.percentile"),),
    ),
    (
        native_table,
        {},
        (
            *OTHER_CALIBRATION,
            ({"version": "10.16.1"}, "calibration.tensorrt"),
            ({"plugins": (OTHER,)}, "calibration.plugin.0"),
        ),
    ),
    (
        native_table,
        {"calibration": LEGACY},
        (({"calibration": replace(LEGACY, percentile=99.0)}, "calibration.percentile"),),
    ),
    (given_table, {}, (({"file": OTHER}, "calibration.table"),)),
    (typed, {}, (*OTHER_TABLE, ({"tools": newer("onnx")}, "tool.onnx"), (GLOB, "layer-precision.0"))),
    (
        typed,
        {"precision": Precision.FP16},
        (
            ({"precision": Precision.BF16}, "prepared.precision"),
            ({"tools": newer("onnxruntime")}, "tool.onnxruntime"),
            ({"tools": newer("onnx")}, "tool.onnx"),
        ),
    ),
    (
        engine,
        {},
        (
            *OTHER_TABLE,
            ({"tools": newer("onnx")}, "tool.onnx"),
            ({"platform": "linux-aarch64"}, "platform"),
            ({"target": Target("sm_86", "tensorrt-rtx", (8, 6))}, "target.compute-capability"),
            ({"runtime_version": "10.9.0"}, "runtime.version"),
            ({"typing": "weak"}, "build.typing"),
            ({"optimization_level": 1}, "build.optimization-level"),
            ({"workspace_mib": 1}, "build.workspace-mib"),
            ({"sparsity": True}, "build.sparsity"),
            ({"profiling_verbosity": "detailed"}, "build.profiling-verbosity"),
            ({"version_compatible": True}, "build.version-compatible"),
            ({"hardware_compatibility": "ampere+"}, "build.hardware-compatibility"),
            (REFITTED, "build.refit"),
            (GLOB, "layer-precision.0"),
            ({"profile": replace(RANGE, min=(2, 8))}, "profile.0.image.min"),
            ({"profile": replace(RANGE, opt=(9, 8))}, "profile.0.image.opt"),
            ({"profile": replace(RANGE, max=(33, 8))}, "profile.0.image.max"),
        ),
    ),
    (engine, FP32, (({"precision": Precision.TF32}, "precision"),)),
    (engine, REFITTED, (({"strip_weights": True}, "build.strip-weights"),)),
    (
        engine,
        FULL,
        (
            ({"gpu": "NVIDIA H200"}, "target.gpu"),
            ({"tactic_sources": ("cudnn",)}, "build.tactic-sources"),
            ({"int8": "implicit"}, "build.int8"),
            ({"deterministic": "record"}, "build.tactics"),
            ({"plugins": (OTHER,)}, "build.plugin.0"),
        ),
    ),
    (engine, WEAK | FP32, ((GLOB, "layer-precision.0"), (REFITTED, "build.refit-required"))),
    (
        engine,
        FULL | {"dla_core": 0},
        (({"dla_core": 1}, "build.dla-core"), ({"gpu_fallback": True}, "build.gpu-fallback")),
    ),
    (refit, FULL, (({"structure": OTHER}, "model.structure"), ({"gpu": "NVIDIA H200"}, "target.gpu"))),
    (check_key, {"prepared": {"model": "one"}, **JUDGED}, (*OTHER_JUDGED, ({"prepared": {"model": "other"}}, "model"))),
    (
        engine_check_key,
        {"engine": ONE, "model": ONE, **JUDGED},
        (*OTHER_JUDGED, ({"engine": OTHER}, "engine"), ({"model": OTHER}, "model")),
    ),
    (
        layers_key,
        {"engine": ONE, "gpu": "NVIDIA L4", "driver": "580.1"},
        (({"engine": OTHER}, "engine"), ({"gpu": "NVIDIA L40"}, "layers.gpu"), ({"driver": "581.0"}, "layers.driver")),
    ),
    (rebuild_key, {"engine": ONE, "tactics": ONE}, (({"engine": OTHER}, "engine"), ({"tactics": OTHER}, "tactics"))),
    (benchmark_key, {"engine": ONE, **TIMED}, (*OTHER_TIMED, ({"engine": OTHER}, "engine"))),
    (
        comparison_key,
        {"base": ONE, "head": ONE, "budget_percent": 5.0, **TIMED},
        (
            *OTHER_TIMED,
            ({"base": OTHER}, "engine.base"),
            ({"head": OTHER}, "engine"),
            ({"budget_percent": 6.0}, "comparison.budget-percent"),
        ),
    ),
    (original_key, {"model": ONE, **TIMED}, (*OTHER_TIMED, ({"model": OTHER}, "model"))),
)
CONSTANT = {"recipe", "calibration.recipe", "prepared.recipe", "engine.recipe"}
"""Raised by hand where our own code changes: they are ``RECIPES``."""
SEVERAL = {"runtime", "prepared.precision"}
"""Of an engine's key: where these change, others change with them."""


@pytest.mark.parametrize(
    ("make", "parts", "change", "ingredient"),
    [
        pytest.param(make, parts, change, ingredient, id=f"{make.__name__} {ingredient}")
        for make, parts, changes in KEYS
        for change, ingredient in changes
    ],
)
def test_T3_what_decides_an_artefact_is_an_ingredient_of_its_key(
    make: Callable[..., Key], parts: dict[str, Any], change: dict[str, Any], ingredient: str
) -> None:
    before, after = make(**parts), make(**parts | change)
    assert [difference.name for difference in after.differences(before)] == [ingredient]
    assert after.digest != before.digest


@pytest.mark.parametrize("kind", sorted({make(**parts).kind for make, parts, _ in KEYS} - {"refit"}))
def test_T3_every_ingredient_of_every_kind_of_key_has_a_row(kind: str) -> None:
    of_kind = [row for row in KEYS if row[0](**row[1]).kind == kind]
    changed = {ingredient for _, _, changes in of_kind for _, ingredient in changes}
    found = {name for make, parts, _ in of_kind for name, _ in make(**parts).ingredients}
    assert found - changed - CONSTANT - SEVERAL == set()


def test_T3_no_ingredient_of_an_engine_but_its_weights_is_missing_where_it_is_found_by_its_structure() -> None:
    whole, found = engine(**FULL), refit(**FULL)
    assert {name for name, _ in whole.ingredients} - {name for name, _ in found.ingredients} == {"model"}


@pytest.mark.parametrize(
    ("ingredient", "change"), [("runtime", FULL), ("prepared.precision", {"precision": Precision.FP16})]
)
def test_T3_what_changes_with_others_is_an_ingredient_too(ingredient: str, change: dict[str, Any]) -> None:
    assert ingredient in {difference.name for difference in engine(**change).differences(engine())}
