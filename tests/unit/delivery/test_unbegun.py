from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.delivery.unbegun import report_from_error
from pipeline.errors import BuildError, CacheError, DeviceError, Fault, ManifestError, ModelError, PipelineError
from pipeline.errors import SettingsError as WrongSettings
from pipeline.publish.report import FaultReport, Outcome, Report, RunFailureReport


def report_of(error: PipelineError) -> Report:
    return report_from_error(error, manifest=Path("m.yaml"), started="2030-01-31T12:00:00Z", elapsed_s=0.12345)


def fault(line: int) -> Fault:
    return Fault("m.yaml", line, 5, "models[0].onnx", "it is not there", "write it")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (WrongSettings("x"), "settings"),
        (ManifestError((fault(1),)), "manifest"),
        (ModelError("x"), "model"),
        (DeviceError("x"), "device"),
        (BuildError("x"), "build"),
        (CacheError("x"), "cache"),
        (PipelineError("x"), "unknown"),
    ],
)
def test_the_run_failed_with_the_code_of_its_error_and_without_jobs(error: PipelineError, kind: str) -> None:
    report = report_of(error)
    assert (report.verdict, report.exit_code, report.jobs) == (Outcome.FAILED, error.exit_code, ())
    assert [(each.kind, each.exit_code) for each in report.failures] == [(kind, error.exit_code)]


def test_the_report_says_what_the_error_says() -> None:
    (failure,) = report_of(BuildError("it broke", why="no memory", fix="add some", where="model.onnx")).failures
    assert failure == RunFailureReport(
        kind="build", exit_code=6, what="it broke", why="no memory", fix="add some", where="model.onnx"
    )


def test_each_fault_of_a_manifest_has_its_place() -> None:
    (failure,) = report_of(ManifestError((fault(9), fault(4)))).failures
    first, second = failure.faults
    assert first == FaultReport(
        file="m.yaml", line=4, column=5, path="models[0].onnx", what="it is not there", fix="write it"
    )
    assert (second.place, failure.more_faults) == ("m.yaml:9:5", 0)


def test_ten_faults_are_kept_and_the_rest_is_counted() -> None:
    (failure,) = report_of(ManifestError(tuple(map(fault, range(1, 13))))).failures
    assert [each.line for each in failure.faults] == list(range(1, 11))
    assert failure.more_faults == 2


def test_a_wrong_model_is_told_at_its_line_of_the_manifest() -> None:
    error = ModelError("it is cut short", why="\n  at byte 9", fix="export it again", where="/w/model.onnx")
    error.faults = (error.fault_at("m.yaml", 4, 5, "digits"),)
    (failure,) = report_of(error).failures
    assert [(each.place, each.subject, each.fix) for each in failure.faults] == [
        ("m.yaml:4:5", "models.digits: /w/model.onnx: it is cut short: at byte 9", "export it again")
    ]


def test_the_place_of_a_wrong_model_is_told_once() -> None:
    error = ModelError("it is another file", where="m.yaml:4:5")
    assert error.fault_at("m.yaml", 4, 5, "digits").what == "it is another file"
