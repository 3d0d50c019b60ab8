"""Engines that are kept and delivered without weights: whatever runs one gets a copy with them, which is not kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.artefacts.recipe import Recipe
from pipeline.build.request import request_from_json, request_to_json
from pipeline.keys import key_from_ingredients

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.artefacts.recipe import Artefact
    from pipeline.plan import Job
    from pipeline.recipes import Recipes
    from pipeline.survey import SurveyedModel

_TIMEOUT_S = 600.0


def engine_with_weights(job: Job, model: SurveyedModel, engine: Artefact, recipes: Recipes) -> tuple[Artefact, ...]:
    """``engine`` with the model's weights put back; none where it has them. It lives as long as the run.

    Raises what the refit raises.
    """
    if not model.spec.build.strip_weights:
        return ()
    return (recipes.workshop.obtain(filling_recipe(job, model, engine, recipes)),)


def runnable_file(engine: Artefact, with_weights: tuple[Artefact, ...]) -> Path:
    """The file that can be run: of what ``engine_with_weights`` gave, else of ``engine`` itself."""
    found = with_weights[0] if with_weights else engine
    return found.files[found.outcome["engine"]]


def filling_recipe(job: Job, model: SurveyedModel, engine: Artefact, recipes: Recipes) -> Recipe:
    """How the weights of a model are put back into its engine."""
    from pipeline.engine_recipes import engine_request, gpus_of

    wanted = engine_request(job, model, recipes)
    file: str = engine.outcome["engine"]

    def request(sources: tuple[Artefact, ...]) -> Mapping[str, Any]:
        asked = request_from_json(wanted.request(sources))
        return {
            "build": {**request_to_json(asked), "strip_weights": False},
            "engine": str(engine.files[file]),
            "weights": None,
            "tactics": None,
            "outcome": {**engine.outcome, "warnings": []},
        }

    return Recipe(
        key=key_from_ingredients("filled", {"engine": str(engine.digest(file)), "model": str(model.digest)}),
        subject=job.id,
        task="refit",
        stage="putting weights into",
        sources=wanted.sources,
        request=request,
        files=lambda outcome: (outcome["engine"],),
        timeout_s=_TIMEOUT_S,
        gpus=gpus_of(job, recipes),
        stored=False,
    )


def sources_with_weights(
    job: Job, model: SurveyedModel, engine: Artefact, recipes: Recipes
) -> Callable[[], tuple[Artefact, ...]]:
    """``engine_with_weights`` as the sources of a recipe."""
    return lambda: engine_with_weights(job, model, engine, recipes)
