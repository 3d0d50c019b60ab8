from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import BuildError, Cancelled, DeviceError, ModelError, PipelineError
from pipeline.planning.operators import check_operators
from pipeline.precision import Precision
from tests.support.specs import H200, job


class Recipes:
    """Each model's answer by name; counts the questions."""

    def __init__(self, **refused: list[dict[str, Any]]) -> None:
        self.refused, self.asked = refused, list[str]()
        self.runtimes = {"tensorrt-rtx": "1.7.1.116"}
        self.workshop = self

    def operators(self, model: Any, runtime: str) -> str:
        self.asked.append(f"{model.spec.name} {runtime}")
        return str(model.spec.name)

    def obtain(self, name: str) -> Any:
        return SimpleNamespace(outcome={"refused": self.refused[name]})


def check(recipes: Recipes, *jobs: Any) -> None:
    models: Any = {each.model.name: SimpleNamespace(spec=each.model) for each in jobs}
    given: Any = recipes
    check_operators(given, models, jobs)


def test_each_model_is_asked_about_once_per_runtime() -> None:
    recipes = Recipes(digits=[])
    check(recipes, job(Precision.FP16), job(Precision.FP32))
    assert recipes.asked == ["digits tensorrt-rtx"]


def test_a_runtime_that_is_not_installed_is_left_out() -> None:
    recipes = Recipes(digits=[])
    check(recipes, job(target=H200))
    assert recipes.asked == []


def test_every_refused_operator_of_every_model_is_named_with_its_nodes() -> None:
    recipes = Recipes(
        digits=[{"operator": "Det", "nodes": ["a", "b"], "reason": "no"}],
        other=[{"operator": "Unique", "nodes": [f"n{i}" for i in range(9)], "reason": "never"}],
    )
    with pytest.raises(ModelError) as caught:
        check(recipes, job(), job(name="other"))
    assert "Det at a, b: tensorrt-rtx says: no" in caught.value.why
    assert "Unique at n0, n1, n2, n3, n4 and 4 more" in caught.value.why
    assert [fault.path for fault in caught.value.faults] == ["models.digits", "models.other"]


@pytest.mark.parametrize("error", [BuildError("crashed"), DeviceError("the GPU is full")])
def test_a_parser_that_cannot_be_asked_leaves_it_to_the_builds(error: PipelineError) -> None:
    class Failing(Recipes):
        def obtain(self, name: str) -> Any:
            raise error

    check(Failing(digits=[]), job(Precision.FP16))


def test_a_run_that_is_cancelled_meanwhile_ends() -> None:
    class Cancelling(Recipes):
        def obtain(self, name: str) -> Any:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        check(Cancelling(digits=[]), job(Precision.FP16))
