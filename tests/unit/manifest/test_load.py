# ruff: noqa: E501 - a message is easier to read, and to find, in one piece
from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.errors import ManifestError
from pipeline.manifest.document import MAX_BYTES
from pipeline.manifest.load import load_manifest
from pipeline.manifest.types import Budgets, CalibrationMethod, Metric, ShapeRange, Tolerance
from pipeline.precision import Precision
from pipeline.targets import TENSORRT, TENSORRT_RTX, Target
from tests.support.manifests import MODEL, faults_of_file, faults_of_text, manifest_file, manifest_from_text

FULL = """\
version: 1
defaults:
  runtime: tensorrt-rtx
  precisions: [fp32, int8]
  build: {timeout_s: 60, workspace_mib: 512}
models:
  - name: digits
    onnx: model.onnx
    sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    profiles:
      - image: {min: [1, 1, 8, 8], opt: [8, 1, 8, 8], max: [32, 1, 8, 8]}
      - input.1: [4, 1, 8, 8]
    targets:
      - l4
      - {gpu: h100, runtime: tensorrt, name: hopper}
      - {compute_capability: "8.0"}
    calibration: {data: calibration.npz, samples: 200, method: percentile, percentile: 99.9}
    build: {optimization_level: 3, workspace_mib: 1024, layer_precisions: {"/head/*": fp32}}
    accuracy:
      data: evaluation.npz
      labels: labels.npy
      tolerances: {top1-drop: 2, cosine: {int8: 0.98}, max-absolute-error: {int8: 0.5}}
    budgets: {engine_size_mib: 5}
"""
YAML_WORDS = st.sampled_from(
    [
        *"\n[]{}'\"|>#%?,",
        *(": ", "- ", "  ", "&a", "*a", "!t", "1", "8.9", "null", "l4", "fp32", "int8", "model.onnx"),
        *("version", "models", "defaults", "targets", "precisions", "name", "onnx", "build"),
    ]
)


def test_a_full_manifest_is_read(tmp_path: Path) -> None:
    manifest = manifest_from_text(tmp_path, FULL)
    (model,) = manifest.models
    assert (manifest.version, manifest.path) == (1, tmp_path / "manifest.yaml")
    assert (model.name, model.onnx) == ("digits", tmp_path / "model.onnx")
    assert str(model.sha256).startswith("sha256:9f86d081")
    assert model.profiles[0].shapes == (("image", ShapeRange((1, 1, 8, 8), (8, 1, 8, 8), (32, 1, 8, 8))),)
    assert model.profiles[1].shapes == (("input.1", ShapeRange(*[(4, 1, 8, 8)] * 3)),)
    assert model.targets == (
        Target("l4", TENSORRT_RTX, (8, 9), "l4"),
        Target("hopper", TENSORRT, (9, 0), "h100"),
        Target("sm_80", TENSORRT_RTX, (8, 0)),
    )
    assert model.precisions == (Precision.FP32, Precision.INT8)
    assert model.budgets == Budgets(engine_size_mib=5.0)
    assert (model.location.line, model.location.column) == (7, 5)


def test_calibration_and_accuracy_are_read(tmp_path: Path) -> None:
    (model,) = manifest_from_text(tmp_path, FULL).models
    assert model.calibration is not None
    assert model.calibration.data == tmp_path / "calibration.npz"
    assert (model.calibration.samples, model.calibration.batch_size) == (200, 8)
    assert (model.calibration.method, model.calibration.percentile) == (CalibrationMethod.PERCENTILE, 99.9)
    assert model.accuracy is not None
    assert model.accuracy.labels == tmp_path / "labels.npy"
    assert model.accuracy.tolerances == (
        Tolerance(Metric.TOP1_DROP, Precision.FP32, 2.0),
        Tolerance(Metric.TOP1_DROP, Precision.INT8, 2.0),
        Tolerance(Metric.COSINE, Precision.FP32, 0.99999),
        Tolerance(Metric.COSINE, Precision.INT8, 0.98),
        Tolerance(Metric.MAX_ABSOLUTE_ERROR, Precision.INT8, 0.5),
    )


