from __future__ import annotations

import random
from dataclasses import replace

import pytest

from pipeline.bench.samples import compact_from_ms, distribution_from_ms
from pipeline.compare.change import Interval
from pipeline.publish.details import Details, JobDetails
from pipeline.publish.html import charts
from pipeline.publish.html.scatter import scatter
from pipeline.publish.job_report import JobReport, SpeedReport, Status
from tests.support.baselines import job_baseline
from tests.support.details import paired_change, sample_details
from tests.support.reports import accuracy_report, job_report, measurement, report_of


def timed(samples_ms: list[float], name: str = "digits/h200/fp16") -> JobReport:
    engine = replace(measurement(), compute=distribution_from_ms(samples_ms), samples=compact_from_ms(samples_ms))
    return job_report(name, Status.BUILT, "", speed=SpeedReport(engine=engine))


def with_original(name: str, engine_ms: float, *originals_ms: float, top1_percent: float | None = 98.0) -> JobReport:
    speed = SpeedReport(
        engine=measurement(engine_ms), originals=tuple(measurement(each, subject="pytorch") for each in originals_ms)
    )
    accuracy = replace(accuracy_report(), top1_candidate_percent=top1_percent)
    return job_report(name, Status.BUILT, "", speed=speed, accuracy=accuracy)


def heights(outline: str) -> list[float]:
    return [charts.HEIGHT - float(point.split(",")[1]) for point in outline.split()[1:-1:2]]


def test_a_distribution_stands_where_its_latencies_are() -> None:
    chance = random.Random(1)
    (found,) = charts.distributions(report_of(timed([2.0 + chance.random() * 0.01 for _ in range(500)])))
    highest = max(range(100), key=heights(found.outline).__getitem__)
    place = charts.LOWEST + (highest + 0.5) / 100 * (charts.HIGHEST - charts.LOWEST)
    assert place == pytest.approx(1.0, abs=0.01)
    assert found.beyond_percent == 0.0


def test_latencies_beyond_the_edges_are_counted() -> None:
    (found,) = charts.distributions(report_of(timed([1.0] * 98 + [5.0] * 2)))
    assert found.beyond_percent == pytest.approx(2.0)
    assert found.p99 == charts.WIDTH


def test_a_distribution_without_samples_keeps_its_figures() -> None:
    job = job_report("a/b/fp16", Status.BUILT, "", speed=SpeedReport(engine=replace(measurement(), samples="")))
    (found,) = charts.distributions(report_of(job))
    assert (found.outline, found.text) == ("", "median 0.500 ms, p99 0.510 ms")


def test_samples_that_cannot_be_read_cost_the_outline_alone() -> None:
    job = job_report("a/b/fp16", Status.BUILT, "", speed=SpeedReport(engine=replace(measurement(), samples="~~")))
    assert charts.distributions(report_of(job))[0].outline == ""


def test_a_longer_bar_is_a_greater_speed_up_and_a_slower_engine_is_marked() -> None:
    bars = charts.speed_ups(report_of(with_original("a/b/fp16", 1.0, 4.0, 0.5)))
    assert [(bar.text, bar.tone) for bar in bars] == [("4.00x", ""), ("0.50x", "bad")]
    assert bars[0].length == charts.WIDTH > bars[1].length > 0


def test_changes_share_one_scale_with_zero_in_the_middle() -> None:
    details = Details(
        jobs=(
            JobDetails(job="a", change=paired_change(5.5)),
            JobDetails(job="b", change=replace(paired_change(), regressed=False, latency=Interval(0.0, -3.0, 3.0))),
        )
    )
    first, second = charts.changes(details)
    assert (first.high, first.zero, first.tone) == (charts.WIDTH, charts.WIDTH / 2, "bad")
    assert (second.low, second.high, second.budget) == (250.0, 750.0, 750.0)


def test_stored_changes_have_no_interval_to_draw() -> None:
    assert [span.job for span in charts.changes(sample_details())] == ["digits/sm_89/fp16"]


def test_builds_are_shown_longest_first_and_say_what_the_cache_saved() -> None:
    report = report_of(
        job_report("a/b/fp16", Status.BUILT, "", build_s=30.0, previous_build_s=99.0),
        job_report("c/d/fp16", Status.CACHED, "", previous_build_s=60.0),
        job_report("e/f/fp16", Status.NEEDS_RUNNER, ""),
    )
    assert [(bar.label, bar.length, bar.text) for bar in charts.builds(report)] == [
        ("c/d/fp16", charts.WIDTH, "60.0 s saved"),
        ("a/b/fp16", charts.WIDTH / 2, "30.0 s built"),
    ]


def test_a_trend_goes_from_the_first_to_the_last_run() -> None:
    first, second = job_baseline(1).history[0], job_baseline(2).history[0]
    slower = replace(second, figures=replace(second.figures, latency_p50_ms=0.5))
    trend = charts.latency_trend((first, slower))
    assert trend is not None
    assert trend.points == "0.0,46.0 1000.0,2.0"
    assert trend.text == "2 runs: first 0.250 ms, lowest 0.250 ms, highest 0.500 ms, last 0.500 ms"


def test_one_run_is_no_trend() -> None:
    assert charts.latency_trend(job_baseline(1).history) is None
    assert charts.build_trend(()) is None


def test_the_plot_puts_faster_to_the_right_and_more_accurate_up() -> None:
    plot = scatter(
        report_of(
            with_original("slow/b/fp16", 1.0, 2.0, top1_percent=98.89),
            with_original("fast/b/fp16", 1.0, 8.0, top1_percent=90),
        )
    )
    assert plot is not None
    slow, fast = plot.points
    assert slow.x < fast.x
    assert slow.y < fast.y
    assert plot.accuracy == "percentage points of Top-1 lost"


def test_the_speed_up_of_the_plot_is_over_the_fastest_original() -> None:
    plot = scatter(report_of(with_original("a/b/fp16", 1.0, 90.0, 2.0), with_original("c/d/fp16", 1.0, 3.0)))
    assert plot is not None
    assert plot.points[0].text == "a/b/fp16: 2.00x, 0.89 lost"


def test_without_labels_everywhere_accuracy_is_by_cosine() -> None:
    plot = scatter(
        report_of(with_original("a/b/fp16", 1.0, 2.0), with_original("c/d/fp16", 1.0, 3.0, top1_percent=None))
    )
    assert plot is not None
    assert plot.accuracy == "one minus the smallest cosine similarity"


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_points_are_no_plot(count: int) -> None:
    assert scatter(report_of(*(with_original("a/b/fp16", 1.0, 2.0) for _ in range(count)))) is None


@pytest.mark.parametrize(("one", "other"), [(2.0, 2.0), (0.011, 900.0), (1.99, 2.01)])
def test_the_axes_have_round_ticks_at_any_scale(one: float, other: float) -> None:
    plot = scatter(report_of(with_original("a/b/fp16", 1.0, one), with_original("c/d/fp16", 1.0, other)))
    assert plot is not None
    for ticks in (plot.across, plot.down):
        assert 3 <= len(ticks) <= 9
        assert len({tick.text for tick in ticks}) >= 3
