"""What became of one job: its engine, how it was judged, or why it failed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.bench.measurement import measurement_from_json
from pipeline.bench_recipes import benchmark_recipe, original_recipes
from pipeline.engine_recipes import engine_check_recipe, engine_recipe
from pipeline.errors import AccuracyError, BuildError, Cancelled, ModelError, PipelineError, RegressionError
from pipeline.plan import State
from pipeline.verify.comparison import comparison_from_json
from pipeline.verify.judge import judge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.artefacts import Artefact
    from pipeline.bench.measurement import Measurement
    from pipeline.manifest.types import Budgets
    from pipeline.plan import PlannedJob
    from pipeline.recipes import Recipes
    from pipeline.survey import SurveyedModel
    from pipeline.verify.comparison import Comparison
    from pipeline.verify.judge import Verdict

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutcome:
    """A job after the work. ``engine`` is there whenever one was obtained, also where it was then judged unfit.

    ``measurement`` says how fast the engine is, ``originals`` how fast the original model is in its frameworks.
    ``error`` says why the job failed; a job for another machine has neither engine nor error.
    """

    planned: PlannedJob
    engine: Artefact | None = None
    comparison: Comparison | None = None
    verdicts: tuple[Verdict, ...] = ()
    measurement: Measurement | None = None
    originals: tuple[Measurement, ...] = ()
    error: PipelineError | None = None
    warnings: tuple[str, ...] = ()

    @property
    def fit(self) -> bool:
        """Whether there is an engine, and nothing against it."""
        return self.engine is not None and self.error is None


def job_outcome(recipes: Recipes, planned: PlannedJob, model: SurveyedModel) -> JobOutcome:
    """Obtain a job's engine, its accuracy check and its timing, and judge them. Never raises for what befalls one job.

    What was found before something failed is kept: a slow engine is still an engine whose accuracy is known.
    """
    outcome = JobOutcome(planned=planned)
    if planned.state is State.NEEDS_RUNNER:
        return outcome
    try:
        for stage in (_with_engine, _with_check, _with_timing):
            outcome = stage(outcome, recipes, model)
        error = _objection(outcome)
    except PipelineError as raised:
        error = raised
    except OSError as raised:
        error = BuildError(
            f"{planned.job.id} could not be kept", why=str(raised), fix="free some space, or check the permissions"
        )
    return replace(outcome, error=error)


def _with_engine(outcome: JobOutcome, recipes: Recipes, model: SurveyedModel) -> JobOutcome:
    engine = recipes.workshop.obtain(engine_recipe(outcome.planned.job, model, recipes))
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


def _with_check(outcome: JobOutcome, recipes: Recipes, model: SurveyedModel) -> JobOutcome:
    job, engine = outcome.planned.job, _engine(outcome)
    recipe = engine_check_recipe(job, model, engine, recipes)
    if recipe is None or job.model.accuracy is None:
        return _warned(outcome, "not verified: the manifest gives no `accuracy` data")
    check = recipes.workshop.obtain(recipe)
    comparison = comparison_from_json(check.outcome)
    verdicts = judge(comparison, job.model.accuracy.tolerances, job.precision)
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


def _engine(outcome: JobOutcome) -> Artefact:
    assert outcome.engine is not None  # noqa: S101  the stages run in order
    return outcome.engine


def _warned(outcome: JobOutcome, *warnings: str) -> JobOutcome:
    return replace(outcome, warnings=(*outcome.warnings, *warnings))


def _objection(outcome: JobOutcome) -> PipelineError | None:
    job = outcome.planned.job
    missed = [str(verdict) for verdict in outcome.verdicts if not verdict.passed]
    if missed:
        return AccuracyError(
            f"{job.id} is not accurate enough",
            why="; ".join(missed),
            fix="keep the layers that matter in higher precision (`build.layer_precisions`), calibrate on more or "
            "better data, or widen the tolerance if the loss is acceptable",
        )
    exceeded = list(_exceeded(job.model.budgets, _engine(outcome), outcome.measurement))
    if exceeded:
        return RegressionError(
            f"{job.id} exceeds its budget",
            why="; ".join(exceeded),
            fix="make it smaller or faster, or raise the budget",
        )
    return None


def _exceeded(budgets: Budgets, engine: Artefact, measurement: Measurement | None) -> Iterator[str]:
    size_mib = int(engine.outcome["size_bytes"]) / _MIB
    if budgets.engine_size_mib is not None and size_mib > budgets.engine_size_mib:
        yield f"the engine has {size_mib:.2f} MiB, the budget is {budgets.engine_size_mib:g} MiB"
    if budgets.build_s is not None and not engine.cached and engine.made_in_s > budgets.build_s:
        yield f"the build took {engine.made_in_s:.1f} s, the budget is {budgets.build_s:g} s"
    if budgets.latency_ms is not None and measurement is not None and measurement.compute.p50_ms > budgets.latency_ms:
        yield f"an inference takes {measurement.compute.p50_ms:.3f} ms, the budget is {budgets.latency_ms:g} ms"
