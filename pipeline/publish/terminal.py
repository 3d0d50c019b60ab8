"""A report and a plan for whoever sits at the terminal, in its columns, or reads the job's log, which has none."""

from __future__ import annotations

import os
import re
from itertools import chain
from typing import IO, TYPE_CHECKING, cast

from pipeline.compare.change import Verdict
from pipeline.publish.against_base import CHANGE_HEADER, against_base_texts, cause_rows, change_rows, gate_text
from pipeline.publish.details import Details
from pipeline.publish.escape import one_line, plain_lines
from pipeline.publish.figures import (
    NOTHING,
    build_time_text,
    checked_as_text,
    cosine_text,
    duration_text,
    failure_beside_its_job,
    size_text,
    status_text,
    top1_text,
    verdict_text,
)
from pipeline.publish.job_report import Status
from pipeline.publish.report import Outcome, RunFailureReport
from pipeline.publish.reproduce import COMMAND_CHARS, command_from_job
from pipeline.publish.speed import SPEED_HEADER, circumstances_text, slower_than_wider_precision, speed_rows
from pipeline.publish.stream import ForgivingStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TextIO

    from rich.console import Console
    from rich.text import Text

    from pipeline.planning.plan import Plan
    from pipeline.publish.against_base import ChangeRow
    from pipeline.publish.job_report import FailureReport, JobReport
    from pipeline.publish.report import Report

_LOG_LINES = 10
_NOTHING_DONE = (
    "note: nothing was done here: run on such a machine, hand the jobs to runners with `plan --matrix`, or build "
    "without a GPU with `runtime: tensorrt-rtx`"
)
_LOG_COLUMNS = 10_000
"""More than a row of any table needs."""
_WHEN_MADE = re.compile(r"; made [0-9]{4}-[0-9T:-]+Z$")
"""What sets apart the reasons of cached jobs, which share everything else."""
_FIGURES = frozenset({"size", "top-1 %", "cosine", "time (last)", "last time", "time", "share", *CHANGE_HEADER[1:3]})
_VERDICT_STYLES = {Outcome.PASSED: "bold green", Outcome.FAILED: "bold red", Outcome.CANCELLED: "bold yellow"}
_STYLES = {
    "built": "green",
    "cached": "cyan",
    "failed": "bold red",
    "cancelled": "yellow",
    "skipped": "yellow",
    "needs-runner": "yellow",
    "build": "green",
}


def print_report(
    report: Report, stream: TextIO | None, *, width: int | None = None, details: Details | None = None
) -> None:
    """Table, reasons, failures, warnings, and the verdict as the last line.

    ``width`` is in columns, the terminal's where ``None``; a log's lines are as long as they must be. Colours only
    where ``stream`` is a terminal and ``NO_COLOR`` is unset. A stream that fails is no error.
    """
    console = console_for(ForgivingStream(stream), width)
    fold = _folds(console, width)
    header = ("job", "status", "size", "top-1 %", "cosine", "time (last)")
    if report.jobs or not report.failures:
        _print_table(console, header, [_cells(job) for job in report.jobs], fold=fold)
    speed = speed_rows(report)
    if speed:
        console.print()
        _print_table(console, SPEED_HEADER, [(row.job.id, *row.cells) for row in speed], fold=fold)
    details = details or Details()
    changes = change_rows(report, details)
    if changes:
        console.print()
        columns = (CHANGE_HEADER[0], "verdict", *CHANGE_HEADER[1:3])
        _print_table(console, columns, list(map(_change_cells, changes)), fold=fold)
    lines = chain(
        _base_lines(report, details),
        _speed_lines(report),
        _why_lines(report),
        *map(_unbegun_lines, report.failures),
        _failure_lines(report),
        _warning_lines(report),
        checked_as_text(report),
    )
    _print_lines(console, lines, fold=fold)
    told = verdict_text(report, *against_base_texts(report, details))
    console.print(_text(told, _VERDICT_STYLES[report.verdict]))


def print_plan(plan: Plan, stream: TextIO | None, *, width: int | None = None) -> None:
    """One row per job: its id, what a run would do, how long that took last time, and why."""
    console = console_for(ForgivingStream(stream), width)
    rows = [
        (
            planned.job.id,
            str(planned.state),
            NOTHING if planned.previous_s is None else duration_text(planned.previous_s),
            planned.reason,
        )
        for planned in plan.jobs
    ]
    _print_table(console, ("job", "state", "last time", "why"), rows, fold=_folds(console, width))


def console_for(stream: ForgivingStream, width: int | None = None) -> Console:
    """A rich console that writes to ``stream`` and takes no text for markup, emoji or something to highlight."""
    from rich.console import Console

    tty = stream.isatty()
    return Console(
        file=cast("IO[str]", stream),
        force_terminal=tty,
        color_system="auto" if tty else None,
        width=width,
        markup=False,
        emoji=False,
        highlight=False,
    )


