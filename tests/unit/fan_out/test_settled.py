from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.artefacts.recipe import Recipe
from pipeline.fan_out import settled
from pipeline.fan_out.settled import settled_or_planned
from pipeline.keys import key_from_ingredients
from pipeline.machine.devices import GpuDevice
from pipeline.outcome import job as outcome
from pipeline.outcome.job import JobOutcome
from pipeline.planning.plan import PlannedJob, State
from pipeline.recipes.model import Recipes
from pipeline.targets import TENSORRT, Target
from tests.support.specs import H200, SM_89, job, model_spec
from tests.support.workshops import workshop_with

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.planning.plan import Job


class Model:
    """Only what is asked of a surveyed model here."""

    spec = model_spec()


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

    def layers(wanted: Job, _model: Any, _engine: Any, given: Recipes) -> Recipe | None:
        if not given.gpus or wanted.target.runtime != TENSORRT:
            return None
        gpu = given.gpus[0]
        return Recipe(
            key=key_from_ingredients(
                "layers", {"engine": wanted.id, "layers.gpu": gpu.name, "layers.driver": gpu.driver}
            ),
            subject=wanted.id,
            task="inspect-engine",
            stage="inspecting",
            request=lambda _: {},
        )

    for module in (settled, outcome):
        monkeypatch.setattr(module, "layers_recipe", layers)
    monkeypatch.setattr(settled, "with_outlook", lambda planned, *_: planned)
    monkeypatch.setattr(outcome, "layers_of", lambda _: None)
    monkeypatch.setattr(outcome, "rebuild_recipe", lambda *_: None)
    monkeypatch.setattr(outcome, "engine_check_recipe", lambda *_: None)
    runtimes = {"tensorrt": "11.1", "tensorrt-rtx": "1.7"}
    return Recipes(workshop=workshop_with(child, tmp_path), tools={}, runtimes=runtimes)


def device(name: str) -> GpuDevice:
    return GpuDevice(uuid="u", name=name, compute_capability=(9, 0), memory_bytes=1, driver="1", cuda="13.0")


def build(recipes: Recipes, wanted: Job, *gpus: GpuDevice) -> None:
    """As a runner with these GPUs does."""
    given = replace(recipes, gpus=gpus)
    model: Any = Model()
    module: Any = outcome
    engine = recipes.workshop.obtain(module.engine_recipe(wanted, model, given))
    layers = module.layers_recipe(wanted, model, engine, given)
    if layers is not None:
        recipes.workshop.obtain(layers)


def ask(recipes: Recipes, wanted: Job) -> JobOutcome | PlannedJob:
    """As a runner without any GPU does, later."""
    later = replace(recipes, workshop=recipes.workshop.cached_only())
    model: Any = Model()
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
    found = ask(recipes, job(target=H200, accuracy=object()))
    assert isinstance(found, PlannedJob)
    assert found.reason.startswith("its engine is cached, but check of digits is not cached")


def test_an_engine_that_nobody_looked_at_on_its_gpu_is_for_a_runner(recipes: Recipes) -> None:
    given = replace(recipes, gpus=(device("NVIDIA H200"),))
    module: Any = outcome
    recipes.workshop.obtain(module.engine_recipe(job(target=H200), Model(), given))
    found = ask(recipes, job(target=H200))
    assert isinstance(found, PlannedJob)
    assert "layers of digits/h200/fp16 is not cached" in found.reason


def test_what_belongs_to_a_driver_is_looked_up_for_the_driver_of_the_runner(
    recipes: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def timing(_job: Any, _model: Any, _engine: Any, given: Recipes) -> None:
        asked.append(given.gpus[0].driver)

    monkeypatch.setattr(outcome, "benchmark_recipe", timing)
    build(recipes, job(target=H200), replace(device("NVIDIA H200"), driver="580.1"))
    assert isinstance(ask(recipes, job(target=H200)), JobOutcome)
    assert asked == ["580.1"]


def test_what_changed_is_told_of_the_product_that_was_built_for(recipes: Recipes) -> None:
    build(recipes, job(target=H200), device("NVIDIA H200 NVL"))

    def engine(wanted: Job, _model: Any, given: Recipes) -> Recipe:
        key = key_from_ingredients("engine", {"job": wanted.id, "gpu": given.gpus[0].name, "model": "retrained"})
        return Recipe(key=key, subject=wanted.id, task="build", stage="building", request=lambda _: {})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settled, "engine_recipe", engine)
        found = ask(recipes, job(target=H200))
    assert isinstance(found, PlannedJob)
    assert "gpu" not in found.reason
