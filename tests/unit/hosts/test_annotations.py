from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.errors import Fault
from pipeline.hosts.annotations import annotations_from_faults, annotations_from_report
from pipeline.publish.job_report import FailureReport, Status
from tests.support.reports import job_report, report_of

MANIFEST = Path(__file__).parents[3] / "examples/digits/trt-engines.yaml"
FAILURE = FailureReport(
    kind="build", exit_code=6, what="it broke", why="no space", fix="make some", log_tail=(), log=""
)


def failed(manifest: str, model: str = "digits") -> tuple[tuple[int, str], ...]:
    report = report_of(
        job_report(f"{model}/sm_89/fp16", Status.FAILED, "x", failure=FAILURE),
        job_report(f"{model}/sm_89/fp32", Status.BUILT, "x"),
    )
    found = annotations_from_report(replace(report, manifest=manifest))
    return tuple((each.line, f"{each.title}: {each.text}") for each in found)


def test_a_failed_job_is_told_at_its_model() -> None:
    ((line, text),) = failed(str(MANIFEST))
    assert "digits" in MANIFEST.read_text().splitlines()[line - 1]
    assert text == "digits/sm_89/fp16: build: it broke: no space; make some"


def test_a_model_or_a_manifest_that_is_gone_is_told_at_the_first_line() -> None:
    assert [line for line, _ in failed(str(MANIFEST), "other")] == [1]
    assert [line for line, _ in failed("/nowhere.yaml")] == [1]


def test_a_fault_is_told_where_it_is() -> None:
    (found,) = annotations_from_faults([Fault("m.yaml", 3, 5, "models[0].onnx", "is missing", "add it")])
    assert (found.file, found.line, found.column) == ("m.yaml", 3, 5)
    assert (found.title, found.text) == ("models[0].onnx", "is missing; add it")
