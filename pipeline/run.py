"""The stages in order: survey, plan, check, obtain, judge, write. No detail of any of them."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.artefacts.workshop import Workshop
from pipeline.cache.content import ContentCache
from pipeline.child.supervisor import run_task
from pipeline.errors import SettingsError
from pipeline.machine.devices import installed_gpus
from pipeline.machine.gpu_lock import GpuPool
from pipeline.machine.installed import installed_runtimes, installed_tools
from pipeline.machine.scratch import scratch_folder
from pipeline.machine.slots import Slots, available_memory_bytes
from pipeline.manifest.load import load_manifest
from pipeline.outcome.job import job_outcome
from pipeline.planning.operators import check_operators
from pipeline.planning.plan import Plan, State, jobs_from_manifest, models_of, needs_runner, planned_from_lookup
from pipeline.planning.survey import survey_models
from pipeline.recipes.engine import engine_recipe, missing_for
from pipeline.recipes.model import Recipes
from pipeline.recipes.refit import with_outlook
from pipeline.stores import (
    expiry_from_settings,
    leases_from_settings,
    store_from_settings,
    timing_caches_from_settings,
)
from pipeline.targets import TENSORRT
from pipeline.time_limits import JobBudget

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pipeline.manifest.types import Manifest
    from pipeline.outcome.base_branch import Base
    from pipeline.outcome.job import JobOutcome
    from pipeline.planning.plan import Job, PlannedJob
    from pipeline.planning.survey import SurveyedModel
    from pipeline.publish.progress import Progress
    from pipeline.settings import Settings

_THREADS = 32
"""Threads that wait for artefacts; ``Slots`` decides how many children work at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What every command works with. Its scratch folder lives as long as the ``with`` block that opened it."""

    settings: Settings
    cancel: threading.Event
    cache: ContentCache
    workshop: Workshop
    recipes: Recipes

    @property
    def trouble(self) -> tuple[str, ...]:
        """What went wrong with the cache in this run, as notes for the report."""
        timing = self.recipes.timing_caches
        return tuple(filter(None, (self.cache.trouble, timing.trouble if timing is not None else "")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A manifest whose models were surveyed and whose jobs were looked up."""

    manifest: Manifest
    models: Mapping[str, SurveyedModel]
    plan: Plan

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The selected jobs."""
        return tuple(entry.job for entry in self.plan.jobs)


@contextlib.contextmanager
def open_context(
    settings: Settings, cancel: threading.Event, progress: Progress, logs: Path | None
) -> Iterator[Context]:
    """Open the cache and a scratch folder.

    Raises ``SettingsError`` where packages are missing or the temporary folder cannot be used.
    """
    tools = installed_tools()
    with contextlib.ExitStack() as held:
        try:
            scratch = held.enter_context(scratch_folder())
        except OSError as error:
            raise SettingsError(
                "the temporary folder cannot be used", why=str(error), fix="make space, or point TMPDIR to another one"
            ) from error
        store = store_from_settings(settings, cancel)
        cache = ContentCache(store, required=settings.cache_required, expiry=expiry_from_settings(settings))
        workshop = Workshop(
            cache=cache,
            scratch=scratch,
            logs=logs or scratch / "logs",
            slots=Slots(settings.workers, available_memory_bytes()),
            gpus=GpuPool(),
            cancel=cancel,
            progress=progress,
            run_task=run_task,
            leases=leases_from_settings(settings, cancel),
        )
        runtimes = installed_runtimes()
        recipes = Recipes(
            workshop=workshop,
            tools=tools,
            runtimes=runtimes,
            gpus=installed_gpus() if TENSORRT in runtimes else (),
            timing_caches=timing_caches_from_settings(settings, scratch / "timing", cancel),
            origin=settings.origin,
        )
        yield Context(settings=settings, cancel=cancel, cache=cache, workshop=workshop, recipes=recipes)


def survey_jobs(context: Context) -> tuple[Manifest, tuple[Job, ...], Mapping[str, SurveyedModel]]:
    """Load the manifest, choose its jobs, survey their models.

    Raises ``ManifestError``, ``ModelError``, and ``SettingsError`` where ``--only`` selects nothing.
    """
    manifest = load_manifest(context.settings.manifest)
    jobs = jobs_from_manifest(manifest, context.settings.only)
    surveyed = survey_models(models_of(jobs), context.workshop, context.recipes.tools)
    return manifest, jobs, {model.spec.name: model for model in surveyed}


def make_plan(context: Context) -> Planned:
    """Survey the jobs' models and look every job up. Raises what ``survey_jobs`` raises."""
    manifest, jobs, models = survey_jobs(context)
    plan = Plan(tuple(_planned(context, job, models[job.model.name]) for job in jobs))
    return Planned(manifest=manifest, models=models, plan=plan)


def _planned(context: Context, job: Job, model: SurveyedModel) -> PlannedJob:
    missing = missing_for(job, context.recipes)
    if missing:
        return needs_runner(job, missing)
    recipe = engine_recipe(job, model, context.recipes)
    planned = planned_from_lookup(job, context.workshop.look_up(recipe.key, recipe.subject))
    return with_outlook(planned, model, context.recipes, recipe)


def carry_out(context: Context, planned: Planned, base: Base) -> tuple[JobOutcome, ...]:
    """Obtain and judge every job that this machine can build; one job's failure leaves the others alone."""
    check_operators(context.recipes, planned.models, (entry.job for entry in planned.plan.with_state(State.BUILD)))
    with ThreadPoolExecutor(_THREADS) as pool:
        futures = [
            pool.submit(
                job_outcome,
                _recipes_of_job(context),
                entry,
                planned.models[entry.job.model.name],
                base.judging(entry.job.id),
                leave_engine=not context.settings.fetch_engines,
            )
            for entry in planned.plan.jobs
        ]
        return tuple(future.result() for future in futures)


def _recipes_of_job(context: Context) -> Recipes:
    budget = JobBudget(context.settings.job_time_limit_s)
    return replace(context.recipes, workshop=context.workshop.within(budget))
