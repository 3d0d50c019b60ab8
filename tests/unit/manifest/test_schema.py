# ruff: noqa: E501 - a message is easier to read, and to find, in one piece
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from pipeline.manifest.document import MAX_FAULTS
from pipeline.manifest.schema import manifest_schema
from pipeline.manifest.tolerances import DEFAULT_LIMITS
from pipeline.manifest.types import BuildSettings, Calibration, CalibrationMethod, Metric
from pipeline.precision import Precision
from pipeline.runtimes import RUNTIMES
from pipeline.targets import GPUS
from tests.support.manifests import MODEL, faults_of_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = manifest_schema()


def _schemas(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside ``schema`` with a readable path, references not followed."""
    yield path, schema
    for keyword in ("properties", "$defs"):
        for name, inner in schema.get(keyword, {}).items():
            yield from _schemas(inner, f"{path}/{name}")
    for keyword in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(keyword), dict):
            yield from _schemas(schema[keyword], f"{path}/{keyword}")
    for index, inner in enumerate(schema.get("anyOf", [])):
        yield from _schemas(inner, f"{path}/{index}")


def _properties() -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Every property of every mapping, references followed, and whether it is required."""
    for path, schema in _schemas(SCHEMA):
        for name, inner in schema.get("properties", {}).items():
            resolved = SCHEMA["$defs"][inner["$ref"].rpartition("/")[2]] | inner if "$ref" in inner else inner
            yield f"{path}/{name}", resolved, name in schema.get("required", [])


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(("path", "schema", "required"), [pytest.param(*item, id=item[0]) for item in _properties()])
def test_every_field_is_described_with_examples(path: str, schema: dict[str, Any], required: bool) -> None:
    assert schema["description"].endswith(".")
    assert schema["examples"]
    assert not (required and "default" in schema)


@pytest.mark.parametrize(("path", "schema"), [pytest.param(*item, id=item[0]) for item in _schemas(SCHEMA)])
def test_every_value_is_bounded_and_every_mapping_closed(path: str, schema: dict[str, Any]) -> None:
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        assert schema["additionalProperties"] is False
    elif kind == "object":
        assert {"propertyNames", "additionalProperties", "maxProperties"} <= schema.keys()
    elif kind == "array":
        assert {"items", "maxItems"} <= schema.keys()
    elif kind == "string":
        assert "enum" in schema or "maxLength" in schema
    elif kind in ("integer", "number"):
        assert "const" in schema or ("maximum" in schema and {"minimum", "exclusiveMinimum"} & schema.keys())
    if "pattern" in schema:
        assert schema["$comment"]


@pytest.mark.parametrize(("path", "schema"), [pytest.param(*item, id=item[0]) for item in _schemas(SCHEMA)])
def test_examples_and_defaults_are_valid(path: str, schema: dict[str, Any]) -> None:
    validator = Draft202012Validator({**schema, "$defs": SCHEMA["$defs"]})
    for value in [*schema.get("examples", []), *([schema["default"]] if "default" in schema else [])]:
        validator.validate(value)


def test_enumerations_are_those_of_the_code() -> None:
    definitions = SCHEMA["$defs"]
    assert definitions["gpu"]["enum"] == list(GPUS)
    assert definitions["runtime"]["enum"] == list(RUNTIMES)
    assert definitions["precision"]["enum"] == [str(precision) for precision in Precision]
    assert definitions["calibration"]["properties"]["method"]["enum"] == [str(method) for method in CalibrationMethod]
    tolerances = definitions["accuracy"]["properties"]["tolerances"]
    assert list(tolerances["properties"]) == [str(metric) for metric in Metric]


def test_default_tolerances_are_those_of_the_code() -> None:
    tolerances = SCHEMA["$defs"]["accuracy"]["properties"]["tolerances"]["properties"]
    for metric in Metric:
        limits = {str(precision): limit for precision, limit in DEFAULT_LIMITS.get(metric, {}).items()}
        assert tolerances[str(metric)].get("default", {}) == limits
        for precision, limit in limits.items():
            assert f"{precision} {limit:g}" in tolerances[str(metric)]["description"]


@pytest.mark.parametrize(("name", "settings"), [("build", BuildSettings), ("calibration", Calibration)])
def test_other_defaults_are_those_of_the_code(name: str, settings: type) -> None:
    fields = settings.__dataclass_fields__  # type: ignore[attr-defined]
    for field, schema in SCHEMA["$defs"][name]["properties"].items():
        if "default" in schema and not isinstance(schema["default"], list | dict):
            assert fields[field].default == schema["default"]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("precison: [fp32]", "7:5: models[0].precison: unknown field; did you mean 'precisions'?"),
        ("batch_size: 8", "7:5: models[0].batch_size: unknown field; it belongs in `calibration`"),
        ("budgets: {zzz: 8}", "7:15: models[0].budgets.zzz: unknown field; the fields here are engine_size_mib, build_s, latency_ms, regression_percent"),
        ("sha256: 12", '7:13: models[0].sha256: must be text, not 12; write it in quotes: "12"'),
        ("sha256: abc", '7:13: models[0].sha256: "abc" has the wrong form; write the 64 hex digits that `sha256sum` prints'),
        ("build:", "7:5: models[0].build: has no value; write a mapping after the colon, or remove the field"),
        ("build: [1]", '7:12: models[0].build: must be a mapping, not a list; write a mapping, such as {"optimization_level": 3, "workspace_mib": 1024}'),
        ("build: {sparsity: no}", '7:23: models[0].build.sparsity: must be true or false, not "no"; write false, without quotes'),
        ("build: {timeout_s: '60'}", '7:24: models[0].build.timeout_s: must be a number, not "60"; remove the quotes: 60'),
        ("build: {optimization_level: 9}", "7:33: models[0].build.optimization_level: must be at most 5, not 9; give a number from 0 to 5"),
        ("build: {workspace_mib: 1.5}", "7:28: models[0].build.workspace_mib: must be a whole number, not 1.5; write a whole number, such as 1024"),
        ("build: {layer_precisions: {/a: fp61}}", '7:36: models[0].build.layer_precisions["/a"]: "fp61" is not known here; did you mean \'fp16\'?'),
        ("build: {profiling_verbosity: zzz}", '7:34: models[0].build.profiling_verbosity: "zzz" is not known here; use one of none, layer-names, detailed'),
        ("budgets: {build_s: 0}", "7:24: models[0].budgets.build_s: must be more than 0, not 0; give a number above 0, at most 86400"),
        ("profiles: []", "7:15: models[0].profiles: must have at least 1 entry; add an entry, or remove the field"),
        ("profiles: [{image: 3}]", "7:24: models[0].profiles[0].image: must be a list or a mapping, not 3; write a list or a mapping, such as [8, 3, 224, 224]"),
        ("profiles: [{image: 8x3x64x64}]", '7:24: models[0].profiles[0].image: must be a list or a mapping, not "8x3x64x64"; write a list: [8, 3, 64, 64]'),
        ("profiles: [{image: {min: [1, 3], opt: [1, 3], max: '8, 3'}}]", '7:56: models[0].profiles[0].image.max: must be a list, not "8, 3"; write a list: [8, 3]'),
        ("profiles: {image: [8, 3]}", "7:15: models[0].profiles: must be a list, not a mapping; write a list: begin each entry with `- `"),
        ("profiles: [{image: [0]}]", "7:25: models[0].profiles[0].image[0]: must be at least 1, not 0; give a number from 1 to 2147483647"),
        ("profiles: [{image: {min: [1], opt: [1]}}]", "7:24: models[0].profiles[0].image: lacks `max`; add `max: [32, 3, 224, 224]`"),
    ],
)  # fmt: skip
def test_a_broken_rule_becomes_one_fault_with_its_fix(tmp_path: Path, lines: str, fault: str) -> None:
    assert faults_of_text(tmp_path, f"{MODEL}    {lines}\n") == [fault]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("version: 1", "version: 2", "1:10: version: must be 1, not 2; write 1"),
        ("version: 1\n", "", "1:1: lacks `version`; add `version: 1`"),
        ("[fp32]", "fp32", '6:17: models[0].precisions: must be a list, not "fp32"; write a list: [fp32]'),
        ("[fp32]", "[fp61]", "6:18: models[0].precisions[0]: \"fp61\" is not known here; did you mean 'fp16'?"),
        ("[l4]", "[L40_S]", "5:15: models[0].targets[0]: \"L40_S\" is not known here; did you mean 'l40s'?"),
        ("[l4]", "[4]", '5:15: models[0].targets[0]: must be text or a mapping, not 4; write text or a mapping, such as "l4"'),
        ("[l4]", "[{compute_capability: 8.9}]", '5:36: models[0].targets[0].compute_capability: must be text, not 8.9; write it in quotes: "8.9"'),
        ("[l4]", "[{compute_capability: sm_89}]", '5:36: models[0].targets[0].compute_capability: "sm_89" has the wrong form; write it as in "8.9"'),
        ("[l4]", "[{gpu: rtx4090}]", "5:21: models[0].targets[0].gpu: \"rtx4090\" is not known here; did you mean 'rtx-4090'?"),
        ("name: digits", "name: a/b", '3:11: models[0].name: "a/b" has the wrong form; begin with a letter or a digit and use only letters, digits, `.`, `_` and `-`, 64 characters at most'),
        ("    onnx: model.onnx\n", "", '3:5: models[0]: lacks `onnx`; add `onnx: "model.onnx"`'),
        (MODEL, "- a\n", '1:1: must be a mapping, not a list; write a mapping, such as {"version": 1, "models": [{"name": "digits", "onnx": "model.onnx", "targets": ["l4"], "precisions": ["fp16"]}]}'),
    ],
)  # fmt: skip
def test_a_required_field_at_fault_is_told_once(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert faults_of_text(tmp_path, MODEL.replace(old, new)) == [fault]


def test_a_wrong_tolerance_is_told_at_its_precision(tmp_path: Path) -> None:
    text = f"{MODEL}    accuracy: {{data: evaluation.npz, tolerances: {{cosine: {{fp61: 0.9, fp16: 2}}}}}}\n"
    assert faults_of_text(tmp_path, text) == [
        "7:60: models[0].accuracy.tolerances.cosine.fp61: as a key, \"fp61\" is not known here; did you mean 'fp16'?",
        "7:77: models[0].accuracy.tolerances.cosine.fp16: must be at most 1, not 2; give a number from 0 to 1",
    ]


def test_faults_are_counted_to_a_limit(tmp_path: Path) -> None:
    text = MODEL + "".join(f"    unknown{index}: 1\n" for index in range(2 * MAX_FAULTS))
    assert len(faults_of_text(tmp_path, text)) == MAX_FAULTS
