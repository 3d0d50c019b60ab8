"""A job's engine against the base branch's: timed in turn on one GPU where that can be, else by stored figures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.artefacts.recipe import Recipe
from pipeline.artefacts.workshop import NotCachedError
from pipeline.bench.measurement import measurement_from_json
from pipeline.compare.change import Change, Verdict, change_from_stored, change_of_same_engine
from pipeline.compare.in_turn import change_in_turn
from pipeline.compare.layer_changes import layer_changes
from pipeline.compare.measured import samples_from_measurement
from pipeline.compare.schedule import Side
from pipeline.digest import digest_from_file
from pipeline.errors import BuildError, Cancelled, PipelineError
from pipeline.recipes.bench import START_S, benchmark_request, benchmark_settings, engine_file
from pipeline.recipes.engine_request import gpus_to_run_on
from pipeline.recipes.inspection import layers_of, layers_recipe
from pipeline.recipes.measurement_keys import comparison_key
from pipeline.recipes.stripped import engine_with_weights, entry_with_weights, runnable_file
from pipeline.record import RecordError, json_from_record, record_from_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.artefacts.recipe import Artefact
    from pipeline.bench.measurement import Measurement
    from pipeline.cache.answers import Hit
    from pipeline.child.children import Child
    from pipeline.compare.baseline import JobBaseline
    from pipeline.outcome.job import JobOutcome
    from pipeline.planning.survey import SurveyedModel
    from pipeline.recipes.model import Recipes

_WARMUP_S, _DURATION_S = 0.5, 1.0
"""Of each process. What differs between processes stays, however long each of them measures."""
_SAME_MACHINE = {"platform", "runtime", "runtime.version", "target.compute-capability", "target.gpu"}
"""The ingredients of an engine that decide where it can be run."""


class NotComparableError(PipelineError):
    """The base branch's engine cannot be timed here."""


def with_comparison(outcome: JobOutcome, recipes: Recipes, model: SurveyedModel) -> JobOutcome:
    """``outcome`` with what can be said of its engine against the base branch's, and why where that is slower.

    The base branch's own engine, known by its key, is not timed again. Raises what ends the job: ``Cancelled``, and
    ``NotCachedError`` of a workshop that makes nothing.
    """
    base, engine = outcome.base, outcome.engine
    if base is None or engine is None:
        return outcome
    if engine.key.digest == base.engine_key:
        return replace(outcome, change=change_of_same_engine())
    if outcome.measurement is None:
        return outcome
    try:
        return _timed_in_turn(outcome, engine, base, recipes, model)
    except (Cancelled, NotCachedError):
        raise
    except PipelineError as error:
        return _by_stored_figures(outcome, base, error)


def comparison_recipe(outcome: JobOutcome, entry: Hit, model: SurveyedModel, recipes: Recipes) -> Recipe:
    """The timing of an engine and the base branch's in turn, of a job that was timed here and has a base.

    ``entry`` is the cache's of the base branch's engine; its files are fetched where they must be timed, and engines
    without weights are given them back.
    """
    job, engine, base, benchmark = outcome.planned.job, outcome.engine, outcome.base, model.spec.benchmark
    assert engine is not None and base is not None and benchmark is not None  # noqa: S101, PT018  see above
    gpus = gpus_to_run_on(job, recipes)
    settings = {**benchmark_settings(benchmark, model), "warmup_s": _WARMUP_S, "duration_s": _DURATION_S}
    budget_percent = outcome.judged_by.budgets.regression_percent
    digest = engine.digest(engine.outcome["engine"])

    def request(sources: tuple[Artefact, ...]) -> Mapping[str, Any]:
        shared = {
            **benchmark_request(benchmark, model, settings),
            "plugins": [str(path) for path in model.spec.build.plugins],
            "precision": str(job.precision),
            "streams": 1,
            "cuda_graph": benchmark.cuda_graph,
            "compute_only": True,
        }
        files = {Side.BASE: engine_file(sources[0]), Side.HEAD: runnable_file(engine, sources[1:])}
        return {str(side): {**shared, "engine": str(file)} for side, file in files.items()}

    def sources() -> tuple[Artefact, ...]:
        # Whoever writes to the cache may name other weights than the base branch's; they decide no kernel, and time.
        before = _base_engine(entry, base, engine, recipes)
        filled = entry_with_weights(entry, before, job, model, recipes)
        return (*(filled or (before,)), *engine_with_weights(job, model, engine, recipes))

    def in_turn(requests: Mapping[str, Any], child: Child) -> dict[str, Any]:
        change, blocks = change_in_turn(
            lambda side: _measured(child(requests[str(side)])), budget_percent, seed=int(digest.hex[:8], 16)
        )
        typical_ms = {
            str(side): [round(block.samples.typical_ms, 6) for block in blocks if block.side is side] for side in Side
        }
        return {"change": json_from_record(change), "typical_ms": typical_ms}

    return Recipe(
        key=comparison_key(
            base.engine_digest,
            digest,
            {**settings, "cuda_graph": benchmark.cuda_graph},
            budget_percent=budget_percent,
            data=model.benchmark_data,
            gpu=gpus[0].name,
            driver=gpus[0].driver,
        ),
        subject=job.id,
        task="benchmark",
        stage="comparing",
        sources=sources,
        request=request,
        in_turn=in_turn,
        faults=_faults,
        timeout_s=START_S,
        gpus=gpus,
    )