def test_defaults_are_merged_key_by_key(tmp_path: Path) -> None:
    (model,) = manifest_from_text(tmp_path, FULL).models
    assert (model.build.timeout_s, model.build.workspace_mib, model.build.optimization_level) == (60.0, 1024, 3)
    assert model.build.layer_precisions == (("/head/*", Precision.FP32),)


def test_a_list_replaces_that_of_the_defaults(tmp_path: Path) -> None:
    manifest = manifest_from_text(tmp_path, "defaults: {precisions: [fp16, bf16]}\n" + MODEL)
    assert manifest.models[0].precisions == (Precision.FP32,)


def test_a_target_without_a_runtime_means_full_tensorrt(tmp_path: Path) -> None:
    assert manifest_from_text(tmp_path, MODEL).models[0].targets[0].runtime == TENSORRT


def test_the_runtime_of_a_model_overrides_that_of_the_defaults(tmp_path: Path) -> None:
    text = f"defaults: {{runtime: tensorrt-rtx}}\n{MODEL}    runtime: tensorrt\n"
    assert manifest_from_text(tmp_path, text).models[0].targets[0].runtime == TENSORRT


@pytest.mark.parametrize(("written", "share"), [("2%", 0.02), ("0.5%", 0.005), ("0%", 0)])
def test_a_table_may_be_kept_within_a_percentage(tmp_path: Path, written: str, share: float) -> None:
    text = f"{MODEL}    calibration: {{data: calibration.npz, reuse_within: {written}}}\n"
    calibration = manifest_from_text(tmp_path, text).models[0].calibration
    assert calibration is not None
    assert calibration.reuse_within == pytest.approx(share)


@pytest.mark.parametrize("written", ["0.02", "-1%", "100%", "2 %"])
def test_anything_but_a_percentage_is_refused(tmp_path: Path, written: str) -> None:
    text = f"{MODEL}    calibration: {{data: calibration.npz, reuse_within: '{written}'}}\n"
    (fault,) = faults_of_text(tmp_path, text)
    assert "write a percentage below 100, such as `2%`" in fault


def test_tensorrts_own_calibrators_keep_no_table_within_a_percentage(tmp_path: Path) -> None:
    text = (
        f"{MODEL}    runtime: tensorrt\n    build: {{int8: implicit}}\n"
        "    calibration: {data: calibration.npz, method: METHOD, reuse_within: 2%}\n"
    )
    (fault,) = faults_of_text(tmp_path, text.replace("METHOD", "entropy"))
    assert "needs ranges of a sample, which TensorRT's own calibrators do not tell" in fault
    assert faults_of_text(tmp_path, text.replace("METHOD", "percentile")) == []


def test_part_of_a_calibration_may_stand_in_the_defaults(tmp_path: Path) -> None:
    manifest = manifest_from_text(tmp_path, "defaults: {calibration: {method: minmax}}\n" + MODEL)
    assert manifest.models[0].calibration is None


def test_a_model_may_use_another_method_than_the_defaults_percentile(tmp_path: Path) -> None:
    text = (
        "defaults: {calibration: {method: percentile, percentile: 99}}\n"
        + MODEL
        + "    calibration: {data: calibration.npz, method: entropy}\n"
    )
    assert faults_of_text(tmp_path, text) == []


def test_a_whole_number_written_as_a_float_becomes_an_integer(tmp_path: Path) -> None:
    text = f"{MODEL}    profiles: [{{image: [1e1, 8.0]}}]\n    build: {{workspace_mib: 1e3}}\n"
    (model,) = manifest_from_text(tmp_path, text).models
    sizes = (*model.profiles[0].shapes[0][1].opt, model.build.workspace_mib)
    assert [(size, type(size)) for size in sizes] == [(10, int), (8, int), (1000, int)]


