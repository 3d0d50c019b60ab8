from __future__ import annotations

import dataclasses

import pytest

from pipeline.publish.figures import (
    build_time_text,
    checked_as_text,
    cosine_text,
    duration_text,
    size_factors,
    size_text,
    top1_text,
    verdict_text,
)
from pipeline.publish.job_report import OutputAccuracy, Status, Subject
from pipeline.publish.report import Outcome
from tests.support.reports import accuracy_report, engine_report, job_report, report_of, sample_report


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (81_203, "79.3 KiB"),
        (1_048_575, "1024 KiB"),
        (1_300_000, "1.24 MiB"),
        (5 << 30, "5 GiB"),
        (5000 << 30, "5000 GiB"),
    ],
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0.0, "0.00 s"),
        (0.312, "0.31 s"),
        (9.994, "9.99 s"),
        (9.999, "10.0 s"),
        (99.94, "99.9 s"),
        (99.96, "1 min 40 s"),
        (125.2, "2 min 5 s"),
        (3599.9, "1 h 0 min"),
        (3725.0, "1 h 2 min"),
    ],
)
def test_durations(duration_s: float, text: str) -> None:
    assert duration_text(duration_s) == text


@pytest.mark.parametrize(
    ("now_s", "before_s", "text"),
    [(0.29, 0.33, "0.29 s (0.33 s)"), (0.29, None, "0.29 s"), (None, 0.33, "(0.33 s)"), (None, None, "-")],
)
def test_build_times(now_s: float | None, before_s: float | None, text: str) -> None:
    assert build_time_text(job_report("a/b/fp32", Status.BUILT, "", build_s=now_s, previous_build_s=before_s)) == text


@pytest.mark.parametrize(
    ("candidate_percent", "text"), [(98.61, "98.61 (-0.28)"), (98.891, "98.89 (same)"), (99.0, "99.00 (+0.11)")]
)
def test_top1_says_what_was_lost(candidate_percent: float, text: str) -> None:
    assert top1_text(accuracy_report(candidate_percent)) == text


def test_top1_needs_labels() -> None:
    unlabelled = dataclasses.replace(accuracy_report(), top1_candidate_percent=None)
    assert (top1_text(unlabelled), top1_text(None)) == ("-", "-")


def test_outputs_of_whole_numbers_have_no_cosine() -> None:
    classes = OutputAccuracy(
        name="classes", cosine_min=None, max_absolute_error=1.0, max_relative_error=1.0, exact_match=0.99
    )
    accuracy = accuracy_report(cosine_min=0.5)
    assert cosine_text(dataclasses.replace(accuracy, outputs=(classes,))) == "-"
    assert cosine_text(dataclasses.replace(accuracy, outputs=(classes, *accuracy.outputs))) == "0.50000"


def test_the_smallest_cosine_counts() -> None:
    accuracy = accuracy_report(cosine_min=0.5)
    two = dataclasses.replace(accuracy, outputs=accuracy.outputs + accuracy_report(cosine_min=0.9).outputs)
    assert cosine_text(two) == "0.50000"


def test_a_cosine_that_is_not_finite_outweighs_all_others() -> None:
    accuracy = accuracy_report(cosine_min=None)
    two = dataclasses.replace(accuracy, outputs=accuracy.outputs + accuracy_report(cosine_min=0.9).outputs)
    assert (cosine_text(two), cosine_text(None)) == ("not finite", "-")


def test_sizes_are_compared_with_fp32_of_the_same_model_and_target() -> None:
    report = report_of(
        job_report("a/sm_89/fp32", Status.BUILT, "", engine=engine_report(size_bytes=1000)),
        job_report("a/sm_89/int8", Status.BUILT, "", engine=engine_report(size_bytes=250)),
        job_report("a/sm_86/int8", Status.BUILT, "", engine=engine_report(size_bytes=250)),
        job_report("b/sm_89/int8", Status.FAILED, ""),
    )
    assert size_factors(report) == {"a/sm_89/int8": 0.25}


def test_the_verdict_counts_every_status() -> None:
    assert verdict_text(sample_report()) == (
        "failed (exit code 6): 8 jobs, 2 failed, 1 cancelled, 1 skipped, 1 needs another runner, 2 built, 1 cached, "
        "in 12.3 s"
    )


def test_jobs_that_others_must_do_let_a_run_pass_only_so_far() -> None:
    left, done = (
        job_report(f"a/b/{name}", status, "")
        for name, status in (("fp16", Status.NEEDS_RUNNER), ("fp32", Status.BUILT))
    )
    assert verdict_text(report_of(left, done)).startswith("passed so far: 2 jobs, 1 needs another runner, 1 built, in")
    assert verdict_text(report_of(done)).startswith("passed: 1 job, 1 built, in")
    assert verdict_text(report_of(left, verdict=Outcome.FAILED, exit_code=5)).startswith("failed (exit code 5): 1 job")


def test_a_verdict_that_is_no_failure_needs_no_code() -> None:
    report = report_of(job_report("a/b/fp32", Status.BUILT, ""), verdict=Outcome.CANCELLED, exit_code=130)
    assert verdict_text(report) == "cancelled: 1 job, 1 built, in 12.3 s"


def test_the_reader_learns_that_only_the_prepared_model_was_checked() -> None:
    report = report_of(
        job_report("a/b/int8", Status.BUILT, "", accuracy=accuracy_report()),
        job_report("a/b/fp16", Status.BUILT, "", accuracy=accuracy_report()),
        job_report("a/b/tf32", Status.BUILT, "", accuracy=accuracy_report(subject=Subject.ENGINE)),
    )
    assert checked_as_text(report) == (
        "FP16 and INT8: checked as the prepared model with ONNX Runtime, because no GPU was here to run the engine.",
    )


def test_the_reader_learns_what_was_emulated() -> None:
    accuracy = accuracy_report(emulated=True, subject=Subject.ENGINE)
    report = report_of(job_report("a/b/bf16", Status.BUILT, "", accuracy=accuracy))
    assert checked_as_text(report) == (
        "BF16: emulated by rounding each result, so the figures are near the engine's, not the same.",
    )
