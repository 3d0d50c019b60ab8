from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import outcome
from pipeline.artefacts import Recipe
from pipeline.devices import GpuDevice
from pipeline.fan_out import settled
from pipeline.fan_out.settled import settled_or_planned
from pipeline.keys import key_from_ingredients
from pipeline.outcome import JobOutcome
from pipeline.plan import PlannedJob, State
from pipeline.recipes import Recipes
from pipeline.targets import TENSORRT, Target
from tests.support.specs import H200, SM_89, job, model_spec
from tests.support.workshops import workshop_with

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.plan import Job


class Model:
    """Only what is asked of a surveyed model here."""

    def __init__(self, **parts: Any) -> None:
        self.spec = model_spec(**parts)


def child(task: str, _request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    if task == "build":
        (folder / "e.plan").write_bytes(b"engine")
    return {"engine": "e.plan", "size_bytes": 6}


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipes:
    """Recipes for engines whose key is the job and the GPU's product; nothing is checked."""

    def engine(wanted: Job, _model: Any, given: Recipes) -> Recipe:
        gpu = given.gpus[0].name if given.gpus and wanted.target.runtime == TENSORRT else None
        return Recipe(
            key=key_from_ingredients("engine", {"job": wanted.id, "gpu": gpu}),
            subject=wanted.id,
            task="build",
            stage="building",
            request=lambda _: {},
            files=lambda _: ("e.plan",),
        )

    for module in (settled, outcome):
        monkeypatch.setattr(module, "engine_recipe", engine)
    monkeypatch.setattr(outcome, "engine_check_recipe", lambda *_: None)
    monkeypatch.setattr(settled, "replace", _replace)
    runtimes = {"tensorrt": "11.1", "tensorrt-rtx": "1.7"}
    return Recipes(workshop=workshop_with(child, tmp_path), tools={}, runtimes=runtimes)


def _replace(value: Any, **parts: Any) -> Any:
    if isinstance(value, Model):
        value.spec = parts["spec"]
        return value
    return replace(value, **parts)


def device(name: str) -> GpuDevice:
    return GpuDevice(uuid="u", name=name, compute_capability=(9, 0), memory_bytes=1, driver="1", cuda="13.0")


def build(recipes: Recipes, wanted: Job, *gpus: GpuDevice) -> None:
    """As a runner with these GPUs does."""
    given = replace(recipes, gpus=gpus)
    model: Any = Model()
    module: Any = outcome
    recipes.workshop.obtain(module.engine_recipe(wanted, model, given))


def ask(recipes: Recipes, wanted: Job, **parts: Any) -> JobOutcome | PlannedJob:
    """As a runner without any GPU does, later."""
    later = replace(recipes, workshop=recipes.workshop.cached_only())
    model: Any = Model(**parts)
    return settled_or_planned(wanted, model, later)


def test_what_no_runner_has_built_is_for_a_runner(recipes: Recipes) -> None:
    found = ask(recipes, job(target=H200))
    assert isinstance(found, PlannedJob)
    assert (found.state, found.reason) == (State.BUILD, "never built before")


@pytest.mark.parametrize("product", ["NVIDIA H200", "NVIDIA H200 NVL"])
def test_what_was_built_on_any_product_of_the_target_is_settled_without_its_gpu(product: str, recipes: Recipes) -> None:
    build(recipes, job(target=H200), device(product))
    found = ask(recipes, job(target=H200))
    assert isinstance(found, JobOutcome)
    assert found.fit
    assert found.engine is not None
    assert found.engine.cached


def test_what_was_built_on_another_product_is_not_taken(recipes: Recipes) -> None:
    build(recipes, job(target=H200), device("NVIDIA H100 PCIe"))
    assert isinstance(ask(recipes, job(target=H200)), PlannedJob)


def test_a_free_target_is_settled_by_any_product_of_its_compute_capability(recipes: Recipes) -> None:
    free = Target("sm_90", TENSORRT, (9, 0))
    build(recipes, job(target=free), device("NVIDIA GH200 480GB"))
    assert isinstance(ask(recipes, job(target=free)), JobOutcome)


def test_tensorrt_rtx_needs_no_product(recipes: Recipes) -> None:
    build(recipes, job(target=SM_89))
    assert isinstance(ask(recipes, job(target=SM_89)), JobOutcome)


def test_a_runtime_that_is_not_here_leaves_the_job_to_a_runner(recipes: Recipes) -> None:
    found = ask(replace(recipes, runtimes={}), job(target=H200))
    assert isinstance(found, PlannedJob)
    assert found.state is State.NEEDS_RUNNER


def test_an_engine_whose_check_is_not_cached_is_for_a_runner(recipes: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
    build(recipes, job(target=H200), device("NVIDIA H200"))
    check = Recipe(
        key=key_from_ingredients("check", {"engine": "e"}),
        subject="digits",
        task="verify",
        stage="verifying",
        request=lambda _: {},
    )
    monkeypatch.setattr(outcome, "engine_check_recipe", lambda *_: check)
    found = ask(recipes, job(target=H200), accuracy=object())
    assert isinstance(found, PlannedJob)
    assert found.reason == "cached, but not its accuracy check"