def test_data_may_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (model,) = manifest_from_text(tmp_path, f"{MODEL}    calibration: {{data: images}}\n").models
    assert model.calibration is not None
    assert model.calibration.data == tmp_path / "images"


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("profiles: [{image: {min: [2], opt: [1], max: [4]}}]", "7:31: models[0].profiles[0].image.min[0]: min 2 is larger than opt 1 on axis 0; make min <= opt <= max on every axis"),
        ("profiles: [{image: {min: [1, 1], opt: [1, 9], max: [4, 8]}}]", "7:47: models[0].profiles[0].image.opt[1]: opt 9 is larger than max 8 on axis 1; make min <= opt <= max on every axis"),
        ("profiles: [{image: {min: [1, 1], opt: [1], max: [4]}}]", "7:24: models[0].profiles[0].image: min, opt and max have 2, 1 and 1 axes; give all three the same number of axes"),
        ("calibration: {samples: 5}", "7:18: models[0].calibration: lacks `data`; add `data: calibration.npz`, or remove `calibration`"),
        ("calibration: {data: calibration.npz, percentile: 99}", "7:54: models[0].calibration.percentile: is only read by the method percentile, and the method is entropy; set `method: percentile`, or remove `percentile`"),
        ("accuracy: {samples: 5}", '7:15: models[0].accuracy: lacks `data`, so nothing of "digits" would be compared; add `data: evaluation.npz`, or remove `accuracy`'),
        ("accuracy: {data: evaluation.npz, tolerances: {top1-drop: 1}}", "7:62: models[0].accuracy.tolerances.top1-drop: needs labels; add `labels:` to `accuracy`, or remove this tolerance"),
        ("accuracy: {data: evaluation.npz, labels: calibration.npz}", '7:46: models[0].accuracy.labels: "calibration.npz" is not of the kind .npy; save the arrays with numpy.save or numpy.savez'),
        ("calibration: {data: calibraton.npz}", "7:25: models[0].calibration.data: there is no file \"calibraton.npz\" below the manifest's folder; did you mean 'calibration.npz'?"),
        ("calibration: {data: model.onnx}", '7:25: models[0].calibration.data: "model.onnx" is not of the kind .npz or .npy; save the arrays with numpy.save or numpy.savez'),
        ("build: {plugins: [zzz/qqq.so]}", '7:23: models[0].build.plugins[0]: there is no file "zzz/qqq.so" below the manifest\'s folder; check the path'),
        ("benchmark: {shapes: {image: [8, 3]}}", "7:25: models[0].benchmark.shapes: needs a profile, and the model has none; choose shapes within one profile, or add a profile"),
        ("benchmark: {originals: [pytorch]}", "7:28: models[0].benchmark.originals: has pytorch, and no model for it is named; add `pytorch:` beside it"),
        ("benchmark: {pytorch: {model: 'a:b', interpreter: /p}}", "7:26: models[0].benchmark.pytorch: is not in `originals`; add `originals: [pytorch]`, or remove `pytorch`"),
        ("benchmark: {originals: [onnxruntime, onnxruntime]}", "7:28: models[0].benchmark.originals: lists an entry twice; remove one of the two"),
        ("budgets: {latency_ms: 5}", "7:27: models[0].budgets.latency_ms: nothing is timed without `benchmark`; add `benchmark: {}`, here or in `defaults`, or remove `latency_ms`"),
        ("budgets: {regression_percent: 5}", "7:35: models[0].budgets.regression_percent: nothing is timed without `benchmark`; add `benchmark: {}`, here or in `defaults`, or remove `regression_percent`"),
    ],
)  # fmt: skip
def test_what_no_schema_can_say_is_checked(tmp_path: Path, lines: str, fault: str) -> None:
    assert faults_of_text(tmp_path, f"{MODEL}    {lines}\n") == [fault]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("[fp32]", "[fp16, fp16]", "6:24: models[0].precisions[1]: fp16 is listed twice; remove one of the two"),
        ("[fp32]", "[int8]", '6:18: models[0].precisions[0]: int8 needs calibration data, and "digits" has none; add `calibration:` with `data:`, or remove this precision'),
        ("[fp32]", "[fp8]", "6:18: models[0].precisions[0]: fp8 needs a quantizer that is not part of this version; use int8 or int8-fp16"),
        ("    precisions: [fp32]\n", "", "3:5: models[0]: lacks `precisions`; add `precisions: [fp16]`, here or in `defaults`"),
        ("    targets: [l4]\n", "", "3:5: models[0]: lacks `targets`; add `targets: [l4]`, here or in `defaults`"),
        ("[l4]", "[l4, {gpu: l4, runtime: tensorrt-rtx}]", '5:19: models[0].targets[1]: is a second target named "l4", after line 5 column 15; remove it, or add a `name:` such as l4-tensorrt-rtx'),
        ("[l4]", "[l4, {gpu: t4, name: L4}]", '5:19: models[0].targets[1]: is a second target named "L4", after line 5 column 15; remove it, or add a `name:` such as L4-tensorrt'),
        ("[l4]", "[{name: a}]", "5:15: models[0].targets[0]: names neither `gpu` nor `compute_capability`; give one of the two"),
        ("[l4]", "[{gpu: l4, compute_capability: '8.9'}]", "5:15: models[0].targets[0]: names `gpu` and `compute_capability`; give one of the two"),
        ("[l4]", "[{compute_capability: '8.5'}]", "5:36: models[0].targets[0].compute_capability: no GPU has the compute capability 8.5; use one of 7.0, 7.2, 7.5, 8.0, 8.6, 8.7, 8.9, 9.0, 10.0, 10.3, 11.0, 12.0, 12.1"),
        ("[l4]", "[{gpu: h100, runtime: tensorrt-rtx}]", "5:15: models[0].targets[0]: TensorRT-RTX does not build for compute capability 9.0, only 7.5, 8.0, 8.6, 8.9, 12.0, 12.1; use `runtime: tensorrt` for this target"),
        ("model.onnx", "modell.onnx", "4:11: models[0].onnx: there is no file \"modell.onnx\" below the manifest's folder; did you mean 'model.onnx'?"),
        ("model.onnx", "sub", '4:11: models[0].onnx: "sub" is a folder, not a file; give the path of the file itself'),
        ("model.onnx", "pipe", '4:11: models[0].onnx: "pipe" is not a regular file; give the path of a regular file'),
    ],
)  # fmt: skip
def test_a_wrong_list_entry_or_file_is_told_at_its_place(tmp_path: Path, old: str, new: str, fault: str) -> None:
    (tmp_path / "sub").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert faults_of_text(tmp_path, MODEL.replace(old, new, 1)) == [fault]


