"""What each command does, and what it prints: results on stdout, progress and complaints on stderr."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.delivery.announce import announce
from pipeline.delivery.assemble import report_from_outcomes
from pipeline.delivery.assemble_details import details_from_outcomes
from pipeline.delivery.deliver import LOGS, deliver_engine, forget_report
from pipeline.delivery.failure_logs import logs_from_outcomes
from pipeline.delivery.unbegun import unbegun_told
from pipeline.errors import BuildError, Cancelled, ManifestError, ModelError
from pipeline.manifest.load import load_manifest
from pipeline.outcome.base_branch import Base, keep_baselines, load_base
from pipeline.outcome.job import JobOutcome, run_exit_code
from pipeline.paths import OutsideFolderError
from pipeline.planning.data_checks import check_data
from pipeline.planning.operators import check_operators
from pipeline.planning.plan import PlannedJob, State, jobs_from_manifest
from pipeline.publish.details import Details
from pipeline.publish.job_report import EngineReport, Status
from pipeline.publish.json_output import print_json
from pipeline.publish.progress import Progress
from pipeline.publish.terminal import print_plan, print_report
from pipeline.publish.whole import whole_to_json
from pipeline.run import carry_out, make_plan, open_context
from pipeline.stores import trusted_store_from_settings
from pipeline.time_limits import RunLimit

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from pipeline.cache.store import Store
    from pipeline.planning.plan import Plan
    from pipeline.publish.report import Report
    from pipeline.run import Context, Planned
    from pipeline.settings import Settings


def validate(settings: Settings, cancel: threading.Event, *, as_json: bool) -> int:
    """Check the manifest, its models and its data; nothing is built. JSON is printed of what is wrong too."""
    try:
        return _validate(settings, cancel, as_json=as_json)
    except (ManifestError, ModelError) as error:
        if as_json:
            faults = [asdict(fault) for fault in error.faults]
            print_json({"manifest": str(settings.manifest), "valid": False, "error": str(error), "faults": faults})
        raise


def _validate(settings: Settings, cancel: threading.Event, *, as_json: bool) -> int:
    with Progress(sys.stderr) as progress, open_context(settings, cancel, progress, None) as context:
        planned = make_plan(context)
        check_operators(context.recipes, planned.models, planned.jobs)
        check_data(context.recipes, planned.models, planned.jobs)
    summary = {
        "manifest": str(settings.manifest),
        "valid": True,
        "models": len(planned.models),
        "jobs": [entry.job.id for entry in planned.plan.jobs],
    }
    unseen = {entry.job.target.runtime for entry in planned.plan.jobs} - set(context.recipes.runtimes)
    if as_json:
        print_json(summary | {"operators_not_checked_for": sorted(unseen)})
        return 0
    counts = ((len(planned.models), "model"), (len(planned.plan.jobs), "job"))
    told = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in counts)
    print(f"{settings.manifest}: valid, {told}")
    for runtime in sorted(unseen):
        print(f"not checked: operators, for {runtime}, which is not installed here")
    return 0


def plan(settings: Settings, cancel: threading.Event, *, as_json: bool) -> int:
    """Say what a run would do."""
    with Progress(sys.stderr) as progress, open_context(settings, cancel, progress, None) as context:
        planned = make_plan(context)
    if as_json:
        print_json({"manifest": str(settings.manifest), "jobs": _jobs_from_plan(planned.plan)})
    else:
        print_plan(planned.plan, sys.stdout)
    waiting = planned.plan.with_state(State.NEEDS_RUNNER)
    return 5 if settings.require_all and waiting else 0


def run(settings: Settings, cancel: threading.Event, *, as_json: bool) -> int:
    """Do what the plan says, judge it, and report. Returns the exit code of the report."""
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    clock = time.monotonic()
    limit = RunLimit(cancel, settings.time_limit_s)
    forget_report(settings.out)

    def tell_unbegun(report: Report) -> None:
        details = Details(commit=settings.revision.commit, image=settings.image)
        announce(settings, cancel, report, details)
        if as_json:
            print_json(whole_to_json(report, details))

    with (
        unbegun_told(settings.manifest, tell_unbegun),
        limit.watched(),
        Progress(sys.stderr) as progress,
        open_context(settings, cancel, progress, settings.out / LOGS) as context,
    ):
        trusted = trusted_store_from_settings(settings, cancel)
        work = _worked(context, trusted, as_json=as_json)
    base, engines = work.base, work.engines
    outcomes = tuple(_limited(outcome, limit) for outcome in work.outcomes) if limit.reached else work.outcomes
    report = report_from_outcomes(
        outcomes,
        manifest=settings.manifest,
        engines=engines,
        logs=logs_from_outcomes(settings.out, outcomes),
        runtimes=context.recipes.runtimes,
        started=started,
        elapsed_s=time.monotonic() - clock,
        exit_code=run_exit_code(outcomes, require_all=settings.require_all),
        notes=tuple(filter(None, (*context.trouble, _left_note(engines), *base.notes))),
    )
    details = details_from_outcomes(outcomes, report, base, context.workshop.gpu_time, settings)
    if work.planned is not None:
        notes = keep_baselines(settings, trusted, report, work.planned.manifest, work.planned.jobs)
        report = replace(report, notes=(*report.notes, *notes))
    unpublished = announce(settings, cancel, report, details)
    if as_json:
        print_json(whole_to_json(report, details))
    else:
        print_report(report, sys.stdout, details=details)
    if report.with_status(Status.FAILED):
        from pipeline.hosts.annotations import annotations_from_report

        settings.log.annotate(annotations_from_report(report))
    return report.exit_code or unpublished


@dataclass(frozen=True, slots=True)
class _Work:
    """What a run has done; ``planned`` is ``None`` where it was cancelled before it had a plan."""

    planned: Planned | None
    base: Base
    outcomes: tuple[JobOutcome, ...]
    engines: dict[str, EngineReport]


def _worked(context: Context, trusted: Store | None, *, as_json: bool) -> _Work:
    """Plan, carry out and deliver. Where a run is cancelled before its jobs are begun, all of them are undone."""
    settings, planned, base = context.settings, None, Base()
    try:
        with settings.log.section("Plan"):
            planned = make_plan(context)
            if not as_json:
                print_plan(planned.plan, sys.stdout)
        base = load_base(settings, trusted, planned.manifest, planned.jobs)
        with settings.log.section("Building and checking"):
            outcomes, engines = _delivered(context, planned, carry_out(context, planned, base))
            return _Work(planned, base, outcomes, engines)
    except Cancelled as error:
        jobs = jobs_from_manifest(load_manifest(settings.manifest), settings.only)
        undone = (PlannedJob(job, State.BUILD, "the run ended before it was begun") for job in jobs)
        return _Work(planned, base, tuple(JobOutcome(planned=entry, error=error) for entry in undone), {})


def _limited(outcome: JobOutcome, limit: RunLimit) -> JobOutcome:
    """A job that was cancelled because the run's time was up has failed."""
    if not isinstance(outcome.error, Cancelled):
        return outcome
    error = BuildError(
        f"{outcome.planned.job.id} was not done when the time limit of the run was reached",
        why=f"--time-limit-s is {limit.limit_s:g}",
        fix="raise it, or run again: what is done is kept in the cache",
    )
    return replace(outcome, error=error)


