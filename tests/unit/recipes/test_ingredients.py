"""Keys: the same from year to year, and different as soon as any one ingredient is."""

from __future__ import annotations

import json
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.digest import digest_from_bytes
from pipeline.keys import Key, key_from_ingredients
from pipeline.manifest.types import BuildSettings, Calibration, CalibrationMethod, Location, ShapeRange
from pipeline.precision import Precision
from pipeline.recipes.ingredients import (
    calibration_ingredients,
    calibration_key,
    engine_key,
    model_digest,
    model_key,
    operators_key,
    prepared_ingredients,
    prepared_key,
    refit_key,
)
from pipeline.recipes.measurement_keys import check_key
from pipeline.targets import Target

GOLDEN = Path(__file__).parents[2] / "golden/keys/keys.json"
TOOLS = {"numpy": "2.4.6", "onnx": "1.23.2", "onnxruntime": "1.31.1"}
MODEL, DATA, LABELS = (digest_from_bytes(text) for text in (b"model", b"data", b"labels"))
CALIBRATION = Calibration(data=Path("calibration.npz"), location=Location("m.yaml", 1, 1))
PROFILES = ({"image": ShapeRange((1, 1, 8, 8), (8, 1, 8, 8), (32, 1, 8, 8))},)
TARGET = Target("sm_89", "tensorrt-rtx", (8, 9))


def engine(**changed: Any) -> Key:
    build = changed.pop("build", BuildSettings())
    precision = changed.pop("precision", Precision.INT8)
    calibration = calibration_ingredients(changed.pop("calibration", CALIBRATION), changed.pop("data", DATA), TOOLS)
    prepared = prepared_ingredients(
        changed.pop("model", MODEL), precision, build, calibration, changed.pop("tools", TOOLS)
    )
    profiles = changed.pop("profiles", PROFILES)
    options = {"platform": "linux-x86_64", "runtime_version": "1.7.1.116", "typing": "strong"} | changed
    return engine_key(prepared, options.pop("target", TARGET), precision, build, profiles, **options)


def sample_keys() -> dict[str, Key]:
    calibration = calibration_ingredients(CALIBRATION, DATA, TOOLS)
    int8 = prepared_ingredients(MODEL, Precision.INT8, BuildSettings(), calibration, TOOLS)
    fp16 = prepared_ingredients(MODEL, Precision.FP16, BuildSettings(), calibration, TOOLS)
    return {
        "model": model_key(MODEL, {"model.bin": DATA}, TOOLS),
        "operators": operators_key(MODEL, "tensorrt-rtx", "1.7.1.116"),
        "calibration": calibration_key(MODEL, calibration),
        "prepared int8": prepared_key(int8),
        "prepared fp16": prepared_key(fp16),
        "check": check_key(int8, DATA, LABELS, None, TOOLS),
        "engine int8": engine(),
        "engine fp16": engine(precision=Precision.FP16),
    }