@pytest.mark.parametrize("onnx", ["../model.onnx", "/etc/passwd", "link.onnx", "a/../model.onnx", "folder/model.onnx"])
def test_a_path_out_of_the_folder_or_through_a_link_is_refused(tmp_path: Path, onnx: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "model.onnx").touch()
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "link.onnx").symlink_to(outside / "model.onnx")
    (folder / "folder").symlink_to(outside)
    (fault,) = faults_of_text(folder, MODEL.replace("model.onnx", onnx))
    assert fault.startswith("4:11: models[0].onnx: ")
    assert fault.endswith("; give the path of a file below the manifest's folder, without links")


def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    (fault,) = faults_of_text(tmp_path, MODEL.replace("model.onnx", "x" * 300))
    assert fault.endswith("cannot be read: File name too long; check the path and its permissions")


def test_names_differ_in_more_than_their_case(tmp_path: Path) -> None:
    second = MODEL.partition("models:\n")[2].replace("digits", "DIGITS")
    (fault,) = faults_of_text(tmp_path, MODEL + second)
    assert fault.startswith("7:11: models[1].name: the name is already used in line 3; ")


def test_a_fault_in_the_defaults_is_told_once_and_there(tmp_path: Path) -> None:
    second = MODEL.partition("models:\n")[2].replace("digits", "letters")
    text = "defaults: {runtime: tensorrt-rtx, build: {refit: always}}\n" + MODEL + second
    (fault,) = faults_of_text(tmp_path, text)
    assert fault.startswith("1:50: defaults.build.refit: TensorRT-RTX fails inside its compiler")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("typing", "weak"),
        ("version_compatible", "true"),
        ("hardware_compatibility", "ampere+"),
        ("refit", "always"),
        ("strip_weights", "true"),
        ("plugins", "[model.onnx]"),
    ],
)
def test_what_tensorrt_rtx_cannot_honour_is_refused_but_planned_for_tensorrt(
    tmp_path: Path, field: str, value: str
) -> None:
    text = f"{MODEL}    build: {{{field}: {value}}}\n"
    assert faults_of_text(tmp_path, text) == []
    (fault,) = faults_of_text(tmp_path, f"{text}    runtime: tensorrt-rtx\n")
    assert fault.startswith(f"7:{15 + len(field)}: models[0].build.{field}: ")