def print_table(stream: TextIO | None, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on its own; a stream that fails is no error."""
    console = console_for(ForgivingStream(stream))
    _print_table(console, header, rows, fold=_folds(console, None))


def _folds(console: Console, width: int | None) -> bool:
    """Whether lines are folded: where a person reads them in columns, not in a log, which is searched for whole ids."""
    return console.is_terminal or width is not None or "COLUMNS" in os.environ


def _print_table(console: Console, header: Sequence[str], rows: Sequence[Sequence[str]], *, fold: bool) -> None:
    from rich.measure import Measurement
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in header:
        table.add_column(name, overflow="fold", justify="right" if name in _FIGURES else "left")
    for row in rows:
        job_id, state, *others = map(one_line, row)
        table.add_row(_text(job_id), _text(state, _STYLES.get(state, "")), *map(_text, others))
    if fold:
        console.print(table)
        return
    options = console.options.update(width=_LOG_COLUMNS)
    lines = console.render_lines(
        table, options.update(width=Measurement.get(console, options, table).maximum), pad=False
    )
    for line in lines:
        console.print(_text("".join(segment.text for segment in line).rstrip()), soft_wrap=True)


def _cells(job: JobReport) -> tuple[str, ...]:
    return (
        job.id,
        str(job.status),
        NOTHING if job.engine is None else size_text(job.engine.size_bytes),
        top1_text(job.accuracy),
        cosine_text(job.accuracy),
        build_time_text(job),
    )


def _change_cells(row: ChangeRow) -> tuple[str, ...]:
    change, noise, _, verdict = row.cells
    return row.job, verdict, change, noise


def _base_lines(report: Report, details: Details) -> Iterator[str]:
    """Which branch it was held against, what the change loosens, and why what became slower did, and how to see it."""
    if details.base:
        yield f"against {one_line(details.base)}"
    yield from (f"loosened: {one_line(gate.job)}: {one_line(gate_text(gate))}" for gate in details.changed_gates)
    for job in report.jobs:
        more = details.of(job.id)
        if more.change is not None and more.change.verdict is Verdict.SLOWER:
            yield f"slower than the base branch: {one_line(job.id)}"
            yield from (f"    {one_line(': '.join(cells[:4]))}" for cells in cause_rows(more.cause))
            yield f"    again: {one_line(command_from_job(job, report, details), COMMAND_CHARS)}"


def _speed_lines(report: Report) -> Iterator[str]:
    yield from (f"slower: {one_line(text)}" for text in slower_than_wider_precision(report))
    yield from filter(None, (one_line(circumstances_text(report)),))


def _why_lines(report: Report) -> Iterator[str]:
    for reason, ids in _grouped((_WHEN_MADE.sub("", job.reason), job.id) for job in report.jobs):
        yield f"why: {one_line(reason)}"
        yield f"    {', '.join(map(one_line, ids))}"


def _failure_lines(report: Report) -> Iterator[str]:
    """Each failure once, with every job that it befell: many jobs may need the one thing that failed."""
    pairs = (("\n".join(_lines_of_failure(job)), job) for job in report.jobs if job.failure is not None)
    for text, ids in _grouped((text, f"{job.id} {status_text(job.status)}") for text, job in pairs):
        first, *others = text.split("\n")
        yield f"{', '.join(map(one_line, ids))}: {first}"
        yield from others


def _unbegun_lines(failure: RunFailureReport) -> Iterator[str]:
    """What kept a run from beginning its jobs: each fault of the manifest, or the one error."""
    if not failure.faults:
        yield from _lines_of_error(failure)
        return
    for fault in failure.faults:
        yield one_line("; ".join(filter(None, (f"{fault.place}: {fault.subject}", fault.fix))), 1000)
    if failure.more_faults:
        yield f"and {failure.more_faults} more, which the run's log names"


def _lines_of_failure(job: JobReport) -> Iterator[str]:
    assert job.failure is not None  # noqa: S101  only failed jobs come here
    failure = failure_beside_its_job(job, job.failure)
    yield from _lines_of_error(failure)
    yield from (f"  | {line}" for text in failure.log_tail[-_LOG_LINES:] for line in plain_lines(text))
    if failure.log is not None:
        yield f"  log: {one_line(failure.log)}"


def _lines_of_error(failure: FailureReport | RunFailureReport) -> Iterator[str]:
    where = failure.where if isinstance(failure, RunFailureReport) else ""
    yield one_line(f"{where}: {failure.what}" if where else failure.what)
    for name, text in (("why", failure.why), ("fix", failure.fix)):
        first, *others = plain_lines(text.strip())
        if first:
            yield f"  {name}: {first}"
            yield from (f"       {line}" for line in others)


def _warning_lines(report: Report) -> Iterator[str]:
    for warning, ids in _grouped((warning, job.id) for job in report.jobs for warning in job.warnings):
        others = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
        yield f"warning: {one_line(ids[0])}{others}: {one_line(warning)}"
    yield from (f"note: {one_line(note)}" for note in report.notes)
    if report.jobs and all(job.status is Status.NEEDS_RUNNER for job in report.jobs):
        yield _NOTHING_DONE


def _grouped(pairs: Iterable[tuple[str, str]]) -> Iterable[tuple[str, list[str]]]:
    """Text -> the jobs that share it, each once, in the order of first sight."""
    groups: dict[str, dict[str, None]] = {}
    for text, job_id in pairs:
        groups.setdefault(text, {})[job_id] = None
    return [(text, list(ids)) for text, ids in groups.items()]


def _print_lines(console: Console, lines: Iterable[str], *, fold: bool) -> None:
    """Each line, folded with its indentation kept where a person reads it in columns.

    A log is not folded: it has no columns, and whoever searches it looks for whole paths.
    """
    from rich.padding import Padding

    for line in lines:
        if fold:
            text = line.lstrip(" ")
            console.print(Padding(_text(text), (0, 0, 0, len(line) - len(text)), expand=False))
        else:
            console.print(_text(line), soft_wrap=True)


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(text, style=style, overflow="fold")