def _delivered(
    context: Context, planned: Planned, outcomes: tuple[JobOutcome, ...]
) -> tuple[tuple[JobOutcome, ...], dict[str, EngineReport]]:
    """Write the engines; a job whose engine cannot be written has failed."""
    final: list[JobOutcome] = []
    engines: dict[str, EngineReport] = {}
    for outcome in outcomes:
        job = outcome.planned.job
        try:
            engine = deliver_engine(context.settings.out, outcome, planned.models[job.model.name], context.recipes)
        except (OSError, OutsideFolderError) as error:
            failure = BuildError(
                f"the engine of {job.id} could not be written",
                why=str(error),
                fix=f"make space, or check the permissions of {context.settings.out}",
            )
            final.append(replace(outcome, error=outcome.error or failure))
            continue
        final.append(outcome)
        if engine is not None:
            engines[job.id] = engine
    return tuple(final), engines


def _left_note(engines: Mapping[str, EngineReport]) -> str:
    left = sum(engine.path is None for engine in engines.values())
    return f"{left} cached engines were left in the cache (fetch: none)" if left else ""


def _jobs_from_plan(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "id": entry.job.id,
            "state": str(entry.state),
            "reason": entry.reason,
            "previous_s": entry.previous_s,
        }
        for entry in plan.jobs
    ]
