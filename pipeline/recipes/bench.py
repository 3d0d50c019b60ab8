"""How an engine is timed on its GPU, and the original model beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artefacts.recipe import Recipe
from pipeline.bench.measurement import PYTORCH, measurement_from_json
from pipeline.errors import ManifestError
from pipeline.manifest.node import fault_at
from pipeline.prepare.facts import facts_to_json
from pipeline.recipes.engine_request import gpus_to_run_on
from pipeline.recipes.measurement_keys import benchmark_key, original_key
from pipeline.recipes.stripped import runnable_file, sources_with_weights
from pipeline.record import RecordError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.artefacts.recipe import Artefact
    from pipeline.machine.devices import GpuDevice
    from pipeline.manifest.types import Benchmark
    from pipeline.planning.plan import Job
    from pipeline.planning.survey import SurveyedModel
    from pipeline.recipes.model import Recipes

START_S = 300.0
"""What loading may take beside the seconds that the manifest asks for."""
_PHASES = 10
"""Warm-ups and timed phases of one benchmark, each at most as long as the manifest's seconds, or a warm-up's most."""
_LONGEST_WARMUP_S = 15.0


def benchmark_recipe(job: Job, model: SurveyedModel, engine: Artefact, recipes: Recipes) -> Recipe | None:
    """The timing of a job's engine; ``None`` where nothing is to be timed, or no GPU of the target is here."""
    benchmark, gpus = model.spec.benchmark, gpus_to_run_on(job, recipes)
    if benchmark is None or not gpus:
        return None
    file: str = engine.outcome["engine"]
    settings = benchmark_settings(benchmark, model)
    return Recipe(
        key=benchmark_key(
            engine.digest(file),
            {**settings, "streams": benchmark.streams, "cuda_graph": benchmark.cuda_graph},
            data=model.benchmark_data,
            gpu=gpus[0].name,
            driver=gpus[0].driver,
        ),
        subject=job.id,
        task="benchmark",
        stage="timing",
        sources=sources_with_weights(job, model, engine, recipes),
        request=lambda sources: {
            **benchmark_request(benchmark, model, settings),
            "engine": str(runnable_file(engine, sources)),
            "plugins": [str(path) for path in model.spec.build.plugins],
            "precision": str(job.precision),
            "streams": benchmark.streams,
            "cuda_graph": benchmark.cuda_graph,
        },
        faults=_faults,
        timeout_s=_timeout_s(benchmark),
        gpus=gpus,
    )


def original_recipes(job: Job, model: SurveyedModel, recipes: Recipes) -> tuple[Recipe, ...]:
    """The timing of the original model in each framework that the manifest names, on the job's kind of GPU."""
    benchmark, gpus = model.spec.benchmark, gpus_to_run_on(job, recipes)
    if benchmark is None or not gpus:
        return ()
    return tuple(_original(framework, benchmark, model, gpus, recipes) for framework in benchmark.originals)


def engine_file(engine: Artefact) -> Path:
    """The engine among the files of its artefact."""
    return engine.files[engine.outcome["engine"]]


def benchmark_shapes(model: SurveyedModel) -> dict[str, tuple[int, ...]]:
    """Input name -> the shape to time: the manifest's, else the first fitting profile's ``opt``, else the model's own.

    Raises ``ManifestError`` for an input that the model does not have, or shapes that fit no profile.
    """
    asked = dict(model.spec.benchmark.shapes) if model.spec.benchmark else {}
    names = [tensor.name for tensor in model.facts.inputs]
    unknown = [name for name in asked if name not in names]
    fitting = next((each for each in model.profiles if not unknown and _fits(asked, each)), None)
    if unknown or (asked and fitting is None):
        what = f"has no input {unknown[0]!r}" if unknown else "has no profile that takes all of `benchmark.shapes`"
        place = model.spec.benchmark.location if model.spec.benchmark else model.spec.location
        raise ManifestError((fault_at(place, "benchmark.shapes", f"{model.spec.name} {what}", "correct the shapes"),))
    tuned = {name: shapes.opt for name, shapes in (fitting or {}).items()}
    fixed = {
        tensor.name: tuple(size for size in tensor.shape if isinstance(size, int)) for tensor in model.facts.inputs
    }
    return {name: asked.get(name, tuned.get(name, fixed[name])) for name in names}


def _original(
    framework: str, benchmark: Benchmark, model: SurveyedModel, gpus: tuple[GpuDevice, ...], recipes: Recipes
) -> Recipe:
    settings = benchmark_settings(benchmark, model)
    told = benchmark.pytorch if framework == PYTORCH else None
    source = (
        {"module": told.model, "interpreter": str(told.interpreter), "inputs": list(told.inputs)}
        if told
        else {"version": recipes.tools["onnxruntime"]}
    )
    return Recipe(
        key=original_key(
            model.digest,
            {**settings, "framework": framework, **source},
            data=model.benchmark_data,
            gpu=gpus[0].name,
            driver=gpus[0].driver,
        ),
        subject=f"{model.spec.name}/{framework}",
        task="benchmark-original",
        stage="timing",
        request=lambda _: {
            **benchmark_request(benchmark, model, settings),
            "framework": framework,
            "model": str(model.spec.onnx),
            "pytorch": {
                "model": told.model,
                "interpreter": str(told.interpreter),
                "inputs": list(told.inputs),
                "folder": str(Path(model.spec.location.file).resolve().parent),
            }
            if told
            else None,
        },
        faults=_faults_of_originals,
        unchanged=model.unchanged,
        timeout_s=_timeout_s(benchmark),
        gpus=gpus,
    )


def benchmark_settings(benchmark: Benchmark, model: SurveyedModel) -> dict[str, Any]:
    """What decides the figures of an engine and of an original alike, as JSON."""
    return {
        "shapes": {name: list(shape) for name, shape in benchmark_shapes(model).items()},
        "warmup_s": benchmark.warmup_s,
        "duration_s": benchmark.duration_s,
        "seed": None if benchmark.data else benchmark.seed,
        "items": {"per_inference": benchmark.items.per_inference, "unit": benchmark.items.unit}
        if benchmark.items
        else None,
    }


def benchmark_request(benchmark: Benchmark, model: SurveyedModel, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a child is asked to time, whatever it runs; ``settings`` are those of ``benchmark_settings``."""
    return {
        **settings,
        "inputs": facts_to_json(model.facts)["inputs"],
        "data": str(benchmark.data) if benchmark.data else None,
    }


def _timeout_s(benchmark: Benchmark) -> float:
    longest = max(_LONGEST_WARMUP_S, 3 * benchmark.warmup_s, benchmark.duration_s)
    return START_S + _PHASES * longest


def _fits(asked: Mapping[str, tuple[int, ...]], profile: Mapping[str, Any]) -> bool:
    for name, shape in asked.items():
        shapes = profile.get(name)
        if shapes is None or len(shapes.opt) != len(shape):
            return False
        if not all(low <= size <= high for low, size, high in zip(shapes.min, shape, shapes.max, strict=True)):
            return False
    return True


def _faults(_files: Mapping[str, Path], outcome: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        measurement_from_json(dict(outcome))
    except RecordError as error:
        return (str(error),)
    return ()


def _faults_of_originals(_files: Mapping[str, Path], outcome: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        for each in outcome["measurements"]:
            measurement_from_json(each)
    except (KeyError, TypeError, RecordError) as error:
        return (str(error),)
    return ()
