"""What became of one job: its engine, how it was judged, or why it failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.engine_recipes import engine_check_recipe, engine_recipe
from pipeline.errors import AccuracyError, BuildError, Cancelled, PipelineError, RegressionError
from pipeline.plan import State
from pipeline.verify.comparison import comparison_from_json
from pipeline.verify.judge import judge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.artefacts import Artefact
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

    ``error`` says why the job failed; a job for another machine has neither engine nor error.
    """

    planned: PlannedJob
    engine: Artefact | None = None
    comparison: Comparison | None = None
    verdicts: tuple[Verdict, ...] = ()
    error: PipelineError | None = None
    warnings: tuple[str, ...] = ()

    @property
    def fit(self) -> bool:
        """Whether there is an engine, and nothing against it."""
        return self.engine is not None and self.error is None


def job_outcome(recipes: Recipes, planned: PlannedJob, model: SurveyedModel) -> JobOutcome:
    """Obtain a job's engine and its accuracy check, and judge both. Never raises for what befalls one job."""
    if planned.state is State.NEEDS_RUNNER:
        return JobOutcome(planned=planned)
    engine = comparison = None
    verdicts: tuple[Verdict, ...] = ()
    warnings: tuple[str, ...] = ()
    error: PipelineError | None = None
    try:
        engine = recipes.workshop.obtain(engine_recipe(planned.job, model, recipes))
        warnings = (*engine.warnings, *map(str, engine.outcome.get("warnings", ())))
        recipe = engine_check_recipe(planned.job, model, engine, recipes)
        if recipe is None:
            warnings = (*warnings, "not verified: the manifest gives no `accuracy` data")
        else:
            check = recipes.workshop.obtain(recipe)
            comparison = comparison_from_json(check.outcome)
            warnings = (*warnings, *check.warnings)
            verdicts = _verdicts(comparison, planned)
        error = _objection(planned, engine, verdicts)
    except PipelineError as raised:
        error = raised
    except OSError as raised:
        error = BuildError(
            f"{planned.job.id} could not be kept", why=str(raised), fix="free some space, or check the permissions"
        )
    return JobOutcome(
        planned=planned, engine=engine, comparison=comparison, verdicts=verdicts, error=error, warnings=warnings
    )


def run_exit_code(outcomes: tuple[JobOutcome, ...], *, require_all: bool) -> int:
    """The exit code of a run: cancelled before all else, then the earliest stage that failed, else 0."""
    codes = {outcome.error.exit_code for outcome in outcomes if outcome.error is not None}
    if Cancelled.exit_code in codes:
        return Cancelled.exit_code
    if require_all and any(outcome.planned.state is State.NEEDS_RUNNER for outcome in outcomes):
        codes.add(5)
    return min(codes, default=0)


def _verdicts(comparison: Comparison, planned: PlannedJob) -> tuple[Verdict, ...]:
    accuracy = planned.job.model.accuracy
    return judge(comparison, accuracy.tolerances, planned.job.precision) if accuracy else ()


def _objection(planned: PlannedJob, engine: Artefact, verdicts: tuple[Verdict, ...]) -> PipelineError | None:
    missed = [str(verdict) for verdict in verdicts if not verdict.passed]
    if missed:
        return AccuracyError(
            f"{planned.job.id} is not accurate enough",
            why="; ".join(missed),
            fix="keep the layers that matter in higher precision (`build.layer_precisions`), calibrate on more or "
            "better data, or widen the tolerance if the loss is acceptable",
        )
    exceeded = list(_exceeded(planned.job.model.budgets, engine))
    if exceeded:
        return RegressionError(
            f"{planned.job.id} exceeds its budget", why="; ".join(exceeded), fix="shrink it, or raise the budget"
        )
    return None


def _exceeded(budgets: Budgets, engine: Artefact) -> Iterator[str]:
    size_mib = int(engine.outcome["size_bytes"]) / _MIB
    if budgets.engine_size_mib is not None and size_mib > budgets.engine_size_mib:
        yield f"the engine has {size_mib:.2f} MiB, the budget is {budgets.engine_size_mib:g} MiB"
    if budgets.build_s is not None and not engine.cached and engine.made_in_s > budgets.build_s:
        yield f"the build took {engine.made_in_s:.1f} s, the budget is {budgets.build_s:g} s"
