from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline.compare.change import Change, Interval
from pipeline.compare.gates import ChangedGate
from pipeline.publish.details import Details, JobDetails, details_from_json, details_to_json
from pipeline.record import RecordError
from tests.support.details import sample_details

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[3] / "schemas/details.schema.json").read_text())
SAMPLE = Path(__file__).parents[3] / "examples/report-sample"


def test_reading_details_is_the_inverse_of_writing_them() -> None:
    assert details_from_json(json.loads(json.dumps(details_to_json(sample_details())))) == sample_details()


def test_details_fit_their_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(details_to_json(sample_details()))


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ("", Details),
        ("job", JobDetails),
        ("change", Change),
        ("interval", Interval),
        ("changed_gate", ChangedGate),
    ],
)
def test_the_schema_names_exactly_the_fields_of_each_record(part: str, kind: Any) -> None:
    schema = SCHEMA["$defs"][part] if part else SCHEMA
    names = [field.name for field in dataclasses.fields(kind)]
    assert list(schema["properties"]) == ([] if part else ["schema_version"]) + names
    assert schema["required"] == list(schema["properties"])


@pytest.mark.parametrize("runner", ["runner-1", "runner-2"])
def test_the_sample_fits_the_schemas(runner: str) -> None:
    report_schema = json.loads((Path(__file__).parents[3] / "schemas/report.schema.json").read_text())
    for name, schema in (("report.json", report_schema), ("report-details.json", SCHEMA)):
        jsonschema.Draft202012Validator(schema).validate(json.loads((SAMPLE / runner / name).read_text()))


@pytest.mark.parametrize("value", [None, [], {}, {"schema_version": 2}, {"schema_version": 1, "jobs": 3}], ids=repr)
def test_what_are_no_details_is_refused(value: Any) -> None:
    with pytest.raises(RecordError):
        details_from_json(value)


def test_a_job_of_which_nothing_is_known_has_empty_details() -> None:
    assert sample_details().of("a/b/fp16") == JobDetails(job="a/b/fp16")
    assert len(sample_details().of("digits/sm_89/fp16").history) == 2
