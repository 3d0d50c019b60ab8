from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.assemble import Log, report_from_outcomes
from pipeline.errors import BuildError, Cancelled, ModelError
from pipeline.outcome import JobOutcome
from pipeline.plan import PlannedJob, State, needs_runner
from pipeline.publish.report import Outcome, Report, Status, Subject
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
