from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.publish.job_report import FailureReport, JobReport, Status
from pipeline.publish.markdown import MINIMUM_BYTES, markdown_from_report
from pipeline.publish.report import Outcome, Report
from tests.support.goldens import golden_text
from tests.support.hostile import HOSTILE_TEXTS
from tests.support.markdown import MARKDOWN, live_parts
from tests.support.reports import hostile_report, job_report, report_of, sample_report


def long_report(count: int, status: Status = Status.CACHED, text: str = "hit") -> Report:
    jobs = tuple(job_report(f"m{number}/sm_89/fp32", status, text) for number in range(count))
    return report_of(*jobs)


def test_the_sample_looks_as_it_did() -> None:
    text = markdown_from_report(sample_report())
    assert text == golden_text("report/report.md", text)


def test_the_verdict_comes_first_and_on_one_line() -> None:
    assert markdown_from_report(long_report(2)).splitlines()[2] == "**Passed**: 2 jobs, 2 cached, in 12.3 s."


def test_the_key_of_every_engine_is_there_to_compare() -> None:
    text = markdown_from_report(sample_report())
    keys = [str(job.engine.key) for job in sample_report().jobs if job.engine is not None]
    assert len(keys) == 4
    assert [key for key in keys if f"| `{key}` |" not in text] == []


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_foreign_text_stays_text(text: str) -> None:
    assert live_parts(markdown_from_report(hostile_report(text))) == set()


@settings(max_examples=60)
@given(st.text(alphabet="`|\\ \n\t<>@[]()!#*_~-:&;ab1.\x1b\u2028", max_size=50))
def test_any_foreign_text_stays_text(text: str) -> None:
    assert live_parts(markdown_from_report(hostile_report(text))) == set()


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_foreign_text_leaves_the_structure_as_it_is(text: str) -> None:
    def structure(report: Report) -> list[str]:
        tokens = [token.type for token in MARKDOWN.parse(markdown_from_report(report))]
        return [name for name in tokens if name.startswith(("heading", "table", "tr", "td", "th", "fence"))]

    assert structure(hostile_report(text)) == structure(hostile_report("harmless"))


@settings(max_examples=30)
@given(
    count=st.integers(0, 400),
    text=st.sampled_from(["hit", "日本" * 200, "`" * 300, "x" * 9000]),
    status=st.sampled_from(Status),
    limit_bytes=st.integers(MINIMUM_BYTES, 100_000),
)
def test_the_text_never_exceeds_its_limit_and_keeps_its_verdict(
    count: int, text: str, status: Status, limit_bytes: int
) -> None:
    report = dataclasses.replace(
        long_report(count, status, text), manifest=text, runtimes={text: text}, tool_version=text, notes=(text,) * count
    )
    markdown = markdown_from_report(report, limit_bytes)
    assert len(markdown.encode()) <= limit_bytes
    passed = "**Passed so far**: " if status is Status.NEEDS_RUNNER and count else "**Passed**: "
    assert markdown.splitlines()[2].startswith(passed)


@settings(deadline=None, max_examples=30)
@given(statuses=st.lists(st.sampled_from(Status), max_size=200), limit_bytes=st.integers(MINIMUM_BYTES, 40_000))
def test_folding_keeps_to_the_limit_too(statuses: list[Status], limit_bytes: int) -> None:
    jobs = (job_report(f"m{number}/sm_89/fp32", status, "why") for number, status in enumerate(statuses))
    assert len(markdown_from_report(report_of(*jobs), limit_bytes).encode()) <= limit_bytes


def test_of_many_jobs_the_cached_ones_are_folded() -> None:
    built = job_report("new/sm_89/fp32", Status.BUILT, "never built before")
    report = dataclasses.replace(long_report(40), jobs=(*long_report(40).jobs, built))
    before, folded = markdown_from_report(report).split("<details><summary>Cached jobs (40)</summary>")
    assert "| `new/sm_89/fp32` | built |" in before
    assert "| `m0/sm_89/fp32` | cached |" in folded
    assert "| cached |" not in before


def test_few_jobs_stay_in_one_table_in_their_order() -> None:
    built = job_report("new/sm_89/fp32", Status.BUILT, "never built before")
    jobs = (*long_report(3).jobs, built, *long_report(3).jobs)
    rows = [line for line in markdown_from_report(report_of(*jobs)).splitlines() if "/sm_89/fp32` | " in line]
    assert ["built" in row for row in rows[:7]] == [False, False, False, True, False, False, False]


def test_the_title_says_of_which_manifest_it_is() -> None:
    report = dataclasses.replace(sample_report(), manifest="models/`a`.yaml")
    assert markdown_from_report(report).splitlines()[0] == "## TensorRT engines of ``models/`a`.yaml``"
    nameless = dataclasses.replace(report, manifest="")
    assert markdown_from_report(nameless).splitlines()[0] == "## TensorRT engines"


def test_what_failed_stands_before_the_jobs() -> None:
    failed = job_report(
        "z/sm_89/fp32", Status.FAILED, "why", failure=FailureReport(kind="build", exit_code=6, what="x", fix="mend it")
    )
    markdown = markdown_from_report(report_of(*long_report(3).jobs, failed))
    assert markdown.index("- Fix: `mend it`") < markdown.index("| job | status |")


def test_a_failure_that_befell_many_jobs_is_told_once() -> None:
    failure = FailureReport(kind="model", exit_code=4, what="array 'image' is float64", fix="save it as float32")
    jobs = (job_report(f"m/sm_{number}/int8", Status.FAILED, "why", failure=failure) for number in range(5))
    markdown = markdown_from_report(report_of(*jobs))
    assert markdown.count("is float64") == 1
    assert "### `m/sm_0/int8`, `m/sm_1/int8`, `m/sm_2/int8` and 2 more failed: `model`, exit code 4\n" in markdown


def test_a_failure_that_names_its_job_is_told_once_too() -> None:
    def failed(job_id: str) -> JobReport:
        failure = FailureReport(
            kind="accuracy", exit_code=7, what=f"{job_id} is not accurate enough", why="cosine is 0"
        )
        return job_report(job_id, Status.FAILED, "why", failure=failure)

    markdown = markdown_from_report(report_of(failed("m/sm_80/int8"), failed("m/sm_89/int8")))
    assert "### `m/sm_80/int8`, `m/sm_89/int8` failed: `accuracy`, exit code 7\n" in markdown
    assert markdown.count("- What: `the engine is not accurate enough`\n") == 1


def test_what_was_left_out_is_said() -> None:
    markdown = markdown_from_report(long_report(1000), MINIMUM_BYTES)
    shown = markdown.count("| `m")
    assert 0 < shown < 1000
    assert f"_{1000 - shown} jobs left out here" in markdown


def test_nothing_is_said_to_be_left_out_where_all_fits() -> None:
    assert "left out" not in markdown_from_report(long_report(100))


def test_failed_jobs_stay_when_others_are_left_out() -> None:
    failed = job_report(
        "z/sm_89/fp32", Status.FAILED, "why", failure=FailureReport(kind="build", exit_code=6, what="x")
    )
    report = dataclasses.replace(long_report(1000), jobs=(*long_report(1000).jobs, failed), verdict=Outcome.FAILED)
    markdown = markdown_from_report(report, MINIMUM_BYTES)
    assert "| `z/sm_89/fp32` | **failed** |" in markdown
    assert "### `z/sm_89/fp32` failed" in markdown


def test_too_small_a_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        markdown_from_report(long_report(1), MINIMUM_BYTES - 1)


def test_a_report_without_jobs_has_no_table() -> None:
    assert "|" not in markdown_from_report(report_of())
