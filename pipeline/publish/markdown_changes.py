"""The sections of a Markdown report about the base branch: changes, loosened gates, likely causes, trends, commands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.compare.change import Basis, Verdict
from pipeline.publish.against_base import CAUSE_HEADER, CHANGE_HEADER, cause_rows, change_rows, gate_text
from pipeline.publish.escape import cell_code_span, cell_text, code_span, fenced_block
from pipeline.publish.job_report import Status
from pipeline.publish.markdown_tables import table_of_news
from pipeline.publish.reproduce import COMMAND_CHARS, command_from_job

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.publish.against_base import ChangeRow
    from pipeline.publish.details import Details, JobDetails
    from pipeline.publish.job_report import JobReport
    from pipeline.publish.report import Report

_MOST_CHARTS = 3
_MOST_COMMANDS = 20
"""Of more jobs only those get a command that failed or became slower; the page has one for each."""
_LEAST_POINTS = 3
_UNSAFE = re.compile(r"[^A-Za-z0-9 ._/-]")


def changes_sections(report: Report, details: Details) -> Iterator[str]:
    """What changed against the base branch, what was loosened, and why what became slower did."""
    gates = _gates(details)
    if gates:
        yield gates
    rows = change_rows(report, details)
    if not rows:
        return
    base = cell_text(details.base) if details.base else "the base branch"
    lines = [
        (f"| {cell_code_span(row.job, 200)} | {' | '.join(map(cell_text, row.cells))} |", _is_news(row)) for row in rows
    ]
    head = (f"| {' | '.join(CHANGE_HEADER)} |", "| :-- | --: | --: | --: | :-- |")
    note = (
        "A change is of the GPU's own time for one inference, timed in turn with the base branch's engine on one GPU. "
        "The noise is what the same runs say of each engine against itself. The median in brackets is of the base "
        "branch's own run, perhaps on another machine, so it need not agree with the change."
    )
    yield "\n\n".join((f"### Against {base}", table_of_news(head, lines, "The same, or not judged"), note))
    jobs = {job.id: job for job in report.jobs}
    yield from filter(None, (_cause(row, details.of(row.job)) for row in rows))
    worse = [row for row in rows if row.change.verdict.value == "slower"]
    yield from filter(None, (_trend(jobs[row.job], details.of(row.job)) for row in worse[:_MOST_CHARTS]))


def _is_news(row: ChangeRow) -> bool:
    return row.change.basis is not Basis.STORED and row.change.verdict is not Verdict.SAME


def again_section(report: Report, details: Details) -> Iterator[str]:
    """The command that does a job again, folded: for all jobs where they are few."""
    slower = {row.job for row in change_rows(report, details) if row.change.verdict.value == "slower"}
    jobs = [job for job in report.jobs if job.status not in (Status.NEEDS_RUNNER, Status.SKIPPED)]
    if len(jobs) > _MOST_COMMANDS:
        jobs = [job for job in jobs if job.status is Status.FAILED or job.id in slower][:_MOST_COMMANDS]
    if not details.known or not jobs:
        return
    commands = ((job.id, fenced_block([command_from_job(job, report, details)], COMMAND_CHARS)) for job in jobs)
    body = "\n\n".join(f"{code_span(job_id, 200)}\n\n{command}" for job_id, command in commands)
    yield f"<details><summary>Do one job again</summary>\n\n{body}\n\n</details>"


def _gates(details: Details) -> str:
    lines = [f"- {code_span(gate.job, 200)}: {code_span(gate_text(gate))}" for gate in details.changed_gates]
    return "\n\n".join(("### Loosened by this change", "\n".join(lines))) if lines else ""


def _cause(row: ChangeRow, details: JobDetails) -> str:
    if not details.cause:
        return ""
    table = [f"| {' | '.join(map(cell_text, cells))} |" for cells in cause_rows(details.cause)]
    head = (f"| {' | '.join(CAUSE_HEADER)} |", "| :-- | :-- | :-- | --: | :-- |")
    summary = f"<details><summary>The layers that changed most</summary>\n\n{code_span(row.job, 200)}"
    return "\n\n".join((summary, "\n".join((*head, *table)), "</details>"))


def _trend(job: JobReport, details: JobDetails) -> str:
    """The median over the base branch's last runs, and now; a table would hide the jump."""
    points = [past.figures.latency_p50_ms for past in details.history if past.figures.latency_p50_ms is not None]
    if job.speed is not None:
        points.append(job.speed.engine.compute.p50_ms)
    if len(points) < _LEAST_POINTS:
        return ""
    title = _UNSAFE.sub(" ", job.id)[:100]
    return f"<details><summary>The last runs, and now</summary>\n\n{_chart(title, points)}\n\n</details>"


def _chart(title: str, points: Sequence[float]) -> str:
    """Mermaid's XY chart; nothing but numbers and a cleaned title is in it."""
    low, high = min(points), max(points)
    room = (high - low or high) * 0.1
    return "\n".join(
        (
            "```mermaid",
            "xychart-beta",
            f'    title "{title}: GPU time p50"',
            f'    x-axis "run" 1 --> {len(points)}',
            f'    y-axis "ms" {max(low - room, 0.0):.6f} --> {high + room:.6f}',
            f"    line [{', '.join(f'{point:.6f}' for point in points)}]",
            "```",
        )
    )
