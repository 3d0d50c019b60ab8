"""What kept a run from beginning its jobs, in every form of its report."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from pipeline.hosts.annotations import annotations_from_report
from pipeline.publish.figures import verdict_text
from pipeline.publish.github import outputs_from_report
from pipeline.publish.html.page import html_from_report
from pipeline.publish.job_report import Status
from pipeline.publish.markdown import MINIMUM_BYTES, markdown_from_report
from pipeline.publish.parts import merged
from pipeline.publish.report import Outcome, Report, report_from_json, report_to_json
from pipeline.publish.terminal import print_report
from tests.support.goldens import golden_text
from tests.support.markdown import live_parts
from tests.support.reports import job_report, report_of, sample_report, unbegun_report, wrong_model_report

SCHEMA = json.loads((Path(__file__).parents[3] / "schemas/report.schema.json").read_text())


def terminal_of(report: Report) -> str:
    stream = io.StringIO()
    print_report(report, stream, width=80)
    return stream.getvalue()


@pytest.mark.parametrize(("name", "report"), [("unbegun", unbegun_report()), ("wrong-model", wrong_model_report())])
def test_its_json_fits_the_schema_and_is_read_again(name: str, report: Report) -> None:
    value = report_to_json(report)
    jsonschema.Draft202012Validator(SCHEMA).validate(value)
    assert report_from_json(value) == report
    text = json.dumps(value, indent=2) + "\n"
    assert text == golden_text(f"report/{name}.json", text)


@pytest.mark.parametrize(("name", "report"), [("unbegun", unbegun_report()), ("wrong-model", wrong_model_report())])
def test_its_markdown_and_its_text_look_as_they_did(name: str, report: Report) -> None:
    markdown, text = markdown_from_report(report), terminal_of(report)
    assert markdown == golden_text(f"report/{name}.md", markdown)
    assert text == golden_text(f"report/{name}.txt", text)
    assert live_parts(markdown) == set()


def test_a_report_of_an_earlier_release_has_none() -> None:
    value = {name: part for name, part in report_to_json(sample_report()).items() if name != "failures"}
    assert report_from_json(value) == sample_report()


def test_each_fault_is_in_the_smallest_comment() -> None:
    markdown = markdown_from_report(unbegun_report(), MINIMUM_BYTES)
    assert "**Failed (exit code 3) before any engine was built**: the manifest has 12 faults" in markdown
    assert "`examples/digits/trt-engines.yaml:4:5`" in markdown
    assert "and 10 more" in markdown


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("settings", "the settings are wrong"),
        ("model", "a model or its data is wrong"),
        ("device", "no machine here can do what was asked"),
        ("build", "a step before the builds failed"),
        ("cache", "the cache failed"),
        ("@octocat", "something failed"),
    ],
)
def test_the_verdict_says_what_was_wrong_in_our_own_words(kind: str, says: str) -> None:
    report = wrong_model_report()
    report = replace(report, failures=(replace(report.failures[0], kind=kind),))
    assert verdict_text(report) == f"failed (exit code 4) before any engine was built: {says}, in 12.3 s"


def test_a_part_that_was_not_begun_fails_the_whole_and_all_is_shown() -> None:
    built = report_of(job_report("digits/sm_89/fp16", Status.BUILT, "new"))
    whole = merged([built, wrong_model_report(), wrong_model_report()])
    assert (whole.verdict, whole.exit_code) == (Outcome.FAILED, 4)
    assert verdict_text(whole) == (
        "failed (exit code 4): 1 job, 1 built, others not begun (a model or its data is wrong), in 12.3 s"
    )
    for shown in (markdown_from_report(whole), terminal_of(whole), html_from_report(whole)):
        assert "digits/sm_89/fp16" in shown
        assert shown.count("model.onnx is no model") == 1


def test_parts_that_were_cancelled_stay_cancelled() -> None:
    cancelled = report_of(job_report("a/sm_89/fp16", Status.CANCELLED, "x"), verdict=Outcome.CANCELLED, exit_code=130)
    assert merged([cancelled, unbegun_report()]).exit_code == 130


def test_the_page_names_every_fault_and_how_to_mend_it() -> None:
    page = html_from_report(unbegun_report())
    assert "<code>examples/digits/trt-engines.yaml:4:5</code>: models[0].onnx: `model.onx` is not there" in page
    assert "To do: did you mean `model.onnx`?" in page
    assert "and 10 more" in page


def test_later_steps_are_told_that_it_failed() -> None:
    outputs = outputs_from_report(unbegun_report(), report_path=Path("report.json"), engines_path=Path())
    assert (outputs["verdict"], outputs["exit-code"], outputs["built"]) == ("failed", "3", "0")


def test_faults_are_findings_at_their_lines() -> None:
    found = annotations_from_report(unbegun_report())
    assert [(each.file, each.line, each.column, each.title) for each in found] == [
        ("examples/digits/trt-engines.yaml", 4, 5, "models[0].onnx"),
        ("examples/digits/trt-engines.yaml", 9, 18, "manifest"),
    ]


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("other.yaml:4:5", ("other.yaml", 4, 5)),
        ("model.onnx", ("examples/digits/trt-engines.yaml", 1, 1)),
        ("x:0:0", ("examples/digits/trt-engines.yaml", 1, 1)),
        ("", ("examples/digits/trt-engines.yaml", 1, 1)),
    ],
)
def test_another_error_is_one_finding_at_its_place_or_at_the_manifest(where: str, place: tuple[str, int, int]) -> None:
    report = wrong_model_report()
    report = replace(report, failures=(replace(report.failures[0], where=where),))
    (found,) = annotations_from_report(report)
    assert (found.file, found.line, found.column) == place
    assert found.title == "model"
    assert found.text.endswith("; export it again")
