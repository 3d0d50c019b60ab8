"""From what became of each job, and what the base branch left, to the details beside the report (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.compare.baseline import PastRun, baseline_from_job, continued
from pipeline.outcome.base_branch import run_name
from pipeline.publish.details import Details, JobDetails

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.artefacts.gpu_time import GpuTime
    from pipeline.outcome.base_branch import Base
    from pipeline.outcome.job import JobOutcome
    from pipeline.publish.job_report import JobReport
    from pipeline.publish.report import Report
    from pipeline.settings import Settings


def details_from_outcomes(
    outcomes: Iterable[JobOutcome], report: Report, base: Base, gpu_time: GpuTime, settings: Settings
) -> Details:
    """What is known of the run of ``report`` beyond it."""
    reports = {job.id: job for job in report.jobs}
    jobs = (_job(outcome, reports[outcome.planned.job.id], report, base, settings) for outcome in outcomes)
    return Details(
        base=base.name,
        jobs=tuple(job for job in jobs if job != JobDetails(job=job.job)),
        changed_gates=base.changed_gates,
        gpu_spent_s=round(gpu_time.spent_s, 3),
        gpu_saved_s=round(gpu_time.saved_s, 3),
        commit=settings.revision.commit,
        image=settings.image,
    )


def _job(outcome: JobOutcome, report: JobReport, whole: Report, base: Base, settings: Settings) -> JobDetails:
    before = base.baselines.get(report.id)
    if not base.history:
        return JobDetails(
            job=report.id,
            change=outcome.change,
            base=None if before is None else PastRun(run=before.run, figures=before.figures),
            cause=outcome.cause,
            history=() if before is None else before.history,
        )
    now = baseline_from_job(report, run_name(settings, whole), ())
    kept = before if now is None else continued(before, now)
    return JobDetails(job=report.id, history=() if kept is None else kept.history)
