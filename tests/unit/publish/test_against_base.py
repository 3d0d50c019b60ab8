from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.compare.change import Change, Interval, Verdict, change_from_stored, change_of_same_engine
from pipeline.compare.gates import ChangedGate
from pipeline.publish.against_base import (
    against_base_texts,
    cause_rows,
    change_rows,
    change_text,
    gate_text,
    less_accurate,
)
from pipeline.publish.details import Details, JobDetails
from pipeline.publish.job_report import AccuracyReport, JobReport, Status
from tests.support.baselines import job_baseline
from tests.support.details import paired_change, sample_details
from tests.support.reports import accuracy_report, job_report, report_of, sample_report

BASE = job_baseline(1).history[0]


def job_with(accuracy: AccuracyReport | None) -> JobReport:
    return job_report("digits/sm_89/fp16", Status.BUILT, "", accuracy=accuracy)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (None, "-"),
        (change_of_same_engine(), "same engine"),
        (change_from_stored(2.0, 2.5, None), "+25.0 % (stored)"),
        (paired_change(5.0), "+5.0 % (+4.5 to +5.5)"),
        (replace(paired_change(), latency=None), "inconclusive"),
        (replace(paired_change(), latency=Interval(-0.04, -0.06, 0.04)), "+0.0 % (-0.1 to +0.0)"),
        (replace(paired_change(), latency=Interval(-1.0, -2.0, -0.01)), "-1.0 % (-2.0 to +0.0)"),
    ],
)
def test_a_change_says_what_it_is_and_how_sure(change: Change | None, text: str) -> None:
    assert change_text(change) == text


def test_a_comparison_that_says_nothing_says_why() -> None:
    change = replace(paired_change(), verdict=Verdict.INCONCLUSIVE, reason="the runner is too noisy to tell")
    (row,) = change_rows(report_of(job_with(None)), Details(jobs=(JobDetails(job="digits/sm_89/fp16", change=change),)))
    assert row.cells[-1] == "inconclusive: the runner is too noisy to tell"


def test_time_that_was_only_saved_is_told_of_what() -> None:
    assert against_base_texts(report_of(), Details(gpu_saved_s=31.0)) == ("31.0 s of GPU time saved",)


def test_the_verdict_counts_what_was_timed_in_turn_alone() -> None:
    changes = (
        paired_change(),
        replace(paired_change(-5.0, regressed=False), verdict=Verdict.FASTER),
        change_from_stored(1.0, 9.0, None),
        change_of_same_engine(),
    )
    jobs = tuple(JobDetails(job=str(number), change=change) for number, change in enumerate(changes))
    details = Details(jobs=jobs, gpu_spent_s=125.0, gpu_saved_s=31.0)
    assert against_base_texts(report_of(), details) == (
        "1 faster",
        "1 slower",
        "2 min 5 s of GPU time spent",
        "31.0 s saved",
    )


def test_a_run_without_gpus_and_base_adds_nothing_to_the_verdict() -> None:
    assert against_base_texts(sample_report(), Details()) == ()


@pytest.mark.parametrize(
    ("accuracy", "loses"),
    [
        (None, False),
        (accuracy_report(98.5), False),
        (accuracy_report(98.4), True),
        (replace(accuracy_report(cosine_min=0.9), top1_candidate_percent=None), True),
        (replace(accuracy_report(cosine_min=0.9989), top1_candidate_percent=None), False),
        (replace(accuracy_report(cosine_min=None), top1_candidate_percent=None), True),
    ],
)
def test_accuracy_is_held_against_the_base_branchs(accuracy: AccuracyReport | None, *, loses: bool) -> None:
    report = report_of(job_with(accuracy))
    details = Details(jobs=(JobDetails(job="digits/sm_89/fp16", base=BASE),))
    assert less_accurate(report, details) == (("digits/sm_89/fp16",) if loses else ())
    assert ("1 less accurate" in against_base_texts(report, details)) is loses


def test_rows_begin_with_regressions_and_leave_out_the_same_engines() -> None:
    names = [f"digits/sm_89/{precision}" for precision in ("fp32", "fp16", "int8", "bf16")]
    changes = (
        change_of_same_engine(),
        paired_change(1.0, regressed=False),
        paired_change(),
        replace(paired_change(-5.0, regressed=False), verdict=Verdict.FASTER),
    )
    report = report_of(*(job_report(name, Status.BUILT, "") for name in names))
    details = Details(
        jobs=tuple(JobDetails(job=name, change=change) for name, change in zip(names, changes, strict=True))
    )
    rows = change_rows(report, details)
    assert [row.job for row in rows] == [names[2], names[1], names[3]]
    assert rows[0].cells == ("+5.0 % (+4.5 to +5.5)", "-0.4 to +0.4 %", "-", "slower, past the budget of 3 %")


@pytest.mark.parametrize(
    ("gate", "text"),
    [
        (("budgets.latency_ms", 2.0, None, True), "budgets.latency_ms 2 -> none: the base branch's judges"),
        (("benchmark.duration_s", 5.0, 0.5, False), "benchmark.duration_s 5 -> 0.5: a person must decide"),
        (("job", None, None, False), "job is gone: a person must decide"),
    ],
)
def test_a_loosened_gate_says_who_judges(gate: tuple[str, float | None, float | None, bool], text: str) -> None:
    name, base, head, held = gate
    assert gate_text(ChangedGate(job="j", gate=name, base=base, head=head, held=held)) == text


def test_a_cause_names_layers_times_and_tactics() -> None:
    (cells,) = cause_rows(sample_details().jobs[0].cause)
    assert cells == ("split, int8 -> fp16, slower", "conv + relu", "conv; relu", "0.100 ms -> 0.250 ms", "-")
