"""What the cache alone can settle of a job, on a machine without the job's GPU."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.artefacts.workshop import NotCachedError
from pipeline.cache.answers import Miss
from pipeline.machine.devices import GpuDevice
from pipeline.outcome.job import job_outcome
from pipeline.planning.plan import PlannedJob, State, needs_runner, planned_from_lookup
from pipeline.recipes.engine import engine_recipe, missing_for
from pipeline.recipes.inspection import layers_recipe
from pipeline.recipes.refit import with_outlook
from pipeline.targets import GPUS, TENSORRT

if TYPE_CHECKING:
    from pipeline.cache.answers import CacheLookup
    from pipeline.compare.baseline import JobBaseline
    from pipeline.outcome.job import JobOutcome
    from pipeline.planning.plan import Job
    from pipeline.planning.survey import SurveyedModel
    from pipeline.recipes.model import Recipes
    from pipeline.targets import Target

_DRIVER = "layers.driver"
"""The ingredient of an engine's layers that names the driver of the machine that looked at them."""


def settled_or_planned(
    job: Job, model: SurveyedModel, recipes: Recipes, base: JobBaseline | None = None
) -> JobOutcome | PlannedJob:
    """A cached job with its verdict, or the plan's line of a job that a runner must take.

    A job is settled where the engine and all that is judged of it are cached for a product that its target stands for:
    its accuracy, its layers, its timing, its comparison with ``base``, what the base branch left of it. So limits are
    judged as of now, and nothing that failed there passes here. Engines are fetched for that. ``recipes`` must be those
    of a workshop that makes nothing.
    """
    missing = ""
    waiting: list[tuple[int, PlannedJob]] = []
    for gpus in _assumed(job.target):
        assumed = replace(recipes, gpus=gpus)
        missing = missing_for(job, assumed)
        if missing:
            continue
        recipe = engine_recipe(job, model, assumed)
        lookup = recipes.workshop.look_up(recipe.key, recipe.subject)
        planned = planned_from_lookup(job, lookup)
        if planned.state is not State.CACHED:
            waiting.append((_unlike(lookup), with_outlook(planned, model, assumed, recipe)))
            continue
        outcome = job_outcome(_with_driver(job, model, assumed), planned, model, base)
        if not isinstance(outcome.error, NotCachedError):
            return outcome
        incomplete = PlannedJob(job, State.BUILD, f"its engine is cached, but {outcome.error}", planned.previous_s)
        waiting.append((0, incomplete))
    # Of several products that a runner may have, the one that was built for tells what changed.
    return min(waiting, key=lambda each: each[0])[1] if waiting else needs_runner(job, missing)


def _unlike(lookup: CacheLookup) -> int:
    """In how many ingredients the nearest entry differs; more than any entry can where there is none."""
    return len(lookup.differences) if isinstance(lookup, Miss) and lookup.nearest else sys.maxsize


def _with_driver(job: Job, model: SurveyedModel, recipes: Recipes) -> Recipes:
    """``recipes`` with the driver of the machine that last looked at the job's engine.

    What was measured belongs to a driver, which nobody knows here; the entry of the engine's layers names it.
    """
    with contextlib.suppress(NotCachedError):
        engine = recipes.workshop.obtain(engine_recipe(job, model, recipes))
        layers = layers_recipe(job, model, engine, recipes)
        if layers is not None:
            lookup = recipes.workshop.look_up(layers.key, layers.subject)
            if isinstance(lookup, Miss) and lookup.nearest and {each.name for each in lookup.differences} == {_DRIVER}:
                driver = str(dict(lookup.nearest.key.ingredients)[_DRIVER])
                return replace(recipes, gpus=tuple(replace(gpu, driver=driver) for gpu in recipes.gpus))
    return recipes


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