def test_keys_are_the_same_from_release_to_release() -> None:
    """A change here rebuilds every engine of every user: raise the recipe number, and say so in the changelog."""
    found = {
        name: {"digest": str(key.digest), "ingredients": dict(key.ingredients)} for name, key in sample_keys().items()
    }
    if os.environ.get("UPDATE_GOLDENS"):
        GOLDEN.write_text(json.dumps(found, indent=2) + "\n")
    assert found == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("model", {"model": DATA}),
        ("calibration.data", {"data": MODEL}),
        ("calibration.method", {"calibration": replace(CALIBRATION, method=CalibrationMethod.MINMAX)}),
        ("calibration.samples", {"calibration": replace(CALIBRATION, samples=7)}),
        ("calibration.batch-size", {"calibration": replace(CALIBRATION, batch_size=7)}),
        ("target.compute-capability", {"target": replace(TARGET, compute_capability=(8, 6))}),
        ("runtime.version", {"runtime_version": "1.6.1.1"}),
        ("platform", {"platform": "linux-aarch64"}),
        ("profile.0.image.opt", {"profiles": ({"image": replace(PROFILES[0]["image"], opt=(16, 1, 8, 8))},)}),
        ("build.optimization-level", {"build": BuildSettings(optimization_level=1)}),
        ("build.workspace-mib", {"build": BuildSettings(workspace_mib=1)}),
        ("build.sparsity", {"build": BuildSettings(sparsity=True)}),
        ("build.profiling-verbosity", {"build": BuildSettings(profiling_verbosity="detailed")}),
        ("build.typing", {"typing": "weak"}),
        ("build.refit", {"build": BuildSettings(refit="always")}),
        ("build.version-compatible", {"build": BuildSettings(version_compatible=True)}),
        ("build.hardware-compatibility", {"build": BuildSettings(hardware_compatibility="ampere+")}),
        ("layer-precision.0", {"build": BuildSettings(layer_precisions=(("/head/*", Precision.FP32),))}),
        *((f"tool.{tool}", {"tools": TOOLS | {tool: "9"}}) for tool in ("onnx",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_T3_one_changed_ingredient_changes_the_key_and_is_the_one_that_is_named(
    name: str, changed: dict[str, Any]
) -> None:
    assert [difference.name for difference in engine(**changed).differences(engine())] == [name]
    assert engine(**changed).digest != engine().digest


def test_an_engine_without_weights_is_a_refittable_one() -> None:
    stripped = engine(build=BuildSettings(strip_weights=True))
    assert [difference.name for difference in stripped.differences(engine())] == ["build.refit", "build.strip-weights"]


def full_fp16(**changed: Any) -> Key:
    full = Target("h100", "tensorrt", (9, 0), "h100")
    return engine(
        **{"target": full, "precision": Precision.FP16, "runtime_version": "8.6.0", "typing": "weak"} | changed
    )


def test_what_always_demands_is_not_what_auto_may_do_without() -> None:
    always = full_fp16(build=BuildSettings(refit="always"))
    assert [difference.name for difference in always.differences(full_fp16())] == ["build.refit-required"]


def test_a_retrained_model_finds_the_engine_of_the_same_structure() -> None:
    assert refit_key(full_fp16(model=DATA), LABELS) == refit_key(full_fp16(model=MODEL), LABELS)
    assert refit_key(full_fp16(), LABELS).digest != refit_key(full_fp16(), DATA).digest


@pytest.mark.parametrize(
    "changed",
    [
        {"build": BuildSettings(optimization_level=1)},
        {"runtime_version": "10.0.0"},
        {"gpu": "NVIDIA L4"},
        {"precision": Precision.FP32},
        {"profiles": ()},
    ],
)
def test_an_engine_of_other_settings_is_not_found_by_its_structure(changed: dict[str, Any]) -> None:
    assert refit_key(full_fp16(**changed), LABELS).digest != refit_key(full_fp16(), LABELS).digest


def test_a_percentile_counts_only_for_the_percentile_method() -> None:
    assert engine(calibration=replace(CALIBRATION, percentile=99.0)).digest == engine().digest
    by_percentile = replace(CALIBRATION, method=CalibrationMethod.PERCENTILE)
    other = replace(by_percentile, percentile=99.0)
    assert engine(calibration=by_percentile).digest != engine(calibration=other).digest


def test_the_gpu_product_counts_for_full_tensorrt_alone() -> None:
    full = Target("h100", "tensorrt", (9, 0), "h100")
    assert engine(target=full, gpu="NVIDIA H100 NVL").digest != engine(target=full, gpu="NVIDIA H200").digest
    assert engine(gpu="NVIDIA L4").digest == engine().digest


def test_the_gpu_product_does_not_count_for_an_engine_that_fits_its_whole_compute_capability() -> None:
    full = Target("h100", "tensorrt", (9, 0), "h100")
    build = BuildSettings(hardware_compatibility="same-compute-capability")
    assert engine(target=full, gpu="a", build=build).digest == engine(target=full, gpu="b", build=build).digest


@pytest.mark.parametrize(
    "changed",
    [
        {"build": BuildSettings(tactic_sources=("cudnn",))},
        {"build": BuildSettings(int8="implicit")},
        {"plugins": (DATA,)},
        {"typing": "weak", "build": BuildSettings(layer_precisions=(("/head/*", Precision.FP32),))},
    ],
)
def test_what_full_tensorrt_alone_takes_is_in_its_keys(changed: dict[str, Any]) -> None:
    full = Target("h100", "tensorrt", (9, 0), "h100")
    assert engine(target=full, **changed).digest != engine(target=full).digest


def test_calibration_and_its_tools_do_not_count_for_a_precision_without_it() -> None:
    assert engine(precision=Precision.FP16).digest == engine(precision=Precision.FP16, data=LABELS).digest


def test_tf32_and_fp32_share_one_typed_model_and_no_engine() -> None:
    keys = [
        prepared_key(prepared_ingredients(MODEL, each, BuildSettings(), {}, TOOLS))
        for each in (Precision.FP32, Precision.TF32)
    ]
    assert keys[0] == keys[1]
    assert engine(precision=Precision.FP32).digest != engine(precision=Precision.TF32).digest


def test_the_digest_of_a_model_covers_its_external_data() -> None:
    assert model_digest(MODEL, {}) != model_digest(MODEL, {"w.bin": DATA})
    assert model_digest(MODEL, {"w.bin": DATA}) != model_digest(MODEL, {"w.bin": LABELS})


def test_T3_every_build_setting_that_reaches_a_builder_is_in_the_key() -> None:
    in_key = {name.removeprefix("build.").replace("-", "_") for name, _ in engine().ingredients}
    elsewhere = {"timeout_s", "plugins", "layer_precisions", "int8", "tactic_sources", "dla_core", "gpu_fallback"}
    elsewhere |= {"min_precision_share", "deterministic"}
    assert {each.name for each in fields(BuildSettings)} - elsewhere <= in_key


VALUES = st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.integers(), st.booleans(), st.none())


@given(st.dictionaries(st.text("abc.", min_size=1), VALUES, min_size=1), st.data())
def test_any_change_of_any_one_ingredient_changes_the_digest(named: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(named)))
    value = data.draw(VALUES.filter(lambda other: json.dumps(other) != json.dumps(named[name])))
    before, after = key_from_ingredients("engine", named), key_from_ingredients("engine", named | {name: value})
    assert before.digest != after.digest
    assert [difference.name for difference in after.differences(before)] == [name]
