from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.compare.change import change_from_stored, change_of_same_engine
from pipeline.errors import SettingsError
from pipeline.inspection.layers import layers_to_json
from pipeline.publish.details import Details, JobDetails, details_to_json
from pipeline.publish.job_report import FailureReport, JobReport, SpeedReport, Status
from pipeline.publish.parts import DETAILS_JSON, REPORT_JSON, merged, read_parts
from pipeline.publish.report import Outcome, Report, report_to_json
from tests.support.details import sample_details
from tests.support.layers import engine_of, layer
from tests.support.reports import job_report, measurement, report_of, sample_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write(folder: Path, report: Report, details: Any = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_JSON).write_text(json.dumps(report_to_json(report)))
    if details is not None:
        (folder / DETAILS_JSON).write_text(json.dumps(details_to_json(details)))


def job(status: Status, target: str = "h200", exit_code: int | None = None, reason: str = "") -> JobReport:
    failure = None if exit_code is None else FailureReport(kind="x", exit_code=exit_code, what="it failed")
    return job_report(f"digits/{target}/fp16", status, reason, failure=failure)


def part(*jobs: JobReport, minute: int = 0, exit_code: int = 0) -> Report:
    verdict = Outcome.FAILED if exit_code else Outcome.PASSED
    return replace(report_of(*jobs, verdict=verdict, exit_code=exit_code), started=f"2030-01-31T12:{minute:02}:00Z")


def test_one_report_is_read_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, sample_report(), sample_details())
    parts = read_parts(tmp_path)
    assert (merged(parts.reports), parts.details, parts.layers) == (sample_report(), sample_details(), {})


def test_parts_below_the_folder_are_found_in_order(tmp_path: Path) -> None:
    first, second = part(job(Status.BUILT, "l4")), part(job(Status.CACHED))
    write(tmp_path / "b/engines", second)
    write(tmp_path / "a", first, sample_details())
    parts = read_parts(tmp_path)
    assert (parts.reports, parts.details) == ((first, second), sample_details())


def test_layers_are_found_beside_the_engines(tmp_path: Path) -> None:
    write(tmp_path / "a", sample_report())
    path = tmp_path / "a/digits/sm_89/fp16.layers.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(layers_to_json(engine_of(layer("conv1")))))
    assert read_parts(tmp_path).layers == {"digits/sm_89/fp16": engine_of(layer("conv1"))}


def test_no_file_outside_of_the_part_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("no layers at all")
    (job_with_layers,) = (each for each in sample_report().jobs if each.layers is not None)
    assert job_with_layers.layers is not None
    for path in ("../secret.json", str(tmp_path / "secret.json")):
        write(tmp_path / "a", part(replace(job_with_layers, layers=replace(job_with_layers.layers, path=path))))
        assert read_parts(tmp_path / "a").layers == {}


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "/".join("x" * 3000), "..", ".", "\ud800"])
def test_a_path_that_names_no_file_has_no_layers(tmp_path: Path, path: str) -> None:
    (with_layers,) = (each for each in sample_report().jobs if each.layers is not None)
    assert with_layers.layers is not None
    write(tmp_path, part(replace(with_layers, layers=replace(with_layers.layers, path=path))))
    assert read_parts(tmp_path).layers == {}


def test_details_of_several_parts_are_joined(tmp_path: Path) -> None:
    write(tmp_path / "a", part(), sample_details("a/b/fp16"))
    write(tmp_path / "b", part(), sample_details("c/d/fp16"))
    details = read_parts(tmp_path).details
    assert [each.job for each in details.jobs] == ["a/b/fp16", "digits/sm_89/int8", "c/d/fp16"]
    assert [gate.job for gate in details.changed_gates] == ["a/b/fp16", "c/d/fp16"]


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
def test_what_is_known_of_a_job_comes_from_the_part_that_its_result_is_from(
    tmp_path: Path, first: str, second: str
) -> None:
    earlier, later = part(job(Status.BUILT), minute=1), part(job(Status.CACHED), minute=2)
    write(
        tmp_path / first, earlier, Details(jobs=(JobDetails(job="digits/h200/fp16", change=change_of_same_engine()),))
    )
    known = JobDetails(job="digits/h200/fp16", change=change_from_stored(1.0, 2.0, None))
    write(tmp_path / second, later, Details(jobs=(known,)))
    parts = read_parts(tmp_path)
    assert (merged(parts.reports).jobs, parts.details.jobs) == (later.jobs, (known,))


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
def test_layers_come_from_the_part_that_the_result_is_from(tmp_path: Path, first: str, second: str) -> None:
    (with_layers,) = (each for each in sample_report().jobs if each.layers is not None)
    assert with_layers.layers is not None
    assert with_layers.layers.path is not None
    for name, minute in ((first, 1), (second, 2)):
        write(tmp_path / name, part(with_layers, minute=minute))
        path = tmp_path / name / with_layers.layers.path
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(layers_to_json(engine_of(layer(f"of minute {minute}")))))
    assert read_parts(tmp_path).layers == {with_layers.id: engine_of(layer("of minute 2"))}


