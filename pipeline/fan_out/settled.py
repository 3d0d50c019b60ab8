"""What the cache alone can settle of a job, on a machine without the job's GPU."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.artefacts import NotCachedError
from pipeline.devices import GpuDevice
from pipeline.engine_recipes import engine_recipe, missing_for
from pipeline.outcome import job_outcome
from pipeline.plan import PlannedJob, State, needs_runner, planned_from_lookup
from pipeline.targets import GPUS, TENSORRT

if TYPE_CHECKING:
    from pipeline.outcome import JobOutcome
    from pipeline.plan import Job
    from pipeline.recipes import Recipes
    from pipeline.survey import SurveyedModel
    from pipeline.targets import Target

_NOT_TIMED = "not timed: it comes from the cache, and its GPU is not here"


def settled_or_planned(job: Job, model: SurveyedModel, recipes: Recipes) -> JobOutcome | PlannedJob:
    """A cached job with its verdict, or the plan's line of a job that a runner must take.

    A job is settled where the engine and its accuracy check are cached for a product that its target stands for, so
    that tolerances and budgets of size are judged as of now. Engines are fetched for that, and timed no more: a timing
    belongs to a driver, which only the runner knows. ``recipes`` must be those of a workshop that makes nothing.
    """
    missing = ""
    waiting: PlannedJob | None = None
    for gpus in _assumed(job.target):
        assumed = replace(recipes, gpus=gpus)
        missing = missing_for(job, assumed)
        if missing:
            continue
        recipe = engine_recipe(job, model, assumed)
        planned = planned_from_lookup(job, recipes.workshop.look_up(recipe.key, recipe.subject))
        if planned.state is not State.CACHED:
            waiting = waiting or planned
            continue
        outcome = _judged(planned, model, assumed)
        if not isinstance(outcome.error, NotCachedError):
            return outcome
        waiting = waiting or PlannedJob(job, State.BUILD, "cached, but not its accuracy check", planned.previous_s)
    return waiting or needs_runner(job, missing)


def _assumed(target: Target) -> tuple[tuple[GpuDevice, ...], ...]:
    """The GPUs that a runner for ``target`` may have, one of each product; none are needed for TensorRT-RTX."""
    if target.runtime != TENSORRT:
        return ((),)
    kinds = (
        [GPUS[target.gpu]]
        if target.gpu
        else [gpu for gpu in GPUS.values() if gpu.compute_capability == target.compute_capability]
    )
    products = dict.fromkeys(product for gpu in kinds for product in gpu.products)
    return tuple((_device(product, target.compute_capability),) for product in products) or ((),)


def _device(product: str, compute_capability: tuple[int, int]) -> GpuDevice:
    return GpuDevice(uuid="", name=product, compute_capability=compute_capability, memory_bytes=0, driver="", cuda="")


def _judged(planned: PlannedJob, model: SurveyedModel, recipes: Recipes) -> JobOutcome:
    timed = model.spec.benchmark is not None
    spec = replace(model.spec, benchmark=None)
    job = replace(planned.job, model=spec)
    outcome = job_outcome(recipes, replace(planned, job=job), replace(model, spec=spec))
    return replace(outcome, warnings=(*outcome.warnings, _NOT_TIMED)) if timed else outcome