def test_faults_of_form_schema_and_meaning_come_together(tmp_path: Path) -> None:
    text = MODEL.replace("model.onnx", "&a modle.onnx").replace("[fp32]", "[fp32, fp32]") + "    zzz: 1\n"
    assert [fault.partition(" models")[0] for fault in faults_of_text(tmp_path, text)] == [
        "4:11:",
        "4:11:",
        "6:24:",
        "7:5:",
    ]


def test_a_value_at_fault_is_not_called_missing(tmp_path: Path) -> None:
    text = MODEL.replace("[l4]", "3").replace("[fp32]", "*a").replace("model.onnx", "7")
    assert [fault.partition(" ")[0] for fault in faults_of_text(tmp_path, text)] == ["4:11:", "5:14:", "6:17:"]


def test_a_manifest_may_not_ask_for_too_many_engines(tmp_path: Path) -> None:
    model = MODEL.partition("models:\n")[2].replace("[fp32]", "[fp32, tf32, fp16, bf16]")
    names = ("t4", "a100", "a30", "a2", "a10", "a10g", "a16", "a40", "l4", "l40", "l40s")
    text = "version: 1\nmodels:\n" + "".join(model.replace("digits", f"m{index}") for index in range(25))
    (fault,) = faults_of_text(tmp_path, text.replace("[l4]", f"[{', '.join(names)}]"))
    assert fault.startswith("3:3: models: ask for 1100 engines; a manifest may ask for 1000; ")


def test_the_manifest_may_be_given_by_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest_file(tmp_path, MODEL)
    monkeypatch.chdir(tmp_path)
    manifest = load_manifest(Path("manifest.yaml"))
    assert manifest.models[0].onnx.is_absolute()
    assert manifest.models[0].location.file == "manifest.yaml"


def test_an_equal_manifest_in_another_place_gives_an_equal_model(tmp_path: Path) -> None:
    first = manifest_from_text(tmp_path, MODEL).models[0]
    second = manifest_from_text(tmp_path, "# moved\n\n" + MODEL).models[0]
    assert first == second
    assert dataclasses.replace(second, name="other") != first


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.lists(YAML_WORDS, max_size=60).map(lambda words: "".join(words).encode()))
@example(b"*a")
@example(b"models: [{build: {zzz: 1}, calibration: {zzz: 1}, zzz: 1}]")
@example(b"models: [" + b"{zzz: 1, targets: [zzz], precisions: [zzz], sha256: 1}, " * 30 + b"]")
@example(b"models: [{}]")
@example(b"models: {a: *b}")
@example(b'a: "\\U00110000"')
@example(b"%YAML 1.99999999999999999999\n---\na")
@example(b"a" * (MAX_BYTES + 1))
def test_no_bytes_raise_anything_but_a_manifest_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(data)
    for fault in faults_of_file(path):
        assert fault.what
        assert fault.fix
        assert str(fault).isprintable()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(min_value=0, max_value=len(FULL) - 1), st.sampled_from([*"[]{}:-&*!|>'\"%@` \t\n0\\", "", "é", "\x85"])
)
def test_one_changed_character_raises_nothing_but_a_manifest_error(tmp_path: Path, index: int, changed: str) -> None:
    path = manifest_file(tmp_path, FULL[:index] + changed + FULL[index + 1 :])
    for fault in faults_of_file(path):
        assert fault.line >= 1
        assert fault.column >= 1
        assert str(fault).isprintable()


def test_a_manifest_error_prints_one_line_for_each_fault(tmp_path: Path) -> None:
    path = manifest_file(tmp_path, MODEL.replace("fp32", "fp61").replace("model.onnx", "none.onnx"))
    with pytest.raises(ManifestError) as caught:
        load_manifest(path)
    assert len(str(caught.value).splitlines()) == len(caught.value.faults) == 2
