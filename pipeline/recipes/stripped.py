"""Engines that are kept and delivered without weights: whatever runs one gets a copy with them, which is not kept."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.artefacts.recipe import Recipe
from pipeline.build.request import request_from_json, request_to_json
from pipeline.digest import Digest
from pipeline.errors import PipelineError
from pipeline.keys import key_from_ingredients
from pipeline.recipes.engine_request import engine_request, gpus_of
from pipeline.recipes.model import model_file, prepared_faults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.artefacts.recipe import Artefact
    from pipeline.cache.answers import Hit
    from pipeline.keys import Key
    from pipeline.planning.plan import Job
    from pipeline.planning.survey import SurveyedModel
    from pipeline.recipes.model import Recipes

_TIMEOUT_S = 600.0
_WEIGHTS = "prepared"


class WeightsGoneError(PipelineError):
    """Nobody has the weights of an engine that was kept without them."""


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


def weights_note(prepared: Key) -> dict[str, str]:
    """What goes into the receipt of an engine without weights, so that whoever has its entry alone finds them."""
    return {_WEIGHTS: str(prepared.digest)}


def entry_with_weights(
    entry: Hit, engine: Artefact, job: Job, model: SurveyedModel, recipes: Recipes
) -> tuple[Artefact, ...]:
    """The engine of ``entry`` with the weights of the model that it was built from; none where it has them.

    ``model`` and ``job`` are those of the change: plugins and target are theirs, the weights are not. Raises
    ``WeightsGoneError``, and what the refit raises.
    """
    if not dict(entry.receipt.key.ingredients).get("build.strip-weights"):
        return ()
    note = _digest_noted(entry)
    found = None if note is None else recipes.workshop.stored("prepared", note)
    prepared = None if found is None else recipes.workshop.earlier(found.receipt, job.id, prepared_faults)
    if prepared is None:
        raise WeightsGoneError(
            "its weights are not here", why="it was kept without them, and the model that has them is not in the cache"
        )
    return (recipes.workshop.obtain(filling_recipe(job, model, engine, recipes, prepared)),)


def _digest_noted(entry: Hit) -> Digest | None:
    """Which prepared model an entry was made of; ``None`` where nothing or nonsense is noted."""
    with contextlib.suppress(ValueError):
        return Digest.parse(str(entry.receipt.metadata.get(_WEIGHTS)))
    return None


def filling_recipe(
    job: Job, model: SurveyedModel, engine: Artefact, recipes: Recipes, prepared: Artefact | None = None
) -> Recipe:
    """How the weights of ``model`` are put back into its engine, or those of ``prepared`` into the engine of that."""
    wanted = engine_request(job, model, recipes)
    file: str = engine.outcome["engine"]
    source = model.digest if prepared is None else prepared.key.digest

    def request(sources: tuple[Artefact, ...]) -> Mapping[str, Any]:
        asked = request_from_json(wanted.request(sources))
        if prepared is not None:
            asked = replace(asked, model=model_file(prepared))
        return {
            "build": {**request_to_json(asked), "strip_weights": False},
            "engine": str(engine.files[file]),
            "weights": None,
            "tactics": None,
            "outcome": {**engine.outcome, "warnings": []},
        }

    return Recipe(
        key=key_from_ingredients("filled", {"engine": str(engine.digest(file)), "model": str(source)}),
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
