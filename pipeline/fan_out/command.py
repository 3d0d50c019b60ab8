"""``plan --matrix``: settles what is cached, and prints what runners must do."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.delivery.announce import warned
from pipeline.delivery.assemble import report_from_outcomes
from pipeline.delivery.assemble_details import details_from_outcomes
from pipeline.delivery.deliver import LOGS, deliver_engine, deliver_report, forget_report
from pipeline.delivery.unbegun import unbegun_told
from pipeline.errors import PublishError
from pipeline.fan_out.matrix import batches_from_jobs, github_matrix, gitlab_pipeline
from pipeline.fan_out.settled import settled_or_planned
from pipeline.outcome.base_branch import keep_baselines, load_base
from pipeline.outcome.job import JobOutcome, run_exit_code
from pipeline.paths import OutsideFolderError
from pipeline.publish.details import Details
from pipeline.publish.escape import one_line
from pipeline.publish.github import write_outputs
from pipeline.publish.json_output import json_text
from pipeline.publish.progress import Progress
from pipeline.run import open_context, survey_jobs
from pipeline.stores import trusted_store_from_settings

if TYPE_CHECKING:
    import threading

    from pipeline.publish.report import Report
    from pipeline.settings import Settings

HOSTS = {"github": github_matrix, "gitlab": gitlab_pipeline}


def plan_matrix(settings: Settings, cancel: threading.Event, host: str) -> int:
    """Print the matrix for ``host``; write cached engines and their report to the output folder.

    Returns 0 also where a cached job fails its verdict, which is in the report: the report over all parts decides.
    An error that leaves no matrix is in the report too, and raised: ``ManifestError``, ``ModelError`` and the like,
    ``SettingsError`` where a job has no runner, and ``PublishError`` where the output folder cannot be written.
    """
    started, clock = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), time.monotonic()
    forget_report(settings.out)

    def tell(report: Report) -> None:
        with warned():
            deliver_report(settings.out, report, Details())

    with (
        unbegun_told(settings.manifest, tell),
        Progress(sys.stderr) as progress,
        open_context(settings, cancel, progress, settings.out / LOGS) as context,
    ):
        manifest, jobs, models = survey_jobs(context)
        recipes = replace(context.recipes, workshop=context.workshop.cached_only())
        trusted = trusted_store_from_settings(settings, cancel)
        base = load_base(settings, trusted, manifest, jobs)
        found = [settled_or_planned(job, models[job.model.name], recipes, base.judging(job.id)) for job in jobs]
        settled = tuple(each for each in found if isinstance(each, JobOutcome))
        batches = batches_from_jobs(
            (each for each in found if not isinstance(each, JobOutcome)), dict(manifest.runners)
        )
        try:
            engines = {
                each.planned.job.id: engine
                for each in settled
                if (engine := deliver_engine(settings.out, each, models[each.planned.job.model.name], recipes))
            }
        except (OSError, OutsideFolderError) as error:
            raise PublishError(
                "a cached engine could not be written", why=str(error), fix=f"check {settings.out} and its space"
            ) from error
    if settled:
        report = report_from_outcomes(
            settled,
            manifest=settings.manifest,
            engines=engines,
            logs={},
            runtimes=recipes.runtimes,
            started=started,
            elapsed_s=time.monotonic() - clock,
            exit_code=run_exit_code(settled, require_all=False),
            notes=(*context.trouble, *base.notes),
        )
        details = details_from_outcomes(settled, report, base, recipes.workshop.gpu_time, settings)
        # A branch that changes limits alone builds nothing, and still must leave what it is judged by from now on.
        notes = keep_baselines(settings, trusted, report, manifest, jobs)
        deliver_report(settings.out, replace(report, notes=(*report.notes, *notes)), details)
    matrix = json_text(HOSTS[host](batches))
    print(matrix)
    for batch in batches:
        for planned in batch.jobs:
            print(one_line(f"{planned.job.id}: {planned.reason}"), file=sys.stderr)
    print(f"jobs: {len(settled)} settled from the cache, {len(found) - len(settled)} for runners", file=sys.stderr)
    if settings.step_outputs is not None:
        write_outputs(settings.step_outputs, {"matrix": matrix, "needed": str(bool(batches)).lower()})
    return 0
