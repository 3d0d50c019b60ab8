"""How an engine is made from a typed model, and what is learned of it on its GPU."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from pipeline.artefacts.recipe import Recipe
from pipeline.build.plan_header import PLAN_HEADER_BYTES, header_faults, read_plan_header
from pipeline.build.request import outcome_from_json
from pipeline.digest import digest_from_file
from pipeline.provenance.materials import statement_of_engine
from pipeline.provenance.statement import bytes_from_statement
from pipeline.recipes.engine_request import engine_request, gpus_of, gpus_to_run_on, takes_table
from pipeline.recipes.ingredients import engine_key
from pipeline.recipes.measurement_keys import engine_check_key
from pipeline.recipes.model import (
    CHECK_BATCH_SIZE,
    CHECK_TIMEOUT_S,
    comparison_faults,
    memory_bytes,
)
from pipeline.recipes.refit import build_without_refit, foreseen_refusal, kept_for_refits, refit_shortcut
from pipeline.recipes.retraining import structure_notes
from pipeline.recipes.stripped import runnable_file, sources_with_weights, weights_note
from pipeline.runtimes import effective_typing
from pipeline.targets import TENSORRT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.artefacts.recipe import Artefact
    from pipeline.machine.devices import GpuDevice
    from pipeline.planning.plan import Job
    from pipeline.planning.survey import SurveyedModel
    from pipeline.recipes.model import Recipes

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


def engine_recipe(job: Job, model: SurveyedModel, recipes: Recipes) -> Recipe:
    """The engine of a job that this machine can build."""
    build, version, gpus = model.spec.build, recipes.runtimes[job.target.runtime], gpus_of(job, recipes)
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
            **recipes.prepared_from(model, wanted.typed),
            **(recipes.table_ingredients(model, native=wanted.from_table) if job.precision.quantized else {}),
        },
        job.target,
        job.precision,
        build,
        model.profiles,
        platform=PLATFORM,
        runtime_version=version,
        typing=wanted.typing,
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
            **(weights_note(recipes.prepared(model, wanted.typed).key) if build.strip_weights else {}),
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
            "precision": str(job.precision),
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
