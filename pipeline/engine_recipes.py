"""How an engine is made from a typed model, and what is learned of it on its GPU."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.artefacts.recipe import Recipe
from pipeline.build.plan_header import PLAN_HEADER_BYTES, header_faults, read_plan_header
from pipeline.build.request import BuildRequest, outcome_from_json, request_to_json
from pipeline.devices import gpus_for_target
from pipeline.digest import digest_from_file
from pipeline.ingredients import engine_key
from pipeline.measurement_keys import engine_check_key
from pipeline.precision import Precision
from pipeline.provenance.materials import statement_of_engine
from pipeline.provenance.statement import bytes_from_statement
from pipeline.recipes import (
    CHECK_BATCH_SIZE,
    CHECK_TIMEOUT_S,
    comparison_faults,
    given_table,
    memory_bytes,
    model_file,
    table_of,
)
from pipeline.refit_recipes import build_without_refit, foreseen_refusal, kept_for_refits, refit_shortcut
from pipeline.retraining import structure_notes
from pipeline.runtimes import effective_refit, effective_typing, effective_verbosity, run_hindrance
from pipeline.stripped import runnable_file, sources_with_weights, weights_note
from pipeline.targets import TENSORRT
from pipeline.tensorrt_versions import refuse_lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.artefacts.recipe import Artefact
    from pipeline.devices import GpuDevice
    from pipeline.plan import Job
    from pipeline.recipes import Recipes
    from pipeline.survey import SurveyedModel

PLATFORM = f"{platform.system()}-{platform.machine()}".lower()


def missing_for(job: Job, recipes: Recipes) -> str:
    """What this machine lacks for a job; empty where it can build it."""
    runtime = job.target.runtime
    product = job.target.gpu.upper() if job.target.gpu else f"compute capability {job.target.sm}"
    if runtime not in recipes.runtimes or (runtime == TENSORRT and not gpus_of(job, recipes)):
        return f"needs a runner with {product} and {runtime}"
    if takes_table(job) and effective_typing(job.target, job.model.build, recipes.runtimes[runtime]) == "strong":
        return f"needs a runner with {product} and {runtime} up to 10, since later versions have no `int8: implicit`"
    return ""


def job_table(job: Job, model: SurveyedModel, recipes: Recipes) -> Recipe | None:
    """The calibration table of a quantized job that this machine can build; ``None`` where the team gives it."""
    build, version, gpus = model.spec.build, recipes.runtimes[job.target.runtime], gpus_of(job, recipes)
    weak = effective_typing(job.target, build, version) == "weak"
    return recipes.table(model, native=weak and takes_table(job), gpus=gpus)


def takes_table(job: Job) -> bool:
    """Whether the builder is to take the ranges of INT8 from a calibration table."""
    return job.target.runtime == TENSORRT and job.model.build.int8 == "implicit" and job.precision.quantized


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What a job's engine is built from: the artefacts, and the builder's request made of them."""

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

    return EngineRequest(sources, request)


def engine_recipe(job: Job, model: SurveyedModel, recipes: Recipes) -> Recipe:
    """The engine of a job that this machine can build."""
    build, version, gpus = model.spec.build, recipes.runtimes[job.target.runtime], gpus_of(job, recipes)
    typing = effective_typing(job.target, build, version)
    typed = _typed_precision(job.precision, typing, build.int8)
    from_table = typing == "weak" and takes_table(job)
    wanted = engine_request(job, model, recipes)
    timing = recipes.timing_caches.of(version, gpus[0]) if recipes.timing_caches is not None and gpus else None

    def request(sources: tuple[Artefact, ...]) -> Mapping[str, Any]:
        return {**wanted.request(sources), "timing_cache": None if timing is None else str(timing.folder())}

    def keep(folder: Path, gpu: GpuDevice) -> None:
        if timing is not None:
            timing.keep(folder, gpu.uuid)

    def faults(files: Mapping[str, Path], outcome: Mapping[str, Any]) -> tuple[str, ...]:
        told = outcome_from_json(outcome)
        path = files[told.engine]
        if path.stat().st_size != told.size_bytes:
            return (f"it has {path.stat().st_size} bytes, and was said to have {told.size_bytes}",)
        with path.open("rb") as file:
            header = read_plan_header(file.read(PLAN_HEADER_BYTES))
        return header_faults(
            header,
            size_bytes=path.stat().st_size,
            runtime=job.target.runtime,
            version=version,
            compute_capability=job.target.compute_capability,
        )

    key = engine_key(
        {
            **recipes.prepared_from(model, typed),
            **(recipes.table_ingredients(model, native=from_table) if job.precision.quantized else {}),
        },
        job.target,
        job.precision,
        build,
        model.profiles,
        platform=PLATFORM,
        runtime_version=version,
        typing=typing,
        gpu=gpus[0].name_for(job.target) if gpus else None,
        plugins=tuple(map(digest_from_file, build.plugins)),
    )
    kept = kept_for_refits(job, model, version, key)

    def attest(files: Mapping[str, Path], outcome: Mapping[str, Any], elapsed_s: float) -> bytes:
        told = outcome_from_json(outcome)
        statement = statement_of_engine(
            job, model, key, recipes.origin, engine=files[told.engine], elapsed_s=elapsed_s, refit=told.refit
        )
        return bytes_from_statement(statement)

    return Recipe(
        key=key,
        subject=job.id,
        task="build",
        stage="building",
        request=request,
        sources=wanted.sources,
        files=lambda outcome: tuple(filter(None, map(outcome.get, ("engine", "tactics", "weights_record")))),
        faults=faults,
        keep=keep,
        timeout_s=build.timeout_s,
        memory_bytes=memory_bytes(model),
        gpus=gpus,
        expensive=True,
        shortcut=lambda: refit_shortcut(
            model, kept, lambda key: recipes.workshop.kept(key, job.id, faults), wanted.request
        ),
        second_try=build_without_refit(job, request),
        foreseen=lambda: foreseen_refusal(job, model, recipes, key),
        also=lambda outcome: (kept,) if kept is not None and outcome.get("weights_record") else (),
        notes={
            **structure_notes(model),
            **(weights_note(recipes.prepared(model, typed).key) if build.strip_weights else {}),
        },
        attest=attest,
    )


def engine_check_recipe(job: Job, model: SurveyedModel, engine: Artefact, recipes: Recipes) -> Recipe | None:
    """The comparison of a job's engine with the original model, or of its typed model where the engine is not run.

    ``None`` for a model without evaluation data.
    """
    accuracy, gpus = model.spec.accuracy, gpus_to_run_on(job, recipes)
    if accuracy is None or model.evaluation is None:
        return None
    if not gpus:
        return recipes.check(model, job.precision)
    file: str = engine.outcome["engine"]
    data, labels = model.evaluation
    return Recipe(
        key=engine_check_key(
            engine.digest(file), model.digest, data, labels, samples=accuracy.samples, tools=recipes.tools
        ),
        subject=job.id,
        task="verify-engine",
        stage="verifying",
        sources=sources_with_weights(job, model, engine, recipes),
        request=lambda sources: {
            "engine": str(runnable_file(engine, sources)),
            "plugins": [str(path) for path in model.spec.build.plugins],
            "reference": str(model.spec.onnx),
            "data": str(accuracy.data),
            "labels": str(accuracy.labels) if accuracy.labels else None,
            "samples": accuracy.samples,
            "batch_size": CHECK_BATCH_SIZE,
        },
        faults=comparison_faults,
        unchanged=model.unchanged,
        timeout_s=CHECK_TIMEOUT_S,
        memory_bytes=memory_bytes(model),
        gpus=gpus,
    )


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
