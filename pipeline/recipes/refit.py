"""How an engine is made from one of the same structure, by giving that the weights of a retrained model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.artefacts.recipe import SecondTry, Shortcut
from pipeline.build.refit_outcome import NO_REASON, NotRefittableError
from pipeline.cache.answers import Hit, Miss, Off, Rejected
from pipeline.errors import BuildError
from pipeline.planning.plan import State, not_to_be_refitted, to_be_refitted
from pipeline.recipes.ingredients import refit_key
from pipeline.recipes.retraining import entry_before_retraining
from pipeline.runtimes import effective_refit, refit_hindrance
from pipeline.targets import TENSORRT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.artefacts.recipe import Artefact, Recipe
    from pipeline.cache.receipt import Receipt
    from pipeline.errors import PipelineError
    from pipeline.keys import Key
    from pipeline.planning.plan import Job, PlannedJob
    from pipeline.planning.survey import SurveyedModel
    from pipeline.recipes.model import Recipes

REFIT_TIMEOUT_S = 600.0


def kept_for_refits(job: Job, model: SurveyedModel, version: str, engine: Key) -> Key | None:
    """The key under which an engine of a job is found again by its structure; ``None`` where none is kept.

    The ranges of a quantized engine come from its weights, so that other weights would need another engine.
    """
    build = model.spec.build
    if job.precision.quantized or not effective_refit(job.target, build, job.precision, version):
        return None
    # Globs choose nodes by their names, so there names decide what is built.
    return refit_key(engine, model.facts.named_structure if build.layer_precisions else model.facts.structure)


def with_outlook(planned: PlannedJob, model: SurveyedModel, recipes: Recipes, engine: Recipe) -> PlannedJob:
    """``planned`` with what a refit will do for it, or why it can do nothing although the weights alone changed.

    Nobody expects one of TensorRT-RTX, whose builds take a second.
    """
    if planned.state is not State.BUILD or planned.job.target.runtime != TENSORRT:
        return planned
    job, version = planned.job, recipes.runtimes[planned.job.target.runtime]
    kept = kept_for_refits(job, model, version, engine.key)
    built_s = None if kept is None or model.evaluation is None else recipes.workshop.kept_s(kept, job.id)
    if built_s is not None:
        return to_be_refitted(planned, built_s)
    lookup = recipes.workshop.look_up(engine.key, engine.subject)
    before = entry_before_retraining(lookup, model)
    if before is None:
        return planned
    hindrance = _hindrance(job, model, version, before)
    return not_to_be_refitted(planned, f"built although the weights alone changed: {hindrance}")


def _hindrance(job: Job, model: SurveyedModel, version: str, before: Receipt) -> str:
    build = model.spec.build
    if build.refit == "never":
        return "the manifest says `refit: never`"
    if job.precision.quantized or build.refit == "auto":
        hindrance = refit_hindrance(job.target, build, job.precision, version)
        if hindrance:
            return hindrance
    if model.evaluation is None:
        return "there is no `accuracy` data, and a refitted engine is used only after it was verified"
    if before.metadata.get("not_refittable"):
        return f"TensorRT could not build the earlier engine with REFIT: {before.metadata['not_refittable']}"
    return "no refittable engine of the same structure is in the cache"


def build_without_refit(
    job: Job, build_request: Callable[[tuple[Artefact, ...]], Mapping[str, Any]]
) -> Callable[[PipelineError], SecondTry | None]:
    """The second try of a job's build: the same without REFIT, where `auto` alone asked for it and it was the fault.

    The engine keeps its key, which says what was asked; its outcome and receipt say what came of it, and no retrained
    model finds it by its structure.
    """

    def second_try(error: PipelineError) -> SecondTry | None:
        build = job.model.build
        if not isinstance(error, NotRefittableError) or build.refit == "always" or build.strip_weights:
            return None
        return SecondTry(
            stage="building without REFIT",
            request=lambda sources: {**build_request(sources), "refit": False},
            told={"not_refittable": error.why},
            warning=f"built without REFIT, so that every retrained model is built again: {error.what}: {error.why}",
        )

    return second_try


def foreseen_refusal(job: Job, model: SurveyedModel, recipes: Recipes, engine: Key) -> NotRefittableError | None:
    """Why a build with REFIT need not be tried: it failed for the same model with other weights, and was told why.

    What has no kernel with REFIT has none for other weights either. Where the builder said nothing, it is asked again.
    """
    before = entry_before_retraining(recipes.workshop.look_up(engine, job.id), model)
    why = None if before is None else before.metadata.get("not_refittable")
    if not why or why == NO_REASON:
        return None
    return NotRefittableError("TensorRT could not build the engine of the earlier weights with REFIT", why=str(why))


def refit_shortcut(
    model: SurveyedModel,
    kept: Key | None,
    find: Callable[[Key], Artefact | Miss | Rejected | Off],
    build_request: Callable[[tuple[Artefact, ...]], Mapping[str, Any]],
) -> Shortcut | None:
    """The way to a job's engine by a refit of what ``find`` finds under the key ``kept``; ``None`` where there is none.

    Without evaluation data there is none, because nobody would know whether the engine computes the right numbers.
    What is damaged, or was there and is gone, gives a way that fails, so that the report says why it was not taken.
    """
    if kept is None or model.evaluation is None:
        return None
    found = find(kept)
    if isinstance(found, Rejected) or (isinstance(found, Miss) and found.nearest is not None):
        return _failing(found.reason)
    if isinstance(found, Miss | Off) or found.outcome.get("weights_record") is None:
        return None
    assert isinstance(found.lookup, Hit)  # noqa: S101  it was kept by an earlier run
    needed = {found.outcome[name] for name in ("engine", "weights_record", "tactics") if found.outcome.get(name)}
    if not needed <= found.files.keys():
        return _failing("it lacks a file")
    notes = found.lookup.receipt.metadata
    origin = {
        "origin": str(notes.get("engine", kept.digest)),
        "origin_engine": str(found.digest(found.outcome["engine"])),
        "instead_of_s": round(found.made_in_s, 3),
    }

    def request(sources: tuple[Artefact, ...]) -> Mapping[str, Any]:
        tactics = found.outcome.get("tactics")
        return {
            "build": build_request(sources),
            "engine": str(found.files[found.outcome["engine"]]),
            "weights": str(found.files[found.outcome["weights_record"]]),
            "tactics": None if tactics is None else str(found.files[tactics]),
            "outcome": {**found.outcome, "warnings": []},
        }

    return _refitting(request, {"refit": origin})


def _failing(why: str) -> Shortcut:
    def request(sources: tuple[Artefact, ...]) -> Mapping[str, Any]:  # noqa: ARG001
        raise BuildError("the engine to start from cannot be used", why=why)

    return _refitting(request, {})


def _refitting(
    request: Callable[[tuple[Artefact, ...]], Mapping[str, Any]], told: Mapping[str, Mapping[str, Any]]
) -> Shortcut:
    return Shortcut(task="refit", stage="refitting", request=request, told=told, timeout_s=REFIT_TIMEOUT_S)
