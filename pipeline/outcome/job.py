"""What became of one job: its engine, how it was judged, or why it failed."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.artefacts.workshop import NotCachedError
from pipeline.bench.measurement import measurement_from_json
from pipeline.compare.gates import held_to_base
from pipeline.errors import BuildError, CacheError, Cancelled, DeviceError, ModelError, PipelineError
from pipeline.outcome.base_comparison import with_comparison
from pipeline.outcome.judgement import objection_to
from pipeline.planning.data_checks import check_data
from pipeline.planning.plan import State
from pipeline.recipes.bench import benchmark_recipe, original_recipes
from pipeline.recipes.engine import engine_check_recipe, engine_recipe
from pipeline.recipes.engine_request import job_table
from pipeline.recipes.inspection import layers_of, layers_recipe, rebuild_recipe
from pipeline.recipes.recalibration import recalibration_of
from pipeline.runtimes import run_hindrance
from pipeline.targets import TENSORRT
from pipeline.verify.comparison import comparison_from_json
from pipeline.verify.judge import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.artefacts.recipe import Artefact
    from pipeline.bench.measurement import Measurement
    from pipeline.compare.baseline import JobBaseline
    from pipeline.compare.change import Change
    from pipeline.compare.layer_changes import LayerChange
    from pipeline.inspection.layers import EngineLayers
    from pipeline.manifest.types import ModelSpec
    from pipeline.planning.plan import Job, PlannedJob
    from pipeline.planning.survey import SurveyedModel
    from pipeline.recipes.model import Recipes
    from pipeline.recipes.recalibration import Recalibration
    from pipeline.verify.comparison import Comparison
    from pipeline.verify.judge import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutcome:
    """A job after the work. ``engine`` is there whenever one was obtained, also where it was then judged unfit.

    ``layers`` are what the engine is made of, where a GPU could tell; ``rebuilt`` compares a second build's tactics.
    ``recalibration`` says what a retraining did to the calibration table that the engine was made from in this run.
    ``measurement`` says how fast the engine is, ``originals`` how fast the original model is in its frameworks.
    ``base`` is what the base branch left of the job, ``change`` how much slower than that it is, ``cause`` which layers
    changed most. ``error`` says why the job failed; a job for another machine has neither engine nor error.
    """

    planned: PlannedJob
    engine: Artefact | None = None
    comparison: Comparison | None = None
    verdicts: tuple[Verdict, ...] = ()
    layers: EngineLayers | None = None
    rebuilt: Artefact | None = None
    recalibration: Recalibration | None = None
    measurement: Measurement | None = None
    originals: tuple[Measurement, ...] = ()
    base: JobBaseline | None = None
    change: Change | None = None
    cause: tuple[LayerChange, ...] = ()
    error: PipelineError | None = None
    warnings: tuple[str, ...] = ()

    @property
    def fit(self) -> bool:
        """Whether there is an engine, and nothing against it."""
        return self.engine is not None and self.error is None

    @property
    def refitted(self) -> bool:
        """Whether the engine is another one with new weights."""
        return self.engine is not None and "refit" in self.engine.outcome

    @property
    def judged_by(self) -> ModelSpec:
        """The job's model with the limits that judge it: where it loosens any, the base branch's."""
        job = self.planned.job
        return job.model if self.base is None else held_to_base(job, self.base.gates)


def job_outcome(
    recipes: Recipes,
    planned: PlannedJob,
    model: SurveyedModel,
    base: JobBaseline | None = None,
    *,
    leave_engine: bool = False,
) -> JobOutcome:
    """Obtain a job's engine, its accuracy check and its timing, and judge them. Never raises for what befalls one job.

    It is judged by ``base`` too, what the base branch left of it: against its engine, and by its limits. What was found
    before something failed is kept: a slow engine is still an engine whose accuracy is known. With ``leave_engine`` the
    engine of a cached job stays in the cache where nothing has to be done with it.
    """
    outcome = JobOutcome(planned=planned, base=base)
    if planned.state is State.NEEDS_RUNNER:
        return outcome
    if leave_engine and planned.state is State.CACHED:
        light = _judged(outcome, _with_engine, replace(recipes, workshop=recipes.workshop.without_engines()), model)
        if not isinstance(light.error, NotCachedError) and not _wants_build(light):
            return light
    judged = _judged(outcome, _with_engine, recipes, model)
    if not _wants_build(judged):
        return judged
    reason = f"the engine was refitted, and did not pass: {judged.error}"

    def built(outcome: JobOutcome, recipes: Recipes, model: SurveyedModel) -> JobOutcome:
        recipe = engine_recipe(outcome.planned.job, model, recipes)
        return _of_engine(outcome, recipes.workshop.obtain_anew(recipe, _engine(judged), reason))

    again = _judged(outcome, built, recipes, model)
    instead = "built instead" if again.engine is not None else "it could not be built instead"
    return replace(again, warnings=(f"{reason}; {instead}", *again.warnings))


def _wants_build(judged: JobOutcome) -> bool:
    """Whether what speaks against an engine may be its refit's fault.

    No build helps where a GPU or a cache fails, or where the model or its data cannot be used.
    """
    no_fault_of_it = (CacheError, Cancelled, DeviceError, ModelError, NotCachedError)
    return judged.refitted and judged.error is not None and not isinstance(judged.error, no_fault_of_it)


def _judged(
    outcome: JobOutcome,
    with_engine: Callable[[JobOutcome, Recipes, SurveyedModel], JobOutcome],
    recipes: Recipes,
    model: SurveyedModel,
) -> JobOutcome:
    try:
        for stage in (_with_data, with_engine, _with_layers, _with_check, _with_timing, with_comparison):
            outcome = stage(outcome, recipes, model)
        error = objection_to(outcome)
    except PipelineError as raised:
        error = raised
    except OSError as raised:
        error = BuildError(
            f"{outcome.planned.job.id} could not be kept",
            why=str(raised),
            fix="free some space, or check the permissions",
        )
    return replace(outcome, error=error)


def _with_data(outcome: JobOutcome, recipes: Recipes, model: SurveyedModel) -> JobOutcome:
    job = outcome.planned.job
    if outcome.planned.state is State.BUILD:
        # Before a build that may take hours, and whose engine could not be verified or timed. A look at the data that
        # fails itself says nothing of them.
        with contextlib.suppress(BuildError):
            check_data(recipes, {job.model.name: model}, [job])
    return outcome


def _with_engine(outcome: JobOutcome, recipes: Recipes, model: SurveyedModel) -> JobOutcome:
    job = outcome.planned.job
    found = _of_engine(outcome, recipes.workshop.obtain(engine_recipe(job, model, recipes)))
    if found.engine is None or found.engine.cached or not job.precision.quantized:
        return found
    table = job_table(job, model, recipes)
    again = recalibration_of(table, model, recipes.workshop)
    made = recipes.workshop.obtained(table.key) if table is not None and again is not None else None
    return replace(_warned(found, *(made.warnings if made is not None else ())), recalibration=again)


def _of_engine(outcome: JobOutcome, engine: Artefact) -> JobOutcome:
    told = (*engine.warnings, *map(str, engine.outcome.get("warnings", ())))
    return replace(outcome, engine=engine, warnings=told)


def run_exit_code(outcomes: tuple[JobOutcome, ...], *, require_all: bool) -> int:
    """The exit code of a run: cancelled before all else, then the earliest stage that failed, else 0."""
    codes = {outcome.error.exit_code for outcome in outcomes if outcome.error is not None}
    if Cancelled.exit_code in codes:
        return Cancelled.exit_code
    if require_all and any(outcome.planned.state is State.NEEDS_RUNNER for outcome in outcomes):
        codes.add(5)
    return min(codes, default=0)


def _with_layers(outcome: JobOutcome, recipes: Recipes, model: SurveyedModel) -> JobOutcome:
    job, engine = outcome.planned.job, _engine(outcome)
    recipe = layers_recipe(job, model, engine, recipes)
    if recipe is None:
        return _warned(outcome, *_why_not_run(job))
    inspected = recipes.workshop.obtain(recipe)
    told = (*inspected.warnings, *map(str, inspected.outcome.get("warnings", ())))
    outcome = replace(_warned(outcome, *told), layers=layers_of(inspected))
    rebuild = rebuild_recipe(job, model, engine, inspected, recipes)
    if rebuild is None:
        return outcome
    return replace(outcome, rebuilt=recipes.workshop.obtain(rebuild))


def _with_check(outcome: JobOutcome, recipes: Recipes, model: SurveyedModel) -> JobOutcome:
    job, engine = outcome.planned.job, _engine(outcome)
    recipe = engine_check_recipe(job, model, engine, recipes)
    accuracy = outcome.judged_by.accuracy
    if recipe is None or accuracy is None:
        return _warned(outcome, "not verified: the manifest gives no `accuracy` data")
    check = recipes.workshop.obtain(recipe)
    comparison = comparison_from_json(check.outcome)
    verdicts = judge(comparison, accuracy.tolerances, job.precision)
    return replace(_warned(outcome, *check.warnings), comparison=comparison, verdicts=verdicts)


def _with_timing(outcome: JobOutcome, recipes: Recipes, model: SurveyedModel) -> JobOutcome:
    job, engine = outcome.planned.job, _engine(outcome)
    recipe = benchmark_recipe(job, model, engine, recipes)
    if recipe is None:
        return outcome
    timed = recipes.workshop.obtain(recipe)
    measurement = measurement_from_json(dict(timed.outcome))
    outcome = replace(_warned(outcome, *timed.warnings, *measurement.warnings), measurement=measurement)
    for original in original_recipes(job, model, recipes):
        try:
            found = recipes.workshop.obtain(original).outcome["measurements"]
        except ModelError as error:
            # The engine is no worse for it: what it is compared with is missing.
            outcome = _warned(outcome, f"not compared with {original.subject.rpartition('/')[2]}: {error}")
            continue
        measured = tuple(map(measurement_from_json, found))
        told = (text for each in measured for text in each.warnings)
        outcome = replace(_warned(outcome, *told), originals=(*outcome.originals, *measured))
    return outcome


def _why_not_run(job: Job) -> tuple[str, ...]:
    """What to tell of an engine for a GPU that is not inspected or run although the GPU is here."""
    hindrance = run_hindrance(job.target, job.model.build) if job.target.runtime == TENSORRT else ""
    return (
        (f"neither inspected nor run, its prepared model is verified in its place: {hindrance}",) if hindrance else ()
    )


def _engine(outcome: JobOutcome) -> Artefact:
    assert outcome.engine is not None  # noqa: S101  the stages run in order
    return outcome.engine


def _warned(outcome: JobOutcome, *warnings: str) -> JobOutcome:
    return replace(outcome, warnings=(*outcome.warnings, *warnings))