def _timed_in_turn(
    outcome: JobOutcome, engine: Artefact, base: JobBaseline, recipes: Recipes, model: SurveyedModel
) -> JobOutcome:
    entry = _entry(engine, base, recipes)
    timed = recipes.workshop.obtain(comparison_recipe(outcome, entry, model, recipes))
    change = _change_of(timed.outcome)
    outcome = replace(outcome, change=change, warnings=(*outcome.warnings, *timed.warnings))
    if change.verdict is not Verdict.SLOWER or outcome.layers is None:
        return outcome
    job, before = outcome.planned.job, recipes.workshop.fetched(entry)
    recipe = layers_recipe(job, model, before, recipes)
    if recipe is None:
        return outcome
    recipe = replace(recipe, sources=lambda: entry_with_weights(entry, before, job, model, recipes))
    return replace(outcome, cause=layer_changes(layers_of(recipes.workshop.obtain(recipe)), outcome.layers))


def _by_stored_figures(outcome: JobOutcome, base: JobBaseline, error: PipelineError) -> JobOutcome:
    told = (*outcome.warnings, f"not timed in turn with the base branch's engine, so nothing is judged by it: {error}")
    before_ms = base.figures.latency_p50_ms
    if not before_ms or outcome.measurement is None:
        return replace(outcome, warnings=told)
    now_ms = outcome.measurement.compute.p50_ms
    change = change_from_stored(before_ms, now_ms, outcome.judged_by.budgets.regression_percent)
    return replace(outcome, change=change, warnings=told)


def _entry(engine: Artefact, base: JobBaseline, recipes: Recipes) -> Hit:
    """The cache's entry of the base branch's engine. Raises ``NotComparableError`` where it is of no use here.

    The bytes must be those that the base branch named: a pull request can write entries of its own.
    """
    entry = recipes.workshop.stored(engine.key.kind, base.engine_key)
    if entry is None or all(blob.digest != base.engine_digest for blob in entry.receipt.blobs):
        raise NotComparableError("it is not in the cache any more", fix="run the base branch again")
    other = [each for each in engine.key.differences(entry.receipt.key) if each.name in _SAME_MACHINE]
    if other:
        raise NotComparableError("it cannot be run as this one is", why=", ".join(map(str, other)))
    return entry


def _base_engine(entry: Hit, base: JobBaseline, engine: Artefact, recipes: Recipes) -> Artefact:
    """The base branch's engine, fetched, with the same inputs as ``engine``. Raises ``NotComparableError``."""
    fetched = recipes.workshop.fetched(entry)
    if digest_from_file(engine_file(fetched)) != base.engine_digest:
        raise NotComparableError("its entry in the cache is of another engine", fix="run the base branch again")
    before, now = ({each["name"]: each["dtype"] for each in made.outcome["inputs"]} for made in (fetched, engine))
    if before != now:
        raise NotComparableError("it takes other inputs", why=f"{_listed(before)} instead of {_listed(now)}")
    return fetched


def _measured(answer: Mapping[str, Any]) -> Measurement:
    """What one child timed. Raises ``BuildError`` for an answer without samples."""
    try:
        measurement = measurement_from_json(dict(answer))
        samples_from_measurement(measurement)
    except ValueError as error:
        raise BuildError("a timing gave an answer that cannot be used", why=str(error)) from error
    return measurement


def _listed(inputs: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({dtype})" for name, dtype in inputs.items())


def _change_of(outcome: Mapping[str, Any]) -> Change:
    return record_from_json(Change, outcome["change"])


def _faults(_files: Mapping[str, Path], outcome: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        _change_of(outcome)
    except (KeyError, RecordError) as error:
        return (f"its change cannot be read: {error}",)
    return ()
