"""Details of a report for tests: every optional part occurs."""

from __future__ import annotations

from dataclasses import replace

from pipeline.compare.change import Basis, Change, Interval, Verdict, change_from_stored
from pipeline.compare.gates import ChangedGate
from pipeline.compare.layer_changes import LayerChange
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
            JobDetails(job=job, change=paired_change(), base=history[-1], cause=(layer_change(),), history=history),
            JobDetails(job="digits/sm_89/int8", change=change_from_stored(2.0, 2.5, None)),
        ),
        changed_gates=(ChangedGate(job=job, gate="budgets.latency_ms", base=2.0, head=None, held=True),),
        gpu_spent_s=125.0,
        gpu_saved_s=31.0,
        commit="c0ffee1" * 5,
        image="registry.example/engines:1",
    )


def layer_change(text: str = "conv") -> LayerChange:
    return LayerChange(
        what="split, int8 -> fp16, slower",
        before=(f"{text} + relu",),
        after=(text, "relu"),
        before_ms=0.1,
        after_ms=0.25,
    )


def hostile_details(text: str, job: str) -> Details:
    """``text`` wherever others choose what is written."""
    sample = sample_details(job)
    change = replace(paired_change(), reason=text)
    cause = (replace(layer_change(text), what=text, tactic=text),)
    history = (*sample.jobs[0].history, *sample.jobs[0].history)
    jobs = (JobDetails(job=job, change=change, base=history[-1], cause=cause, history=history),)
    gates = (ChangedGate(job=text, gate=text, base=None, head=1.0, held=False),)
    return replace(sample, base=text, jobs=jobs, changed_gates=gates, commit=text, image=text)
