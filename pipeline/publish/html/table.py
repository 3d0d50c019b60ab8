"""The table of all jobs: what each cell says, and by which value its column is sorted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.compare.change import Verdict
from pipeline.publish.against_base import change_text
from pipeline.publish.figures import NOTHING, cosine_text, duration_text, importance, size_text, status_text, top1_text
from pipeline.publish.speed import ms_text, per_second_text

if TYPE_CHECKING:
    from pipeline.compare.change import Change
    from pipeline.publish.details import Details
    from pipeline.publish.job_report import AccuracyReport, JobReport
    from pipeline.publish.report import Report


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``numeric`` ones are aligned right, and sorted by number first."""

    title: str
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    """``sort`` is a number or a text, ``None`` for what comes last either way; ``tone`` is a class of the style."""

    text: str
    sort: float | str | None
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One job. ``number`` counts from 1 and names its section."""

    number: int
    job: JobReport
    cells: tuple[Cell, ...]


COLUMNS = (
    Column("Status", numeric=False),
    Column("GPU time p50"),
    Column("p99"),
    Column("Latency against base"),
    Column("Times faster"),
    Column("Top-1 % (change)"),
    Column("Cosine"),
    Column("Per second"),
    Column("GPU memory"),
    Column("Engine size"),
    Column("Build time"),
)
"""Of the cells after the job's name."""

_TONES = {"failed": "bad", "cancelled": "bad", "skipped": "warn", "needs-runner": "warn"}


def rows_of(report: Report, details: Details) -> tuple[Row, ...]:
    """A row for each job, in the report's order."""
    changes = {each.job: each.change for each in details.jobs}
    return tuple(Row(number, job, _cells(job, changes.get(job.id))) for number, job in enumerate(report.jobs, 1))


def _cells(job: JobReport, change: Change | None) -> tuple[Cell, ...]:
    status = Cell(status_text(job.status), float(importance(job.status)), _TONES.get(job.status.value, ""))
    p50, p99, per_second, memory = _speed_cells(job)
    size = _none() if job.engine is None else Cell(size_text(job.engine.size_bytes), float(job.engine.size_bytes))
    build = _none() if job.build_s is None else Cell(duration_text(job.build_s), job.build_s)
    accuracy = _accuracy_cells(job.accuracy)
    return (status, p50, p99, _change_cell(change), _faster_cell(job), *accuracy, per_second, memory, size, build)


def _speed_cells(job: JobReport) -> tuple[Cell, Cell, Cell, Cell]:
    if job.speed is None:
        return _none(), _none(), _none(), _none()
    engine = job.speed.engine
    memory = engine.peak_memory_bytes
    return (
        Cell(ms_text(engine.compute.p50_ms), engine.compute.p50_ms),
        Cell(ms_text(engine.compute.p99_ms), engine.compute.p99_ms),
        Cell(per_second_text(engine), engine.items_per_s or engine.best_inferences_per_s),
        _none() if memory is None else Cell(size_text(memory), float(memory)),
    )


def _accuracy_cells(accuracy: AccuracyReport | None) -> tuple[Cell, Cell]:
    if accuracy is None:
        return _none(), _none()
    missed = "bad" if any(not verdict.passed for verdict in accuracy.verdicts) else ""
    finite = [output.cosine_min for output in accuracy.outputs if output.cosine_min is not None]
    return (
        Cell(top1_text(accuracy), accuracy.top1_candidate_percent, missed),
        Cell(cosine_text(accuracy), min(finite, default=None), missed),
    )


def _faster_cell(job: JobReport) -> Cell:
    """Over the fastest original, which is the hardest to beat."""
    if job.speed is None or not job.speed.originals:
        return _none()
    factor = min(map(job.speed.factor_over, job.speed.originals))
    return Cell(f"{factor:.2f}x", factor, "warn" if factor < 1.0 else "")


def _change_cell(change: Change | None) -> Cell:
    if change is None:
        return _none()
    tones = {Verdict.FASTER: "good", Verdict.SLOWER: "warn"}
    tone = "bad" if change.regressed else tones.get(change.verdict, "")
    return Cell(change_text(change), change.latency.estimate_percent if change.latency else None, tone)


def _none() -> Cell:
    return Cell(NOTHING, None)
