from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.compare.change import Change, Verdict, change_from_stored
from pipeline.publish.against_base import change_text
from pipeline.publish.details import Details, JobDetails
from pipeline.publish.html.table import COLUMNS, Cell, rows_of
from pipeline.publish.job_report import JobReport, SpeedReport, Status
from tests.support.details import paired_change
from tests.support.reports import job_report, measurement, report_of, sample_report


def cells_of(job: JobReport, change: Change | None = None) -> dict[str, Cell]:
    details = Details(jobs=(JobDetails(job=job.id, change=change),))
    (row,) = rows_of(report_of(job), details)
    return {column.title: cell for column, cell in zip(COLUMNS, row.cells, strict=True)}


def test_every_row_has_a_cell_for_every_column() -> None:
    assert {len(row.cells) for row in rows_of(sample_report(), Details())} == {len(COLUMNS)}


def test_a_timed_job_shows_its_figures_and_sorts_by_the_bare_numbers() -> None:
    speed = SpeedReport(engine=measurement(0.5), originals=(measurement(4.0, subject="pytorch"), measurement(2.0)))
    cells = cells_of(job_report("a/b/fp16", Status.BUILT, "", speed=speed, build_s=75.0))
    assert cells["GPU time p50"] == Cell("0.500 ms", 0.5)
    assert cells["Times faster"] == Cell("4.00x", 4.0)
    assert cells["Per second"].sort == 24_000.0
    assert cells["Build time"] == Cell("75.0 s", 75.0)


def test_an_engine_slower_than_its_original_is_marked() -> None:
    speed = SpeedReport(engine=measurement(2.0), originals=(measurement(1.0, subject="pytorch"),))
    assert cells_of(job_report("a/b/fp16", Status.BUILT, "", speed=speed))["Times faster"].tone == "warn"


def test_what_is_not_known_is_a_dash_that_sorts_last() -> None:
    cells = cells_of(job_report("a/b/fp16", Status.NEEDS_RUNNER, ""))
    assert [cell for title, cell in cells.items() if title != "Status"] == [Cell("-", None)] * (len(COLUMNS) - 1)


def test_a_missed_tolerance_is_marked() -> None:
    (row,) = (row for row in rows_of(sample_report(), Details()) if row.job.id == "digits/sm_89/int8")
    assert [cell.tone for cell in row.cells if cell.text in ("80.00 (-18.89)", "0.91234")] == ["bad", "bad"]


@pytest.mark.parametrize(
    ("change", "text", "tone"),
    [
        (paired_change(), "+5.0 % (+4.5 to +5.5)", "bad"),
        (paired_change(regressed=False), "+5.0 % (+4.5 to +5.5)", "warn"),
        (replace(paired_change(-5.0, regressed=False), verdict=Verdict.FASTER), "-5.0 % (-5.5 to -4.5)", "good"),
        (
            change_from_stored(2.0, 2.1, 3.0),
            "+5.0 % (stored)",
            "",
        ),
        (replace(paired_change(regressed=False), verdict=Verdict.INCONCLUSIVE, latency=None), "inconclusive", ""),
    ],
)
def test_a_change_says_how_sure_it_is(change: Change, text: str, tone: str) -> None:
    cell = cells_of(job_report("a/b/fp16", Status.BUILT, ""), change)["Latency against base"]
    assert (cell.text, cell.tone) == (text, tone)


def test_no_change_is_a_dash() -> None:
    assert change_text(None) == "-"
