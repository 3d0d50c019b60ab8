"""How figures read, the same in the terminal and in Markdown. Plain ASCII, units always named."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.precision import Precision
from pipeline.publish.job_report import Status, Subject
from pipeline.publish.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.publish.job_report import AccuracyReport, FailureReport, JobReport
    from pipeline.publish.report import Report, RunFailureReport

NOTHING = "-"
_STATUS_TEXTS = {Status.NEEDS_RUNNER: "needs a runner"}
_UNBEGUN_TEXTS = {
    "settings": "the settings are wrong",
    "model": "a model or its data is wrong",
    "device": "no machine here can do what was asked",
    "build": "a step before the builds failed",
    "cache": "the cache failed",
}
_STATUS_ORDER = (
    Status.FAILED,
    Status.CANCELLED,
    Status.SKIPPED,
    Status.NEEDS_RUNNER,
    Status.BUILT,
    Status.CACHED,
)


def size_text(size_bytes: int) -> str:
    """Such as ``812 B``, ``79.3 KiB`` or ``1.24 MiB``."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    size, unit = size_bytes / 1024, "KiB"
    for larger in ("MiB", "GiB"):
        if size >= 1024:
            size, unit = size / 1024, larger
    return f"{size:.3g} {unit}" if size < 1000 else f"{size:.0f} {unit}"


def duration_text(duration_s: float) -> str:
    """Such as ``0.31 s``, ``12.3 s``, ``2 min 5 s`` or ``1 h 2 min``."""
    if duration_s < 9.995:
        return f"{duration_s:.2f} s"
    if duration_s < 99.95:
        return f"{duration_s:.1f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def build_time_text(job: JobReport) -> str:
    """What building took now, and in brackets last time: ``0.29 s (0.33 s)``."""
    now = "" if job.build_s is None else duration_text(job.build_s)
    before = "" if job.previous_build_s is None else f"({duration_text(job.previous_build_s)})"
    return " ".join(filter(None, (now, before))) or NOTHING


def top1_text(accuracy: AccuracyReport | None) -> str:
    """Top-1 in percent with its change in percentage points: ``98.61 (-0.28)``."""
    if accuracy is None or accuracy.top1_candidate_percent is None:
        return NOTHING
    text = f"{accuracy.top1_candidate_percent:.2f}"
    if accuracy.top1_reference_percent is None:
        return text
    change = round(accuracy.top1_candidate_percent - accuracy.top1_reference_percent, 2)
    return f"{text} ({change:+.2f})" if change else f"{text} (same)"


def cosine_text(accuracy: AccuracyReport | None) -> str:
    """The smallest cosine similarity of all outputs that hold floating-point numbers."""
    outputs = [output for output in accuracy.outputs if output.exact_match is None] if accuracy is not None else []
    if not outputs:
        return NOTHING
    finite = [output.cosine_min for output in outputs if output.cosine_min is not None]
    return f"{min(finite):.5f}" if len(finite) == len(outputs) else "not finite"


def failure_beside_its_job(job: JobReport, failure: FailureReport) -> FailureReport:
    """``failure`` as it is told beside the job's name, which it need not say again: many jobs may then share it."""
    if not failure.what.startswith(f"{job.id} "):
        return failure
    return replace(failure, what=f"the engine{failure.what.removeprefix(job.id)}")


def status_text(status: Status) -> str:
    """The status as words."""
    return _STATUS_TEXTS.get(status, str(status))


def verdict_text(report: Report, *more: str) -> str:
    """The whole run on one line, such as ``passed: 9 jobs, 3 built, 6 cached, in 4.20 s``, with ``more`` to tell.

    A run that left jobs to other runners has passed only so far. It has one colon, and no text that others chose.
    """
    code = f" (exit code {report.exit_code})" if report.verdict is Outcome.FAILED else ""
    unbegun = " and ".join(dict.fromkeys(map(_unbegun_text, report.failures)))
    if unbegun and not report.jobs:
        return f"{report.verdict}{code} before any engine was built: {unbegun}, in {duration_text(report.elapsed_s)}"
    jobs = f"{len(report.jobs)} job{'' if len(report.jobs) == 1 else 's'}"
    counts = ((status, len(report.with_status(status))) for status in _STATUS_ORDER)
    parts = [jobs, *(f"{count} {_counted(status, count)}" for status, count in counts if count), *more]
    if unbegun:
        parts.append(f"others not begun ({unbegun})")
    so_far = " so far" if report.verdict is Outcome.PASSED and report.with_status(Status.NEEDS_RUNNER) else ""
    return f"{report.verdict}{code}{so_far}: {', '.join(parts)}, in {duration_text(report.elapsed_s)}"


def size_factors(report: Report) -> Mapping[str, float]:
    """Job id -> the engine's size over that of the FP32 engine of the same model and target, where there is one."""
    fp32_bytes = {
        (job.model, job.target): job.engine.size_bytes
        for job in report.jobs
        if job.precision is Precision.FP32 and job.engine is not None and job.engine.size_bytes > 0
    }
    return {
        job.id: job.engine.size_bytes / fp32_bytes[job.model, job.target]
        for job in report.jobs
        if job.engine is not None and job.precision is not Precision.FP32 and (job.model, job.target) in fp32_bytes
    }


def checked_as_text(report: Report) -> tuple[str, ...]:
    """What the reader must know about how accuracy was checked: one sentence for each thing that applies."""
    checks = [(job.precision, job.accuracy) for job in report.jobs if job.accuracy is not None]
    prepared = _listed([precision for precision, check in checks if check.subject is Subject.PREPARED_MODEL])
    emulated = _listed([precision for precision, check in checks if check.emulated])
    sentences = []
    if prepared:
        sentences.append(
            f"{prepared}: checked as the prepared model with ONNX Runtime, because no GPU was here to run the engine."
        )
    if emulated:
        sentences.append(
            f"{emulated}: emulated by rounding each result, so the figures are near the engine's, not the same."
        )
    return tuple(sentences)


def importance(status: Status) -> int:
    """Where a job stands when not all can be shown; the smallest number is shown first."""
    return _STATUS_ORDER.index(status)


def _unbegun_text(failure: RunFailureReport) -> str:
    count = len(failure.faults) + failure.more_faults
    if failure.kind == "manifest":
        return f"the manifest has {count} fault{'' if count == 1 else 's'}"
    return _UNBEGUN_TEXTS.get(failure.kind, "something failed")


def _counted(status: Status, count: int) -> str:
    if status is Status.NEEDS_RUNNER:
        return f"need{'s' if count == 1 else ''} another runner"
    return str(status)


def _listed(precisions: list[Precision]) -> str:
    names = [str(precision).upper() for precision in Precision if precision in precisions]
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)
