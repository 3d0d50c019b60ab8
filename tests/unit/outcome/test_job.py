"""Judging jobs: which error stands, and which exit code the run has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.artefacts.recipe import Artefact
from pipeline.artefacts.workshop import NotCachedError
from pipeline.cache.answers import Miss
from pipeline.errors import (
    AccuracyError,
    BuildError,
    CacheError,
    Cancelled,
    DeviceError,
    ModelError,
    PipelineError,
    RegressionError,
)
from pipeline.keys import key_from_ingredients
from pipeline.manifest.types import Accuracy, Budgets, BuildSettings, Location, Metric, Tolerance
from pipeline.outcome import job as outcome
from pipeline.outcome.job import JobOutcome, job_outcome, run_exit_code
from pipeline.planning.plan import PlannedJob, State, needs_runner
from pipeline.precision import Precision
from pipeline.verify.comparison import Comparison, OutputComparison, Overflow, comparison_to_json
from tests.support.specs import H200, job

COMPARISON = Comparison(
    subject="prepared model", samples=4, emulated=False, outputs=(OutputComparison(name="logits", cosine_min=0.9),)
)


def artefact(outcome: dict[str, Any], *, cached: bool = False, made_in_s: float = 1.0) -> Artefact:
    key = key_from_ingredients("engine", {"model": "m"})
    return Artefact(key=key, files={}, outcome=outcome, cached=cached, lookup=Miss("never"), made_in_s=made_in_s)


class Shop:
    """Gives each kind of artefact, or raises in its place."""

    def __init__(self, engine: Artefact | Exception, check: Artefact | Exception | None = None) -> None:
        self.answers = {"engine": engine, "check": check}

    def obtain(self, recipe: str) -> Artefact:
        answer = self.answers[recipe]
        if isinstance(answer, Artefact):
            return answer
        assert answer is not None
        raise answer


@dataclass(frozen=True)
class Recipes:
    """Only what holds the workshop; what it obtains are names here."""

    workshop: Shop


@pytest.fixture(autouse=True)
def _recipes_are_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(_job: Any, _model: Any, _engine: Any, recipes: Recipes) -> str | None:
        return "check" if recipes.workshop.answers["check"] is not None else None

    monkeypatch.setattr(outcome, "check_data", lambda *_: None)
    monkeypatch.setattr(outcome, "engine_recipe", lambda *_: "engine")
    monkeypatch.setattr(outcome, "engine_check_recipe", check)
    monkeypatch.setattr(outcome, "benchmark_recipe", lambda *_: None)
    monkeypatch.setattr(outcome, "layers_recipe", lambda *_: None)


def outcome_of(shop: Shop, **parts: Any) -> JobOutcome:
    planned = PlannedJob(job(**parts), State.BUILD, "never built before")
    recipes: Any = Recipes(shop)
    model: Any = None
    return job_outcome(recipes, planned, model)


ENGINE = artefact({"engine": "e.plan", "size_bytes": 3 << 20, "warnings": []})
CHECK = artefact(comparison_to_json(COMPARISON))


class RefittingShop(Shop):
    """Gives a refitted engine first, and where that is refused a built one."""

    def __init__(self, check: Artefact | Exception, built_check: Artefact) -> None:
        super().__init__(artefact({**ENGINE.outcome, "refit": {}}), check)
        self.built_check = built_check
        self.reasons: list[str] = []

    def obtain_anew(self, recipe: str, unfit: Artefact, reason: str) -> Artefact:
        assert unfit is self.answers[recipe]
        self.reasons.append(reason)
        self.answers = {"engine": ENGINE, "check": self.built_check}
        return ENGINE


def check_of(cosine: float) -> Artefact:
    worst = OutputComparison(name="logits", cosine_min=cosine)
    return artefact(comparison_to_json(replace(COMPARISON, outputs=(worst,))))


@pytest.mark.parametrize("refused", [check_of(0.5), BuildError("the engine failed to run")], ids=["inaccurate", "dead"])
def test_a_refitted_engine_that_does_not_pass_is_built_instead(refused: Artefact | Exception) -> None:
    shop = RefittingShop(refused, check_of(0.99))
    found = outcome_of(shop, accuracy=accuracy(0.95))
    assert found.fit
    assert found.engine is ENGINE
    assert any("the engine was refitted, and did not pass" in warning for warning in found.warnings)
    assert len(shop.reasons) == 1


def test_a_refitted_engine_that_passes_is_not_built() -> None:
    shop = RefittingShop(check_of(0.99), check_of(0.1))
    assert outcome_of(shop, accuracy=accuracy(0.95)).refitted
    assert shop.reasons == []


def test_what_fails_as_a_build_too_has_failed() -> None:
    found = outcome_of(RefittingShop(check_of(0.5), check_of(0.4)), accuracy=accuracy(0.95))
    assert isinstance(found.error, AccuracyError)
    assert found.engine is ENGINE


@pytest.mark.parametrize(
    "error",
    [
        Cancelled("cancelled"),
        DeviceError("the GPU is gone"),
        CacheError("required"),
        NotCachedError("it"),
        ModelError("no data"),
    ],
)
def test_what_is_no_fault_of_the_refit_builds_nothing_more(error: PipelineError) -> None:
    shop = RefittingShop(error, check_of(0.99))
    assert outcome_of(shop, accuracy=accuracy(0.95)).error is error
    assert shop.reasons == []


def accuracy(limit: float) -> Accuracy:
    tolerance = Tolerance(Metric.COSINE, Precision.FP16, limit)
    return Accuracy(data=Path("e.npz"), tolerances=(tolerance,), location=Location("m.yaml", 1, 1))


def test_an_engine_within_its_tolerances_is_fit() -> None:
    found = outcome_of(Shop(ENGINE, CHECK), accuracy=accuracy(0.89))
    assert found.fit
    assert [verdict.passed for verdict in found.verdicts] == [True]


def test_what_fp16_cannot_hold_is_told_with_a_missed_tolerance() -> None:
    sums = [Overflow(node=f"Sum_{number}", operator="ReduceSum", largest=127162.6) for number in range(7)]
    far = replace(COMPARISON, overflows=tuple(sums))
    found = outcome_of(Shop(ENGINE, artefact(comparison_to_json(far))), accuracy=accuracy(0.95))
    assert isinstance(found.error, AccuracyError)
    assert "FP16 holds nothing beyond 65504: ReduceSum 'Sum_0' reaches 127163" in found.error.why
    assert found.error.why.endswith("ReduceSum 'Sum_4' reaches 127163, 2 more nodes too")
    assert "keep these nodes" in found.error.fix


def test_a_missed_tolerance_fails_the_job_and_says_by_how_much() -> None:
    found = outcome_of(Shop(ENGINE, CHECK), accuracy=accuracy(0.95))
    assert isinstance(found.error, AccuracyError)
    assert "missed by 0.05" in found.error.why
    assert found.engine is ENGINE
    assert not found.fit


def test_a_model_without_evaluation_data_is_fit_with_a_warning() -> None:
    found = outcome_of(Shop(ENGINE))
    assert found.fit
    assert any("not verified" in warning for warning in found.warnings)


def test_an_engine_over_its_size_budget_fails() -> None:
    found = outcome_of(Shop(ENGINE), budgets=Budgets(engine_size_mib=2.5))
    assert isinstance(found.error, RegressionError)
    assert "3.00 MiB, the budget is 2.5 MiB" in found.error.why


def test_what_is_past_its_budget_by_a_little_is_seen_to_be() -> None:
    slow = artefact(dict(ENGINE.outcome), cached=False, made_in_s=10.004)
    found = outcome_of(Shop(slow), budgets=Budgets(engine_size_mib=2.9999, build_s=10))
    assert found.error is not None
    assert found.error.why == (
        "the engine has 3.00 MiB, the budget is 2.9999 MiB; the build took 10.004 s, the budget is 10 s"
    )


def test_the_build_time_budget_counts_only_what_was_built_now() -> None:
    slow, old = (artefact(dict(ENGINE.outcome), cached=cached, made_in_s=99) for cached in (False, True))
    assert isinstance(outcome_of(Shop(slow), budgets=Budgets(build_s=10)).error, RegressionError)
    assert outcome_of(Shop(old), budgets=Budgets(build_s=10)).fit


def test_data_that_does_not_fit_fails_the_job_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise ModelError("evaluation.npz does not fit")

    monkeypatch.setattr(outcome, "check_data", refuse)
    found = outcome_of(Shop(ENGINE, CHECK), accuracy=accuracy(0.5))
    assert (found.engine, str(found.error)) == (None, "evaluation.npz does not fit")


def test_a_look_at_the_data_that_fails_itself_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any) -> None:
        raise BuildError("the check-data task crashed")

    monkeypatch.setattr(outcome, "check_data", crash)
    assert outcome_of(Shop(ENGINE, CHECK), accuracy=accuracy(0.5)).fit


@pytest.mark.parametrize("error", [BuildError("no"), ModelError("bad data"), Cancelled("stop")])
def test_an_error_of_a_stage_is_the_jobs_error(error: PipelineError) -> None:
    assert outcome_of(Shop(error)).error is error


def test_a_full_disk_is_the_jobs_error_too() -> None:
    found = outcome_of(Shop(OSError(28, "No space left on device")))
    assert isinstance(found.error, BuildError)
    assert "No space left" in found.error.why


def test_a_job_for_another_machine_has_neither_engine_nor_error() -> None:
    recipes: Any = None
    model: Any = None
    found = job_outcome(recipes, needs_runner(job(target=H200), "needs a runner with H200"), model)
    assert (found.engine, found.error, found.fit) == (None, None, False)


def failed(error: PipelineError | None) -> JobOutcome:
    return JobOutcome(planned=PlannedJob(job(), State.BUILD, ""), error=error)


WAITING = JobOutcome(planned=needs_runner(job(target=H200), ""))


@pytest.mark.parametrize(
    ("outcomes", "require_all", "code"),
    [
        ((failed(None),), False, 0),
        ((failed(AccuracyError("a")), failed(BuildError("b"))), False, 6),
        ((failed(ModelError("m")), failed(Cancelled("c"))), False, 130),
        ((failed(None), WAITING), False, 0),
        ((failed(None), WAITING), True, 5),
        ((failed(BuildError("b")), WAITING), True, 5),
    ],
)
def test_the_exit_code_is_that_of_the_earliest_stage_that_failed(
    outcomes: tuple[JobOutcome, ...], *, require_all: bool, code: int
) -> None:
    assert run_exit_code(outcomes, require_all=require_all) == code


def test_an_engine_that_is_not_run_says_why() -> None:
    shop = Shop(ENGINE, CHECK)
    told = outcome_of(shop, target=H200, build=BuildSettings(version_compatible=True)).warnings
    assert any("lean runtime" in each for each in told)
    assert not any("lean runtime" in each for each in outcome_of(shop, target=H200).warnings)
