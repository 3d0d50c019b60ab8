from __future__ import annotations

import copy
import dataclasses
import json
import math
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from pipeline.digest import Digest
from pipeline.publish import report as report_module
from pipeline.publish import sidecar as sidecar_module
from pipeline.publish.job_report import OutputAccuracy, Status
from pipeline.publish.report import Report, report_from_json, report_to_json
from pipeline.publish.sidecar import Sidecar, sidecar_to_json
from pipeline.record import RecordError
from tests.support.goldens import golden_text
from tests.support.reports import sample_report, sample_sidecar

if TYPE_CHECKING:
    from collections.abc import Iterator

    Steps = tuple[str | int, ...]

SCHEMAS = Path(__file__).parents[3] / "schemas"
REPORT_SCHEMA: dict[str, Any] = json.loads((SCHEMAS / "report.schema.json").read_text())
ENGINE_SCHEMA: dict[str, Any] = json.loads((SCHEMAS / "engine.schema.json").read_text())


def schema_accepts(value: Any) -> bool:
    return jsonschema.Draft202012Validator(REPORT_SCHEMA).is_valid(value)


def reader_accepts(value: Any) -> bool:
    try:
        report_from_json(value)
    except RecordError:
        return False
    return True


def places(value: Any, steps: Steps = ()) -> Iterator[Steps]:
    """Every place in a JSON value, the root excepted."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        yield (*steps, step)
        yield from places(item, (*steps, step))


def at(value: Any, steps: Steps) -> Any:
    for step in steps:
        value = value[step]
    return value


def described_records(
    kind: type, schema: dict[str, Any], root: dict[str, Any]
) -> Iterator[tuple[type, dict[str, Any]]]:
    """Each dataclass that ``kind`` is made of, with the part of the schema that describes it."""
    yield kind, schema
    for name, hint in typing.get_type_hints(kind).items():
        part = schema["properties"][name]
        for record in records_in(hint):
            yield from described_records(record, object_in(part, root), root)


def records_in(hint: Any) -> Iterator[type]:
    if dataclasses.is_dataclass(hint) and hint is not Digest:
        yield typing.cast("type", hint)
    for argument in typing.get_args(hint):
        yield from records_in(argument)


def object_in(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """The closed object that a property, its items, its values or its reference describes."""
    if "$ref" in schema:
        return object_in(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    if "properties" in schema:
        return schema
    return object_in(schema.get("items") or schema.get("additionalProperties") or schema["anyOf"][0], root)


RECORDS = [
    *described_records(Report, REPORT_SCHEMA, REPORT_SCHEMA),
    *described_records(Sidecar, ENGINE_SCHEMA, ENGINE_SCHEMA),
]


def test_reading_a_report_is_the_inverse_of_writing_it() -> None:
    report = sample_report()
    assert report_from_json(json.loads(json.dumps(report_to_json(report)))) == report


def test_the_json_form_stays_what_it_is() -> None:
    text = json.dumps(report_to_json(sample_report()), indent=2, ensure_ascii=False) + "\n"
    assert text == golden_text("report/report.json", text)


def test_the_sample_shows_every_status() -> None:
    assert {job.status for job in sample_report().jobs} == set(Status)


def test_the_sample_report_fits_its_schema() -> None:
    jsonschema.Draft202012Validator(REPORT_SCHEMA).validate(report_to_json(sample_report()))


def test_the_sample_sidecar_fits_its_schema() -> None:
    jsonschema.Draft202012Validator(ENGINE_SCHEMA).validate(sidecar_to_json(sample_sidecar()))


@pytest.mark.parametrize("schema", [REPORT_SCHEMA, ENGINE_SCHEMA], ids=["report", "engine"])
def test_the_schema_is_one(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(("kind", "schema"), RECORDS, ids=[kind.__name__ for kind, _ in RECORDS])
def test_the_schema_names_exactly_the_fields_of_each_record(kind: type, schema: dict[str, Any]) -> None:
    names = [field.name for field in dataclasses.fields(kind)]
    if kind in (Report, Sidecar):
        names.insert(0, "schema_version")
    assert list(schema["properties"]) == names + (["details"] if kind is Report else [])
    assert schema["required"] == names
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(("kind", "schema"), RECORDS, ids=[kind.__name__ for kind, _ in RECORDS])
def test_the_schema_describes_each_field(kind: type, schema: dict[str, Any]) -> None:
    assert schema["description"]
    assert [name for name, part in schema["properties"].items() if not part.get("description")] == []


def test_every_published_type_is_in_a_schema() -> None:
    published = {
        kind
        for module in (report_module, sidecar_module)
        for kind in vars(module).values()
        if dataclasses.is_dataclass(kind) and kind is not Digest
    }
    assert published <= {kind for kind, _ in RECORDS}


def test_what_is_written_may_lack_nothing() -> None:
    value = report_to_json(sample_report())
    for steps in places(value):
        if isinstance(steps[-1], str) and not {"runtimes", "shapes"} & set(steps[:-1]):
            wrong = copy.deepcopy(value)
            del at(wrong, steps[:-1])[steps[-1]]
            assert not schema_accepts(wrong), steps


def test_a_report_from_before_a_field_was_added_can_be_read() -> None:
    value = report_to_json(sample_report())
    for job in value["jobs"]:
        del job["speed"]
    assert {job.speed for job in report_from_json(value).jobs} == {None}


def test_a_report_without_its_verdict_cannot_be_read() -> None:
    value = report_to_json(sample_report())
    del value["verdict"]
    assert not reader_accepts(value)


def test_schema_and_reader_agree_that_nothing_may_be_added() -> None:
    value = report_to_json(sample_report())
    for steps in [(), *places(value)]:
        if isinstance(at(value, steps), dict) and steps != ("runtimes",):
            wrong = copy.deepcopy(value)
            at(wrong, steps)["unknown"] = 1
            assert (schema_accepts(wrong), reader_accepts(wrong)) == (False, False), steps


@pytest.mark.parametrize("other", [None, True, "text", 0.5, [], {}], ids=repr)
def test_schema_and_reader_agree_on_values_of_another_kind(other: Any) -> None:
    value = report_to_json(sample_report())
    for steps in places(value):
        if type(other) is not type(at(value, steps)):
            wrong = copy.deepcopy(value)
            at(wrong, steps[:-1])[steps[-1]] = other
            assert schema_accepts(wrong) == reader_accepts(wrong), steps


@pytest.mark.parametrize("value", [None, [], {}, {"schema_version": 2}], ids=repr)
def test_a_value_of_another_format_is_refused(value: Any) -> None:
    with pytest.raises(RecordError):
        report_from_json(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_figures_that_are_not_finite_are_published_as_null(value: float) -> None:
    output = OutputAccuracy(name="y", cosine_min=value, max_absolute_error=value, max_relative_error=0.0)
    assert (output.cosine_min, output.max_absolute_error, output.max_relative_error) == (None, None, 0.0)
