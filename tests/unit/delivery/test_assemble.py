from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.artefacts.recipe import Artefact
from pipeline.cache.answers import Miss
from pipeline.delivery.assemble import Log, report_from_outcomes
from pipeline.digest import digest_from_bytes
from pipeline.errors import BuildError, Cancelled, ModelError
from pipeline.keys import key_from_ingredients
from pipeline.outcome.job import JobOutcome
from pipeline.planning.plan import PlannedJob, State, needs_runner, not_to_be_refitted
from pipeline.publish.job_report import RefitReport, Status, Subject
from pipeline.publish.report import Outcome, Report
from pipeline.recipes.recalibration import Recalibration
from pipeline.verify.comparison import Comparison, OutputComparison
from tests.support.specs import H200, job

PLANNED = PlannedJob(job(), State.BUILD, "never built before", previous_s=12.5)


def report_of(*outcomes: JobOutcome, exit_code: int = 0, logs: dict[str, Log] | None = None) -> Report:
    return report_from_outcomes(
        outcomes,
        manifest=Path("m.yaml"),
        engines={},
        logs=logs or {},
        runtimes={"tensorrt-rtx": "1.7.1.116"},
        started="2026-01-01T00:00:00Z",
        elapsed_s=1.23456,
        exit_code=exit_code,
        notes=("a note",),
    )


@pytest.mark.parametrize(("exit_code", "verdict"), [(0, Outcome.PASSED), (7, Outcome.FAILED), (130, Outcome.CANCELLED)])
def test_the_verdict_follows_the_exit_code(exit_code: int, verdict: Outcome) -> None:
    assert report_of(exit_code=exit_code).verdict is verdict


def test_a_job_is_described_by_its_plan() -> None:
    (found,) = report_of(JobOutcome(planned=PLANNED)).jobs
    assert (found.id, found.compute_capability, found.previous_build_s) == ("digits/sm_89/fp16", "8.9", 12.5)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (JobOutcome(planned=PLANNED, error=BuildError("no")), Status.FAILED),
        (JobOutcome(planned=PLANNED, error=Cancelled("no")), Status.CANCELLED),
        (JobOutcome(planned=needs_runner(job(target=H200), "needs a runner with H200")), Status.NEEDS_RUNNER),
    ],
)
def test_a_job_without_an_engine_says_how_it_ended(outcome: JobOutcome, status: Status) -> None:
    assert report_of(outcome).jobs[0].status is status


def test_a_failure_says_where_what_why_and_how_to_mend_it_with_the_end_of_its_log() -> None:
    error = ModelError("it holds NaN", why="sample 3", fix="clean it", where="cal.npz")
    logs = {PLANNED.job.id: Log("logs/x.log", ("last line",))}
    failure = report_of(JobOutcome(planned=PLANNED, error=error), logs=logs).jobs[0].failure
    assert failure is not None
    assert (failure.what, failure.why, failure.fix) == ("cal.npz: it holds NaN", "sample 3", "clean it")
    assert (failure.kind, failure.exit_code) == ("model", 4)
    assert (failure.log, failure.log_tail) == ("logs/x.log", ("last line",))


def test_the_accuracy_says_what_was_checked() -> None:
    output = OutputComparison(name="logits", cosine_min=0.9, max_absolute_error=0.1, max_relative_error=0.2)
    comparison = Comparison(subject="engine", samples=4, emulated=False, outputs=(output,), top1_reference=99.0)
    accuracy = report_of(JobOutcome(planned=PLANNED, comparison=comparison)).jobs[0].accuracy
    assert accuracy is not None
    assert accuracy.subject is Subject.ENGINE
    assert accuracy.top1_reference_percent == 99.0
    assert accuracy.outputs[0].cosine_min == 0.9


ORIGIN = digest_from_bytes(b"origin")
TOLD = {
    "origin": str(ORIGIN),
    "instead_of_s": 80.2,
    "seconds": {"model": 1, "start": 1, "load": 0.1, "refit": 0.3, "write": 0.1},
    "weights": 108,
    "changed": 107,
}


def made(*, cached: bool = False, **outcome: object) -> Artefact:
    key = key_from_ingredients("engine", {"model": "m"})
    lookup = Miss("changed: model a -> b")
    return Artefact(key=key, files={}, outcome=outcome, cached=cached, lookup=lookup, made_in_s=2.5)


def test_a_refit_is_told_with_what_it_saved() -> None:
    (found,) = report_of(JobOutcome(planned=PLANNED, engine=made(refit=TOLD))).jobs
    assert found.reason == "refitted in 2.50 s instead of about 80.2 s; changed: model a -> b"
    assert found.refit == RefitReport(origin=ORIGIN, refit_s=0.5, instead_of_s=80.2, weights=108, changed=107)


def test_an_engine_that_was_refitted_earlier_is_known_as_one_and_saves_nothing_more() -> None:
    (found,) = report_of(JobOutcome(planned=PLANNED, engine=made(refit=TOLD, cached=True))).jobs
    assert found.refit is not None
    assert found.reason == "changed: model a -> b"


def test_a_build_in_place_of_a_refit_is_told_with_its_reason() -> None:
    planned = not_to_be_refitted(PLANNED, "built although the weights alone changed: INT8")
    (found,) = report_of(JobOutcome(planned=planned, engine=made())).jobs
    assert found.reason == "built although the weights alone changed: INT8; changed: model a -> b"


@pytest.mark.parametrize(
    ("reused", "opening", "closing"),
    [
        (False, "INT8 calibrated again in 12.0 s: ", " (median 1.0400)"),
        (True, "INT8 keeps the table of the earlier weights: on a sample, ", ""),
    ],
)
def test_what_a_retraining_did_to_the_ranges_is_told(*, reused: bool, opening: str, closing: str) -> None:
    again = Recalibration(seconds=12.0, reused=reused, tensors=18, moved=17, largest_factor=1.27, median_factor=1.04)
    (found,) = report_of(JobOutcome(planned=PLANNED, engine=made(), recalibration=again)).jobs
    text = "17 of 18 ranges moved, by at most a factor of 1.2700"
    assert found.reason == f"changed: model a -> b; {opening}{text}{closing}"
    assert found.recalibration is not None
    assert found.recalibration.reused is reused
