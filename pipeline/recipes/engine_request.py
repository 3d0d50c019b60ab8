"""What a job's engine is built from, and which GPUs of this machine may build and run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.build.request import BuildRequest, request_to_json
from pipeline.machine.devices import gpus_for_target
from pipeline.precision import Precision
from pipeline.recipes.model import given_table, model_file, table_of
from pipeline.runtimes import effective_refit, effective_typing, effective_verbosity, run_hindrance
from pipeline.targets import TENSORRT
from pipeline.tensorrt_versions import refuse_lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.artefacts.recipe import Artefact, Recipe
    from pipeline.machine.devices import GpuDevice
    from pipeline.planning.plan import Job
    from pipeline.planning.survey import SurveyedModel
    from pipeline.recipes.model import Recipes


def job_table(job: Job, model: SurveyedModel, recipes: Recipes) -> Recipe | None:
    """The calibration table of a quantized job that this machine can build; ``None`` where the team gives it."""
    build, version, gpus = model.spec.build, recipes.runtimes[job.target.runtime], gpus_of(job, recipes)
    weak = effective_typing(job.target, build, version) == "weak"
    return recipes.table(model, native=weak and takes_table(job), gpus=gpus)


def takes_table(job: Job) -> bool:
    """Whether the builder is to take the ranges of INT8 from a calibration table."""
    return job.target.runtime == TENSORRT and job.model.build.int8 == "implicit" and job.precision.quantized


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """What a job's engine is built from: the artefacts, and the builder's request made of them.

    ``typing`` is ``weak`` or ``strong``, ``typed`` the precision that the model itself carries; ``from_table`` says
    whether the builder takes INT8 ranges from a calibration table.
    """

    typing: str
    typed: Precision
    from_table: bool
    sources: Callable[[], tuple[Artefact, ...]]
    request: Callable[[tuple[Artefact, ...]], Mapping[str, Any]]


def engine_request(job: Job, model: SurveyedModel, recipes: Recipes) -> EngineRequest:
    """The sources and the request of a job that this machine can build; the request names no timing cache yet."""
    build, version, gpus = model.spec.build, recipes.runtimes[job.target.runtime], gpus_of(job, recipes)
    typing = effective_typing(job.target, build, version)
    typed = _typed_precision(job.precision, typing, build.int8)
    from_table = typing == "weak" and takes_table(job)
    table = recipes.table(model, native=True, gpus=gpus) if from_table else None

    def sources() -> tuple[Artefact, ...]:
        if job.target.runtime == TENSORRT:
            # Before the calibration, which may take long.
            refuse_lacking(version, build, job.precision, typing)
        wanted = [recipes.prepared(model, typed), *([table] if table is not None else [])]
        return tuple(map(recipes.workshop.obtain, wanted))

    def table_path(sources: tuple[Artefact, ...]) -> Path | None:
        if not from_table:
            return None
        return table_of(sources[1]) if table is not None else given_table(model)

    def request(sources: tuple[Artefact, ...]) -> Mapping[str, Any]:
        return request_to_json(
            BuildRequest(
                runtime=job.target.runtime,
                model=model_file(sources[0]),
                compute_capability=job.target.compute_capability,
                precision=job.precision,
                profiles=model.profiles,
                optimization_level=build.optimization_level,
                workspace_mib=build.workspace_mib,
                sparsity=build.sparsity,
                profiling_verbosity=effective_verbosity(job.target, build),
                typing=typing,
                tactic_sources=build.tactic_sources,
                version_compatible=build.version_compatible,
                hardware_compatibility=build.hardware_compatibility,
                refit=effective_refit(job.target, build, job.precision, version),
                strip_weights=build.strip_weights,
                plugins=build.plugins,
                layer_precisions=build.layer_precisions if typing == "weak" else (),
                calibration_table=table_path(sources),
                keep_tactics=build.deterministic is not None,
                dla_core=build.dla_core,
                gpu_fallback=build.gpu_fallback,
            )
        )

    return EngineRequest(typing=typing, typed=typed, from_table=from_table, sources=sources, request=request)


def gpus_of(job: Job, recipes: Recipes) -> tuple[GpuDevice, ...]:
    """The GPUs of this machine that a job's engine is for; none are needed for TensorRT-RTX."""
    return gpus_for_target(job.target, recipes.gpus) if job.target.runtime == TENSORRT else ()


def gpus_to_run_on(job: Job, recipes: Recipes) -> tuple[GpuDevice, ...]:
    """The GPUs of this machine that a job's engine may be loaded on; none for one that this step never loads."""
    return () if run_hindrance(job.target, job.model.build) else gpus_of(job, recipes)


def _typed_precision(precision: Precision, typing: str, int8: str) -> Precision:
    """The precision that the model itself carries: all of it where typing is strong, else at most Q/DQ nodes."""
    if typing == "strong":
        return precision
    return Precision.INT8 if precision.quantized and int8 == "explicit" else Precision.FP32
