"""How an engine's layers are learned, and how a build is repeated, both on the engine's GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.artefacts.recipe import Recipe
from pipeline.inspection.layers import layers_from_json
from pipeline.recipes.engine_request import engine_request, gpus_to_run_on
from pipeline.recipes.measurement_keys import layers_key, rebuild_key
from pipeline.recipes.model import memory_bytes
from pipeline.recipes.stripped import runnable_file, sources_with_weights
from pipeline.strict_json import strict_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.artefacts.recipe import Artefact
    from pipeline.inspection.layers import EngineLayers
    from pipeline.planning.plan import Job
    from pipeline.planning.survey import SurveyedModel
    from pipeline.recipes.model import Recipes

_INSPECT_TIMEOUT_S = 600.0


def layers_recipe(job: Job, model: SurveyedModel, engine: Artefact, recipes: Recipes) -> Recipe | None:
    """The layers of a job's engine with their times; ``None`` where it cannot be loaded here."""
    gpus = gpus_to_run_on(job, recipes)
    if not gpus:
        return None
    file: str = engine.outcome["engine"]
    return Recipe(
        key=layers_key(engine.digest(file), gpu=gpus[0].name, driver=gpus[0].driver),
        subject=job.id,
        task="inspect-engine",
        stage="inspecting",
        sources=sources_with_weights(job, model, engine, recipes),
        request=lambda sources: {
            "engine": str(runnable_file(engine, sources)),
            "plugins": [str(path) for path in model.spec.build.plugins],
            "profile": True,
        },
        files=lambda outcome: (outcome["layers"],),
        faults=_faults,
        timeout_s=_INSPECT_TIMEOUT_S,
        memory_bytes=memory_bytes(model),
        gpus=gpus,
    )


def rebuild_recipe(
    job: Job, model: SurveyedModel, engine: Artefact, layers: Artefact, recipes: Recipes
) -> Recipe | None:
    """A second build of a job's engine from the tactics that were kept with it; ``None`` where none is asked for."""
    gpus, build = gpus_to_run_on(job, recipes), model.spec.build
    if not gpus or build.deterministic != "verify":
        return None
    file, tactics = (str(engine.outcome[name]) for name in ("engine", "tactics"))
    wanted = engine_request(job, model, recipes)
    plain = {"refit": False} if engine.outcome.get("not_refittable") else {}
    return Recipe(
        key=rebuild_key(engine.digest(file), engine.digest(tactics)),
        subject=job.id,
        task="rebuild",
        stage="rebuilding",
        sources=wanted.sources,
        request=lambda sources: {
            "build": {
                **wanted.request(sources),
                **plain,
                "keep_tactics": False,
                "timing_cache": str(engine.files[tactics]),
            },
            "layers": str(layers_file(layers)),
        },
        timeout_s=build.timeout_s,
        memory_bytes=memory_bytes(model),
        gpus=gpus,
    )


def layers_file(layers: Artefact) -> Path:
    """The layers among an artefact's files."""
    return layers.files[layers.outcome["layers"]]


def layers_of(layers: Artefact) -> EngineLayers:
    """The layers of an artefact, which were checked when it was fetched or made."""
    return layers_from_json(strict_json(layers_file(layers).read_bytes()))


def _faults(files: Mapping[str, Path], outcome: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        layers_from_json(strict_json(files[outcome["layers"]].read_bytes()))
    except (KeyError, ValueError) as error:
        return (f"its layers cannot be read: {error}",)
    return ()