def test_each_job_comes_from_the_part_that_did_it() -> None:
    first = part(job(Status.BUILT), job(Status.NEEDS_RUNNER, "l4"))
    second = part(job(Status.NEEDS_RUNNER), job(Status.CACHED, "l4"), minute=1)
    for reports in ((first, second), (second, first)):
        jobs = {each.id: each.status for each in merged(reports).jobs}
        assert jobs == {"digits/h200/fp16": Status.BUILT, "digits/l4/fp16": Status.CACHED}


def test_of_a_job_that_two_parts_did_the_later_counts() -> None:
    first, again = part(job(Status.FAILED, exit_code=6), exit_code=6), part(job(Status.BUILT), minute=5)
    for reports in ((first, again), (again, first)):
        report = merged(reports)
        assert ([each.status for each in report.jobs], report.exit_code) == ([Status.BUILT], 0)
        assert report.verdict is Outcome.PASSED


@pytest.mark.parametrize(
    ("jobs", "exit_code", "verdict"),
    [
        ((job(Status.BUILT),), 0, Outcome.PASSED),
        ((job(Status.FAILED, exit_code=7), job(Status.FAILED, "l4", exit_code=6)), 6, Outcome.FAILED),
        ((job(Status.FAILED, exit_code=7), job(Status.CANCELLED, "l4")), 130, Outcome.CANCELLED),
    ],
)
def test_verdict_and_exit_code_are_those_of_a_run_with_all_jobs(
    jobs: tuple[JobReport, ...], exit_code: int, verdict: Outcome
) -> None:
    report = merged([part(each, minute=minute) for minute, each in enumerate((job(Status.BUILT, "l40s"), *jobs))])
    assert (report.exit_code, report.verdict) == (exit_code, verdict)


def test_a_job_that_no_part_could_do_fails_where_all_were_required() -> None:
    waiting = part(job(Status.NEEDS_RUNNER), exit_code=5)
    assert merged([waiting, part(job(Status.BUILT, "l4"))]).exit_code == 5
    assert merged([waiting, part(job(Status.BUILT), minute=1)]).exit_code == 0


def test_what_is_said_of_the_whole_run_is_joined() -> None:
    first = replace(part(), runtimes={"tensorrt": "10.13"}, notes=("a",), elapsed_s=3.0, tool_version="1")
    second = replace(part(minute=2), runtimes={"tensorrt": "8.6", "rtx": "1"}, notes=("a", "b"), elapsed_s=9.0)
    report = merged([second, first])
    assert report.runtimes == {"tensorrt": "8.6, 10.13", "rtx": "1"}
    assert (report.notes, report.elapsed_s, report.started) == (("a", "b"), 9.0, first.started)
    assert report.tool_version == "0.1.0, 1"


def test_a_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SettingsError, match=r"there is no report\.json"):
            read_parts(folder)


def test_reports_of_several_manifests_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a", part())
    write(tmp_path / "b", replace(part(), manifest="other.yaml"))
    with pytest.raises(SettingsError, match="2 manifests"):
        read_parts(tmp_path)


@pytest.mark.parametrize("name", [REPORT_JSON, DETAILS_JSON])
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"schema_version": 9}'])
def test_a_file_that_is_no_report_is_refused_and_named(tmp_path: Path, name: str, data: bytes) -> None:
    write(tmp_path, part(), sample_details())
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SettingsError, match="no report that this version reads") as raised:
        read_parts(tmp_path)
    assert raised.value.where == str(tmp_path / name)


@pytest.mark.parametrize("name", [REPORT_JSON, DETAILS_JSON])
@pytest.mark.parametrize("plant", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["a pipe", "zeros"])
def test_T7_what_would_be_read_without_end_is_no_report(
    tmp_path: Path, name: str, plant: Callable[[Path], None]
) -> None:
    write(tmp_path, sample_report())
    (tmp_path / name).unlink(missing_ok=True)
    plant(tmp_path / name)
    if name == REPORT_JSON:
        with pytest.raises(SettingsError, match="no regular file"):
            read_parts(tmp_path)
    else:
        assert not read_parts(tmp_path).details.known


def test_figures_that_cannot_be_divided_by_are_refused(tmp_path: Path) -> None:
    timed = measurement(0.5)
    broken = replace(timed, compute=replace(timed.compute, p50_ms=0.0))
    write(tmp_path, part(job_report("a/b/fp16", Status.BUILT, "", speed=SpeedReport(engine=broken))))
    with pytest.raises(SettingsError, match=r"a median of 0\.0 ms is none"):
        read_parts(tmp_path)
