"""From what became of each job to the report of the run (pure)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.build.refit_outcome import refit_from_json
from pipeline.errors import Cancelled
from pipeline.inspection.layers import LAYERS_SUFFIX
from pipeline.inspection.precision_shares import AUDITED, audit_precision, precision_shares
from pipeline.planning.plan import State
from pipeline.publish.figures import duration_text
from pipeline.publish.job_report import (
    AccuracyReport,
    EngineReport,
    FailureReport,
    JobReport,
    LayersReport,
    MetricVerdict,
    OutputAccuracy,
    RecalibrationReport,
    RefitReport,
    SpeedReport,
    Status,
    Subject,
)
from pipeline.publish.report import Outcome, Report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.errors import PipelineError
    from pipeline.outcome.job import JobOutcome

KINDS = {
    2: "settings",
    3: "manifest",
    4: "model",
    5: "device",
    6: "build",
    7: "accuracy",
    8: "budget",
    9: "cache",
    130: "cancelled",
}
"""Exit code -> the word for it in a report."""


@dataclass(frozen=True, slots=True)
class Log:
    """The log of a failed task: its path relative to the output folder, and its last lines."""

    path: str
    tail: tuple[str, ...]


def report_from_outcomes(
    outcomes: tuple[JobOutcome, ...],
    *,
    manifest: Path,
    engines: Mapping[str, EngineReport],
    logs: Mapping[str, Log],
    runtimes: Mapping[str, str],
    started: str,
    elapsed_s: float,
    exit_code: int,
    notes: tuple[str, ...],
) -> Report:
    """The report of a run. ``engines`` and ``logs`` are by job id."""
    verdict = Outcome.CANCELLED if exit_code == Cancelled.exit_code else Outcome.FAILED if exit_code else Outcome.PASSED
    return Report(
        tool_version=__version__,
        manifest=str(manifest),
        started=started,
        elapsed_s=round(elapsed_s, 3),
        verdict=verdict,
        exit_code=exit_code,
        runtimes=dict(runtimes),
        jobs=tuple(
            _job_report(outcome, engines.get(outcome.planned.job.id), logs.get(outcome.planned.job.id))
            for outcome in outcomes
        ),
        notes=notes,
    )


def _job_report(outcome: JobOutcome, engine: EngineReport | None, log: Log | None) -> JobReport:
    planned, made = outcome.planned, outcome.engine
    job = planned.job
    return JobReport(
        id=job.id,
        model=job.model.name,
        target=job.target.id,
        precision=job.precision,
        runtime=job.target.runtime,
        compute_capability="{}.{}".format(*job.target.compute_capability),
        status=_status(outcome),
        reason=_reason(outcome),
        build_s=made.made_in_s if made is not None and not made.cached else None,
        previous_build_s=planned.previous_s,
        refit=_refit_report(outcome),
        recalibration=RecalibrationReport(**asdict(outcome.recalibration)) if outcome.recalibration else None,
        engine=engine,
        accuracy=_accuracy_report(outcome),
        layers=_layers_report(outcome, engine),
        speed=SpeedReport(engine=outcome.measurement, originals=outcome.originals) if outcome.measurement else None,
        failure=_failure_report(outcome.error, log) if outcome.error is not None else None,
        warnings=outcome.warnings,
    )


def _reason(outcome: JobOutcome) -> str:
    """Why it was a hit or what changed, and what became of the refit."""
    planned, made = outcome.planned, outcome.engine
    if made is None:
        return planned.reason
    refit = _refit_report(outcome)
    if made.cached or refit is None:
        parts = ["" if made.cached else planned.hindrance, made.lookup.reason]
    else:
        instead = f"refitted in {duration_text(made.made_in_s)} instead of about {duration_text(refit.instead_of_s)}"
        parts = [instead, made.lookup.reason]
    return "; ".join(filter(None, (*parts, _recalibration_text(outcome))))


def _recalibration_text(outcome: JobOutcome) -> str:
    again = outcome.recalibration
    if again is None:
        return ""
    moved = f"{again.moved} of {again.tensors} ranges moved, by at most a factor of {again.largest_factor:.4f}"
    if again.reused:
        return f"INT8 keeps the table of the earlier weights: on a sample, {moved}"
    return f"INT8 calibrated again in {duration_text(again.seconds)}: {moved} (median {again.median_factor:.4f})"


def _refit_report(outcome: JobOutcome) -> RefitReport | None:
    if outcome.engine is None or not outcome.refitted:
        return None
    refit = refit_from_json(outcome.engine.outcome["refit"])
    return RefitReport(
        origin=refit.origin,
        refit_s=refit.engine_s,
        instead_of_s=refit.instead_of_s,
        weights=refit.weights,
        changed=refit.changed,
    )


def _status(outcome: JobOutcome) -> Status:
    if outcome.error is not None:
        return Status.CANCELLED if isinstance(outcome.error, Cancelled) else Status.FAILED
    if outcome.planned.state is State.NEEDS_RUNNER or outcome.engine is None:
        return Status.NEEDS_RUNNER
    return Status.CACHED if outcome.engine.cached else Status.BUILT


def _accuracy_report(outcome: JobOutcome) -> AccuracyReport | None:
    comparison = outcome.comparison
    if comparison is None:
        return None
    return AccuracyReport(
        subject=Subject(comparison.subject),
        emulated=comparison.emulated,
        samples=comparison.samples,
        top1_reference_percent=comparison.top1_reference,
        top1_candidate_percent=comparison.top1_candidate,
        outputs=tuple(
            OutputAccuracy(
                name=output.name,
                cosine_min=output.cosine_min,
                max_absolute_error=output.max_absolute_error,
                max_relative_error=output.max_relative_error,
                exact_match=output.exact_match,
            )
            for output in comparison.outputs
        ),
        verdicts=tuple(
            MetricVerdict(
                metric=verdict.metric,
                measured=verdict.measured,
                limit=verdict.limit,
                passed=verdict.passed,
                margin=verdict.margin,
                output=verdict.output,
                reason=verdict.reason,
            )
            for verdict in outcome.verdicts
        ),
    )


def _layers_report(outcome: JobOutcome, engine: EngineReport | None) -> LayersReport | None:
    layers = outcome.layers
    if layers is None:
        return None
    asked = outcome.planned.job.precision
    rebuilt = outcome.rebuilt.outcome["differences"] if outcome.rebuilt is not None else None
    return LayersReport(
        layers=len(layers.layers),
        path=str(PurePosixPath(engine.path).with_suffix(LAYERS_SUFFIX)) if engine and engine.path else None,
        granted_share=audit_precision(layers, asked).share if asked in AUDITED else None,
        shares=precision_shares(layers.layers),
        tactics="" if rebuilt is None else f"{len(rebuilt)} layers differ" if rebuilt else "the same",
    )


def _failure_report(error: PipelineError, log: Log | None) -> FailureReport:
    return FailureReport(
        kind=KINDS.get(error.exit_code, "unknown"),
        exit_code=error.exit_code,
        what=f"{error.where}: {error.what}" if error.where else error.what,
        why=error.why,
        fix=error.fix,
        log_tail=log.tail if log else (),
        log=log.path if log else None,
    )
