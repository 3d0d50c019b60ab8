from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

from pipeline.publish.details import Details
from pipeline.publish.report import report_to_json
from pipeline.publish.whole import whole_from_json, whole_to_json
from pipeline.record import RecordError
from tests.support.details import sample_details
from tests.support.goldens import golden_text
from tests.support.reports import sample_report

SCHEMAS = Path(__file__).parents[3] / "schemas"


def schema_of_the_report() -> Any:
    """A validator that finds the schema of details beside that of reports, as one given by its path does."""
    details = referencing.Resource.from_contents(json.loads((SCHEMAS / "details.schema.json").read_text()))
    registry: referencing.Registry[Any] = referencing.Registry().with_resource("details.schema.json", details)
    schema = json.loads((SCHEMAS / "report.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema, registry=registry)


def test_reading_it_is_the_inverse_of_writing_it() -> None:
    written = json.loads(json.dumps(whole_to_json(sample_report(), sample_details())))
    assert whole_from_json(written) == (sample_report(), sample_details())


def test_a_report_alone_has_no_details() -> None:
    assert whole_from_json(report_to_json(sample_report())) == (sample_report(), None)


def test_the_json_form_stays_what_it_is() -> None:
    text = json.dumps(whole_to_json(sample_report(), sample_details()), indent=2, ensure_ascii=False) + "\n"
    assert text == golden_text("report/report-with-details.json", text)


@pytest.mark.parametrize("details", [sample_details(), Details()], ids=["all", "none"])
def test_it_fits_the_schema_of_reports(details: Details) -> None:
    schema_of_the_report().validate(whole_to_json(sample_report(), details))


@pytest.mark.parametrize("details", [None, 1, [], {}, {"schema_version": 2}], ids=repr)
def test_schema_and_reader_refuse_what_are_no_details(details: Any) -> None:
    value = {**report_to_json(sample_report()), "details": details}
    assert not schema_of_the_report().is_valid(value)
    with pytest.raises(RecordError):
        whole_from_json(value)
