"""Engines without weights: what is cached and delivered is small, and what is run has its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.manifest.types import Benchmark, BuildSettings, Location
from pipeline.precision import Precision
from pipeline.recipes.bench import benchmark_recipe
from pipeline.recipes.engine import engine_check_recipe, engine_recipe
from pipeline.recipes.inspection import layers_recipe
from tests.support.refit_site import HEADER_CHARS, Children, Site, text_of
from tests.support.specs import H200, job

if TYPE_CHECKING:
    from collections.abc import Callable

STRIPPED = BuildSettings(strip_weights=True)


def looked_at(folder: Path, recipe_of: Callable[..., Any], build: BuildSettings) -> tuple[str, str, Children]:
    """The engine of a job, the file that a look at it is given, and what was asked."""
    children = Children()
    workshop, model, recipes = Site(folder, build, version="10.16.1").surveyed("first", children)
    benchmark = Benchmark(location=Location("m.yaml", 1, 1))
    model = replace(model, spec=replace(model.spec, benchmark=benchmark))
    wanted = replace(job(Precision.FP16, H200), model=model.spec)
    engine = workshop.obtain(engine_recipe(wanted, model, recipes))
    recipe = recipe_of(wanted, model, engine, recipes)
    given = Path(recipe.request(recipe.sources())["engine"])
    return text_of(engine), given.read_text()[HEADER_CHARS:], children


LOOKS = pytest.mark.parametrize("recipe_of", [engine_check_recipe, layers_recipe, benchmark_recipe])


@LOOKS
def test_what_is_verified_inspected_and_timed_has_its_weights(tmp_path: Path, recipe_of: Callable[..., Any]) -> None:
    kept, run, children = looked_at(tmp_path, recipe_of, STRIPPED)
    assert kept == "engine of first"
    assert run == "engine of first with first"
    assert children.requests["build"]["strip_weights"] is True
    assert children.requests["refit"]["build"]["strip_weights"] is False
    assert children.requests["refit"]["weights"] is None


@LOOKS
def test_an_engine_with_weights_is_looked_at_as_it_is(tmp_path: Path, recipe_of: Callable[..., Any]) -> None:
    kept, run, children = looked_at(tmp_path, recipe_of, BuildSettings())
    assert kept == run
    assert "refit" not in children.asked


def test_the_copy_with_weights_is_not_kept_in_the_cache(tmp_path: Path) -> None:
    looked_at(tmp_path, layers_recipe, STRIPPED)
    kinds = {path.name for path in (tmp_path / "cache/v1/receipt").iterdir()}
    assert "engine" in kinds
    assert "filled" not in kinds
