from __future__ import annotations

import pytest

from pipeline.publish.job_report import JobReport, SpeedReport, Status
from pipeline.publish.speed import circumstances_text, ms_text, slower_than_wider_precision, speed_rows
from tests.support.reports import job_report, measurement, report_of


def timed(job_id: str, p50_ms: float) -> JobReport:
    return job_report(job_id, Status.BUILT, "", speed=SpeedReport(engine=measurement(p50_ms)))


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [(0.04213, "0.0421 ms"), (0.5, "0.500 ms"), (3.421, "3.42 ms"), (12.34, "12.3 ms"), (120.4, "120 ms")],
)
def test_durations_have_three_digits(duration_ms: float, text: str) -> None:
    assert ms_text(duration_ms) == text


def test_int8_that_is_slower_than_fp16_is_told() -> None:
    report = report_of(timed("m/h200/fp16", 0.57), timed("m/h200/int8", 0.65))
    assert slower_than_wider_precision(report) == ("m/h200: int8 is 1.14 times as slow as fp16",)


def test_an_engine_within_the_noise_is_not_told_to_be_slower() -> None:
    assert slower_than_wider_precision(report_of(timed("m/h200/fp16", 0.5), timed("m/h200/int8", 0.505))) == ()


def test_precisions_of_other_targets_are_not_compared() -> None:
    assert slower_than_wider_precision(report_of(timed("m/h200/fp16", 0.1), timed("m/l4/int8", 0.5))) == ()


def test_int8_is_held_against_fp32_where_there_is_no_fp16() -> None:
    report = report_of(timed("m/h200/fp32", 0.5), timed("m/h200/int8-fp16", 1.0))
    assert slower_than_wider_precision(report) == ("m/h200: int8-fp16 is 2.00 times as slow as fp32",)


def test_the_factor_over_an_original_is_of_median_compute_times() -> None:
    speed = SpeedReport(engine=measurement(0.5), originals=(measurement(1.5, subject="pytorch", precision="fp32"),))
    (row,) = speed_rows(report_of(job_report("m/h200/fp16", Status.BUILT, "", speed=speed)))
    assert row.cells[-1] == "3.00x PyTorch fp32"


def test_nothing_is_said_of_circumstances_where_nothing_was_timed() -> None:
    assert circumstances_text(report_of(job_report("m/h200/fp16", Status.BUILT, ""))) == ""
