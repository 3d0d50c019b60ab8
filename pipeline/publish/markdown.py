"""A report as GitHub Flavored Markdown, for ``report.md`` and the step summary: verdict, table, failures, warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.publish.against_base import against_base_texts
from pipeline.publish.details import Details
from pipeline.publish.escape import cell_code_span, cell_text, code_span, fenced_block, html_code
from pipeline.publish.figures import (
    NOTHING,
    build_time_text,
    checked_as_text,
    cosine_text,
    duration_text,
    failure_beside_its_job,
    importance,
    size_factors,
    size_text,
    status_text,
    top1_text,
    verdict_text,
)
from pipeline.publish.job_report import Status
from pipeline.publish.layers import LAYERS_HEADER, layers_rows
from pipeline.publish.markdown_changes import again_section, changes_sections
from pipeline.publish.markdown_tables import FEW_ROWS, FOLD_BYTES, folded, table, table_of_news
from pipeline.publish.report import RunFailureReport
from pipeline.publish.speed import SPEED_HEADER, circumstances_text, slower_than_wider_precision, speed_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.publish.job_report import FailureReport, JobReport
    from pipeline.publish.report import FaultReport, Report

LIMIT_BYTES = 1 << 20
"""The most that GitHub takes for one step's summary (GITHUB_STEP_SUMMARY, 1 MiB)."""
MINIMUM_BYTES = 8 << 10
"""Room that the verdict always finds its place in, whatever the names."""

_HEADER = (
    "| job | status | engine size | top-1 % (change) | cosine | build time (last time) | why |",
    "| :-- | :-- | --: | --: | --: | --: | :-- |",
)
_JOBS = "### Jobs"
_CACHED = "Cached jobs"
_LOG_LINES = 40
_NAMED_JOBS = 3
_NAMED_RUNTIMES = 8
_LEFT_OUT_BYTES = 200


