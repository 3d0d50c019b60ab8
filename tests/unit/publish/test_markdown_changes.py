from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.publish.details import Details
from pipeline.publish.job_report import Status
from pipeline.publish.markdown import MINIMUM_BYTES, markdown_from_report
from pipeline.publish.parts import merged, read_parts
from tests.support.details import hostile_details, sample_details
from tests.support.goldens import golden_text
from tests.support.hostile import HOSTILE_TEXTS
from tests.support.markdown import MARKDOWN, live_parts
from tests.support.reports import hostile_report, job_report, report_of, sample_report

if TYPE_CHECKING:
    from pipeline.publish.report import Report


EXAMPLE = Path(__file__).parents[3] / "examples/report-sample"


def rendered(report: Report | None = None, details: Details | None = None) -> str:
    return markdown_from_report(report or sample_report(), details=details or sample_details())


def test_the_sample_with_details_looks_as_it_did() -> None:
    text = rendered()
    assert text == golden_text("report/report-with-details.md", text)


def test_of_many_comparisons_only_those_that_changed_stand_open() -> None:
    parts = read_parts(EXAMPLE)
    text = markdown_from_report(merged(parts.reports), details=parts.details)
    section = text.partition("### Against")[2].partition("A change is of")[0]
    before, _, folded = section.partition("<details><summary>The same, or not judged (")
    verdicts = [line.split(" | ")[-1].rstrip(" |") for line in before.splitlines() if line.startswith("| `")]
    assert verdicts == ["slower, past the budget of 3 %", *["faster"] * 4]
    assert "faster" not in folded
    assert folded.count("| same |") == 19


def test_without_details_the_report_is_as_it_was() -> None:
    assert markdown_from_report(sample_report(), details=Details()) == markdown_from_report(sample_report())


def test_a_first_run_that_is_held_against_nothing_says_how_to_do_its_jobs_again() -> None:
    text = rendered(details=Details(commit="c0ffee"))
    assert "<summary>Do one job again</summary>" in text
    assert "git checkout c0ffee && docker run" in text


def test_the_verdict_tells_what_became_slower_and_what_the_gpu_did() -> None:
    line = rendered().splitlines()[2]
    assert "1 slower" in line
    assert "2 min 5 s of GPU time spent, 31.0 s saved" in line


def test_the_base_branch_is_named_also_where_no_engine_differs_from_its_own() -> None:
    text = rendered(details=Details(base="main at 1234abc"))
    assert "### Against" not in text
    assert text.endswith("held against `main at 1234abc`.\n")


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_foreign_text_in_details_stays_text(text: str) -> None:
    report = hostile_report(text)
    assert live_parts(rendered(report, hostile_details(text, report.jobs[0].id))) == set()


def test_a_chart_holds_numbers_and_a_cleaned_title_alone() -> None:
    report = report_of(job_report('a"]\n```\n[x](y)/sm_89/fp16', Status.BUILT, ""))
    details = hostile_details("text", report.jobs[0].id)
    (chart,) = [token.content for token in MARKDOWN.parse(rendered(report, details)) if token.info.strip() == "mermaid"]
    assert chart.splitlines() == [
        "xychart-beta",
        '    title "a        x  y /sm_89/fp16: GPU time p50"',
        '    x-axis "run" 1 --> 4',
        '    y-axis "ms" 0.225000 --> 0.275000',
        "    line [0.250000, 0.250000, 0.250000, 0.250000]",
    ]


def test_a_trend_of_two_points_is_no_chart() -> None:
    report = report_of(job_report("digits/sm_89/fp16", Status.BUILT, ""))
    assert "mermaid" not in rendered(report)


def test_of_many_jobs_those_that_failed_or_became_slower_get_a_command() -> None:
    jobs = [job_report(f"m{number}/sm_89/fp16", Status.CACHED, "") for number in range(30)]
    jobs[3] = replace(jobs[3], status=Status.FAILED)
    text = rendered(report_of(*jobs), sample_details("m7/sm_89/fp16"))
    assert [number for number in range(30) if f"--only=m{number}/" in text] == [3, 7]


def test_what_does_not_fit_is_left_out_and_the_verdict_is_not() -> None:
    jobs = [job_report(f"m{number}/sm_89/fp16", Status.FAILED, "x" * 200) for number in range(200)]
    text = markdown_from_report(report_of(*jobs), MINIMUM_BYTES, details=sample_details("m1/sm_89/fp16"))
    assert len(text.encode()) <= MINIMUM_BYTES
    assert "1 slower" in text.splitlines()[2]
    assert "left out here" in text
