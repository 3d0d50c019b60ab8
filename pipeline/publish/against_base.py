"""What changed against the base branch, as texts that read the same in every form of the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.compare.change import Basis, Verdict
from pipeline.publish.figures import NOTHING, duration_text
from pipeline.publish.speed import ms_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.compare.baseline import Figures
    from pipeline.compare.change import Change
    from pipeline.compare.gates import ChangedGate
    from pipeline.compare.layer_changes import LayerChange
    from pipeline.publish.details import Details, JobDetails
    from pipeline.publish.job_report import JobReport
    from pipeline.publish.report import Report

CHANGE_HEADER = ("job", "change (95 % interval)", "noise", "GPU time p50 (base)", "verdict")
CAUSE_HEADER = ("what", "base", "now", "time", "tactic")
_TOP1_NOTICED_PERCENT, _COSINE_NOTICED = 0.005, 0.0005
"""An engine is less accurate where it loses more: what the figures of a report can show."""


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One job that was compared, and its cells in the order of ``CHANGE_HEADER`` without the job."""

    job: str
    change: Change
    cells: tuple[str, ...]


def change_rows(report: Report, details: Details) -> tuple[ChangeRow, ...]:
    """The jobs that were compared with another engine, regressions first, then the slower, then the faster ones."""
    jobs = {job.id: job for job in report.jobs}
    rows = [
        ChangeRow(each.job, each.change, tuple(_cells(jobs[each.job], each, each.change)))
        for each in details.jobs
        if each.change is not None and each.change.basis is not Basis.SAME_ENGINE and each.job in jobs
    ]
    return tuple(sorted(rows, key=lambda row: (not row.change.regressed, _VERDICTS.index(row.change.verdict))))


def change_text(change: Change | None) -> str:
    """Such as ``+5.1 % (+4.2 to +6.0)``; what was only stored says so."""
    if change is None:
        return NOTHING
    if change.basis is Basis.SAME_ENGINE:
        return "same engine"
    interval = change.latency
    if interval is None:
        return "inconclusive"
    text = f"{_signed(interval.estimate_percent)} %"
    if change.basis is Basis.STORED:
        return f"{text} (stored)"
    if interval.low_percent is None or interval.high_percent is None:
        return text
    return f"{text} ({_signed(interval.low_percent)} to {_signed(interval.high_percent)})"


def against_base_texts(report: Report, details: Details) -> tuple[str, ...]:
    """For the verdict's line: ``1 faster``, ``2 slower``, ``1 less accurate``, GPU time spent and saved."""
    changes = [each.change for each in details.jobs if each.change is not None and each.change.basis is Basis.PAIRED]
    counts = (
        (sum(change.verdict is Verdict.FASTER for change in changes), "faster"),
        (sum(change.verdict is Verdict.SLOWER for change in changes), "slower"),
        (len(less_accurate(report, details)), "less accurate"),
    )
    saved = "saved" if details.gpu_spent_s else "of GPU time saved"
    spent = (details.gpu_spent_s, "of GPU time spent"), (details.gpu_saved_s, saved)
    return (
        *(f"{count} {word}" for count, word in counts if count),
        *(f"{duration_text(seconds)} {word}" for seconds, word in spent if seconds),
    )


def less_accurate(report: Report, details: Details) -> tuple[str, ...]:
    """The jobs whose engine is less accurate than the base branch's: by top-1, by cosine where there are no labels."""
    found = []
    for job in report.jobs:
        base = details.of(job.id).base
        if base is not None and _loses(job, base.figures):
            found.append(job.id)
    return tuple(found)


def gate_text(gate: ChangedGate) -> str:
    """What became of a gate, such as ``budgets.latency_ms 2 -> none: the base branch's judges``."""
    if gate.head is None and gate.base is None:
        return f"{gate.gate} is gone: a person must decide"
    before, after = ("none" if value is None else f"{value:g}" for value in (gate.base, gate.head))
    judge = "the base branch's judges" if gate.held else "a person must decide"
    return f"{gate.gate} {before} -> {after}: {judge}"


def cause_rows(cause: tuple[LayerChange, ...]) -> Iterator[tuple[str, ...]]:
    """One row of ``CAUSE_HEADER`` for each part of an engine that changed."""
    for layer in cause:
        times = (NOTHING if value is None else ms_text(value) for value in (layer.before_ms, layer.after_ms))
        yield (
            layer.what,
            "; ".join(layer.before) or NOTHING,
            "; ".join(layer.after) or NOTHING,
            " -> ".join(times),
            layer.tactic or NOTHING,
        )


_VERDICTS = (Verdict.SLOWER, Verdict.FASTER, Verdict.INCONCLUSIVE, Verdict.SAME)


def _signed(percent: float) -> str:
    """Such as ``+5.1``; what rounds to nothing has no direction."""
    return f"{round(percent, 1) + 0.0:+.1f}"


def _cells(job: JobReport, details: JobDetails, change: Change) -> Iterator[str]:
    yield change_text(change)
    noise = change.noise
    if noise is None or noise.low_percent is None or noise.high_percent is None:
        yield NOTHING
    else:
        yield f"{_signed(noise.low_percent)} to {_signed(noise.high_percent)} %"
    before_ms = details.base.figures.latency_p50_ms if details.base is not None else None
    now_ms = job.speed.engine.compute.p50_ms if job.speed is not None else None
    now = NOTHING if now_ms is None else ms_text(now_ms)
    yield now if before_ms is None else f"{now} ({ms_text(before_ms)})"
    if change.basis is Basis.STORED:
        yield "not judged"
    elif change.verdict is Verdict.INCONCLUSIVE:
        yield f"{change.verdict}: {change.reason}"
    else:
        past = f", past the budget of {change.budget_percent:g} %" if change.regressed else ""
        yield f"{change.verdict}{past}"


def _loses(job: JobReport, base: Figures) -> bool:
    accuracy = job.accuracy
    if accuracy is None:
        return False
    if accuracy.top1_candidate_percent is not None and base.top1_percent is not None:
        return accuracy.top1_candidate_percent < base.top1_percent - _TOP1_NOTICED_PERCENT
    cosines = [output.cosine_min for output in accuracy.outputs if output.exact_match is None]
    finite = [cosine for cosine in cosines if cosine is not None]
    if base.cosine_min is None or not cosines:
        return False
    return len(finite) < len(cosines) or min(finite) < base.cosine_min - _COSINE_NOTICED