def markdown_from_report(report: Report, limit_bytes: int = LIMIT_BYTES, *, details: Details | None = None) -> str:
    """Markdown of at most ``limit_bytes`` of UTF-8. Ends with a newline.

    The verdict comes first, then what failed or changed, then the jobs; of many the cached ones are folded.
    What does not fit is left out row by row and section by section, cached jobs first and failed ones last, and
    the text says how much. The verdict is always there. Raises ``ValueError`` below ``MINIMUM_BYTES``.
    """
    if limit_bytes < MINIMUM_BYTES:
        raise ValueError(f"{limit_bytes} bytes are too few for a report, which needs {MINIMUM_BYTES}")
    details = details or Details()
    opening, closing = _opening(report, details), _closing(report, details)
    factors = size_factors(report)
    rows = [_row(job, factors) for job in report.jobs]
    order = sorted(range(len(rows)), key=lambda index: importance(report.jobs[index].status))
    first = [*map(_unbegun, report.failures), *_failures(report), *changes_sections(report, details)]
    sections = [
        *first,
        *_speed(report),
        *_layers(report),
        *_warnings(report),
        *again_section(report, details),
        *_keys(report),
    ]

    room = limit_bytes - _bytes((opening, _JOBS, *_HEADER, *_HEADER, _CACHED, closing)) - FOLD_BYTES - _LEFT_OUT_BYTES
    kept = _fitting(sections, max(room // 2, room - _bytes(rows)))
    kept_rows = {
        order[place]
        for place in _fitting([rows[index] for index in order], room - _bytes(sections[index] for index in kept))
    }
    shown = [
        (row, report.jobs[index].status is not Status.CACHED) for index, row in enumerate(rows) if index in kept_rows
    ]
    parts = [
        opening,
        *(sections[index] for index in kept if index < len(first)),
        _JOBS if shown and any(index < len(first) for index in kept) else "",
        table_of_news(_HEADER, shown, _CACHED),
        _left_out(len(rows) - len(shown), len(sections) - len(kept)),
        *(sections[index] for index in kept if index >= len(first)),
        closing,
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _opening(report: Report, details: Details) -> str:
    verdict, _, rest = verdict_text(report, *against_base_texts(report, details)).partition(":")
    # A pull request has a comment for each manifest.
    title = " of ".join(filter(None, ("## TensorRT engines", code_span(report.manifest, 200))))
    lines = [title, "", f"**{verdict[0].upper()}{verdict[1:]}**:{rest}."]
    return "\n".join(lines)


def _row(job: JobReport, factors: Mapping[str, float]) -> str:
    size = size_text(job.engine.size_bytes) if job.engine is not None else NOTHING
    if job.id in factors:
        size += f" ({factors[job.id]:.2f}x fp32)"
    status = status_text(job.status)
    cells = (
        cell_code_span(job.id, 200),
        f"**{status}**" if job.status in (Status.FAILED, Status.CANCELLED) else status,
        size,
        top1_text(job.accuracy),
        cosine_text(job.accuracy),
        build_time_text(job),
        cell_code_span(job.reason),
    )
    return f"| {' | '.join(cells)} |"


def _speed(report: Report) -> Iterable[str]:
    rows = speed_rows(report)
    if rows:
        header = (f"| {' | '.join(SPEED_HEADER)} |", "| :-- | --: | --: | --: | --: | :-- |")
        lines = [f"| {cell_code_span(row.job.id, 200)} | {' | '.join(map(cell_text, row.cells))} |" for row in rows]
        shown = table(header, lines) if len(rows) <= FEW_ROWS else folded("Times of all jobs", table(header, lines))
        reversed_ = [f"**Slower**: {cell_text(text)}" for text in slower_than_wider_precision(report)]
        yield "\n\n".join(("### Speed", *reversed_, shown, cell_text(circumstances_text(report))))


def _layers(report: Report) -> Iterable[str]:
    rows = layers_rows(report)
    if rows:
        lines = [f"| {cell_code_span(job, 200)} | {' | '.join(map(cell_text, cells))} |" for job, *cells in rows]
        header = (f"| {' | '.join(LAYERS_HEADER)} |", "| :-- | --: | --: | :-- | :-- |")
        yield folded("Layers by precision", table(header, lines))


def _keys(report: Report) -> Iterable[str]:
    """What each engine is made from, in one word: who builds a job again compares it."""
    rows = [f"| {cell_code_span(job.id, 200)} | `{job.engine.key}` |" for job in report.jobs if job.engine is not None]
    if rows:
        yield folded("Keys", table(("| job | key |", "| :-- | :-- |"), rows))


def _unbegun(failure: RunFailureReport) -> str:
    """What kept a run from beginning its jobs: each fault of the manifest, or the one error."""
    facts = [f"- {code_span(fault.place)}: {'<br>Fix: '.join(_said(fault))}" for fault in failure.faults]
    if failure.more_faults:
        facts.append(f"- and {failure.more_faults} more, which the run's log names")
    return "\n\n".join(
        (
            f"### No job was begun: {code_span(failure.kind, 40)}, exit code {failure.exit_code}",
            "\n".join(facts or _facts(failure)),
        )
    )


def _said(fault: FaultReport) -> Iterable[str]:
    return filter(None, (code_span(fault.subject, 500), code_span(fault.fix)))


def _facts(failure: FailureReport | RunFailureReport) -> list[str]:
    where = failure.where if isinstance(failure, RunFailureReport) else ""
    named = (("Where", where), ("What", failure.what), ("Why", failure.why), ("Fix", failure.fix))
    return [f"- {name}: {_lines(text)}" for name, text in named if text.strip()]


def _failures(report: Report) -> Iterable[str]:
    """Each failure once, with the jobs that it befell: many may need the one thing that failed."""
    jobs_of: dict[str, list[str]] = {}
    for job in report.jobs:
        if job.failure is not None:
            failure = failure_beside_its_job(job, job.failure)
            said = f"{status_text(job.status)}: {code_span(failure.kind, 40)}, exit code {failure.exit_code}"
            parts = filter(None, (said, "\n".join(_facts(failure)), _log(failure)))
            jobs_of.setdefault("\n\n".join(parts), []).append(job.id)
    yield from (f"### {_named(ids)} {text}" for text, ids in jobs_of.items())


def _lines(text: str) -> str:
    spans = filter(None, (code_span(line, 500) for line in text.splitlines()[:_LOG_LINES]))
    return "<br>".join(spans)


def _log(failure: FailureReport) -> str:
    lines = failure.log_tail[-_LOG_LINES:]
    if not lines:
        return f"The whole log is {code_span(failure.log)}." if failure.log else ""
    place = f" of {html_code(failure.log)}" if failure.log else ""
    count = "The decisive line" if len(lines) == 1 else f"The {len(lines)} decisive lines"
    return f"<details><summary>{count}{place}</summary>\n\n{fenced_block(lines)}\n\n</details>"


def _warnings(report: Report) -> Iterable[str]:
    jobs_of: dict[str, list[str]] = {}
    for job in report.jobs:
        for warning in dict.fromkeys(job.warnings):
            jobs_of.setdefault(warning, []).append(job.id)
    if jobs_of:
        yield "### Warnings\n\n" + "\n".join(f"- {code_span(text)}: {_named(ids)}" for text, ids in jobs_of.items())
    if report.notes:
        yield "### Notes\n\n" + "\n".join(f"- {code_span(note)}" for note in report.notes)


def _named(ids: Sequence[str]) -> str:
    named = ", ".join(code_span(job_id, 200) for job_id in ids[:_NAMED_JOBS])
    return f"{named} and {len(ids) - _NAMED_JOBS} more" if len(ids) > _NAMED_JOBS else named


def _closing(report: Report, details: Details) -> str:
    runtimes = [code_span(f"{name} {version}", 60) for name, version in list(report.runtimes.items())[:_NAMED_RUNTIMES]]
    made = ", ".join((*runtimes, f"release {code_span(report.tool_version, 40)}"))
    held = f"; held against {code_span(details.base, 200)}" if details.base else ""
    facts = (
        f"Manifest {code_span(report.manifest, 200)}, with {made}; started {code_span(report.started, 40)}, "
        f"took {duration_text(report.elapsed_s)}{held}."
    )
    return "\n\n".join((*checked_as_text(report), facts))


def _left_out(rows: int, sections: int) -> str:
    parts = [
        f"{count} {name}{'' if count == 1 else 's'}"
        for count, name in ((rows, "job"), (sections, "section"))
        if count > 0
    ]
    return f"_{' and '.join(parts)} left out here for want of room; the JSON report has everything._" if parts else ""


def _fitting(texts: Sequence[str], room_bytes: int) -> list[int]:
    """The indices of the texts that fit, the first ones first."""
    kept = []
    for index, text in enumerate(texts):
        size = _bytes((text,))
        if size <= room_bytes:
            kept.append(index)
            room_bytes -= size
    return kept


def _bytes(texts: Iterable[str]) -> int:
    """Bytes of the texts with a blank line after each."""
    return sum(len(text.encode()) + 2 for text in texts)
