"""Details of a report for tests: every optional part occurs."""

from __future__ import annotations

from pipeline.compare.change import Basis, Change, Interval, Verdict, change_from_stored
from pipeline.compare.gates import ChangedGate
from pipeline.publish.details import Details, JobDetails
from tests.support.baselines import job_baseline


def paired_change(estimate: float = 5.0, *, regressed: bool = True) -> Change:
    return Change(
        basis=Basis.PAIRED,
        verdict=Verdict.SLOWER,
        regressed=regressed,
        enough=True,
        budget_percent=3.0,
        latency=Interval(estimate, estimate - 0.5, estimate + 0.5),
        noise=Interval(0.0, -0.4, 0.4),
        processes=32,
        reason="the whole interval lies past 3 %",
    )


def sample_details(job: str = "digits/sm_89/fp16") -> Details:
    history = (*job_baseline(1).history, *job_baseline(2).history)
    return Details(
        base="main at 1234abc",
        jobs=(
            JobDetails(job=job, change=paired_change(), history=history),
            JobDetails(job="digits/sm_89/int8", change=change_from_stored(2.0, 2.5, None)),
        ),
        changed_gates=(ChangedGate(job=job, gate="budgets.latency_ms", base=2.0, head=None, held=True),),
    )
