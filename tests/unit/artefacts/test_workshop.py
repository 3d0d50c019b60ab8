"""Obtaining artefacts, with a real cache in a folder and a task that is only a function."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.cache.answers import Hit, Miss, Rejected
from pipeline.errors import BuildError, ModelError
from tests.support.workshops import PlanTask, plan_recipe, workshop_with

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def test_what_is_not_in_the_cache_is_made(tmp_path: Path) -> None:
    made = workshop_with(PlanTask(), tmp_path).obtain(plan_recipe())
    assert not made.cached
    assert made.files["plan"].read_text() == "engine"
    assert made.outcome == {"file": "plan", "size": 6, "warnings": []}
    assert isinstance(made.lookup, Miss)


def test_what_an_earlier_run_made_is_fetched(tmp_path: Path) -> None:
    workshop_with(PlanTask(), tmp_path).obtain(plan_recipe())
    task = PlanTask()
    fetched = workshop_with(task, tmp_path, "b").obtain(plan_recipe())
    assert fetched.cached
    assert fetched.files["plan"].read_text() == "engine"
    assert fetched.outcome == {"file": "plan", "size": 6, "warnings": []}
    assert task.requests == []


def test_many_jobs_that_need_one_artefact_make_it_once(tmp_path: Path) -> None:
    task = PlanTask()
    shop = workshop_with(task, tmp_path)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: shop.obtain(plan_recipe()), range(8)))
    assert len(task.requests) == 1
    assert all(artefact is found[0] for artefact in found)


def test_a_failure_reaches_every_job_that_needed_the_artefact_and_is_not_kept(tmp_path: Path) -> None:
    shop = workshop_with(PlanTask(fails=True), tmp_path)
    for _ in range(2):
        with pytest.raises(BuildError, match="refused"):
            shop.obtain(plan_recipe())
    assert not workshop_with(PlanTask(), tmp_path, "b").obtain(plan_recipe()).cached


def test_a_cached_file_with_a_fault_is_rejected_and_replaced(tmp_path: Path) -> None:
    workshop_with(PlanTask("foreign plan"), tmp_path).obtain(plan_recipe())
    strict = replace(
        plan_recipe(), faults=lambda files, _: ("foreign",) if "foreign" in files["plan"].read_text() else ()
    )
    made = workshop_with(PlanTask("good plan"), tmp_path, "b").obtain(strict)
    assert not made.cached
    assert isinstance(made.lookup, Rejected)
    assert any("foreign" in warning for warning in made.warnings)
    again = workshop_with(PlanTask(), tmp_path, "c").obtain(strict)
    assert again.cached
    assert again.files["plan"].read_text() == "good plan"


def test_F36_nothing_is_kept_when_the_inputs_changed_during_the_work(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="changed while"):
        workshop_with(PlanTask(), tmp_path).obtain(replace(plan_recipe(), unchanged=lambda: False))
    assert not workshop_with(PlanTask(), tmp_path, "b").obtain(plan_recipe()).cached


def test_a_miss_names_what_changed_and_how_long_it_took_last_time(tmp_path: Path) -> None:
    workshop_with(PlanTask(), tmp_path).obtain(plan_recipe(model="m1", precision="fp16"))
    lookup = workshop_with(PlanTask(), tmp_path, "b").look_up(
        plan_recipe(model="m2", precision="fp16").key, "digits/sm_89/fp16"
    )
    assert isinstance(lookup, Miss)
    assert [str(difference) for difference in lookup.differences] == ["model m1 -> m2"]
    assert lookup.previous_s is not None


def test_the_loser_of_a_race_uses_the_winners_file(tmp_path: Path) -> None:
    loser = workshop_with(PlanTask("mine"), tmp_path)
    assert isinstance(loser.look_up(plan_recipe().key, "digits/sm_89/fp16"), Miss)
    workshop_with(PlanTask("theirs"), tmp_path, "b").obtain(plan_recipe())
    assert loser.obtain(plan_recipe()).files["plan"].read_text() == "theirs"


def test_the_warnings_of_what_it_is_made_from_stay_with_an_artefact(tmp_path: Path) -> None:
    class Warned(PlanTask):
        def __call__(self, task: str, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
            return {**super().__call__(task, request, folder), "warnings": ["a weight was cut"]}

    shop = workshop_with(Warned(), tmp_path)
    source = plan_recipe(model="typed")
    made = shop.obtain(replace(plan_recipe(model="engine"), sources=lambda: (shop.obtain(source),)))
    assert made.outcome["warnings"] == ["a weight was cut"] * 2
    fetched = workshop_with(PlanTask(), tmp_path, "b").obtain(plan_recipe(model="engine"))
    assert fetched.outcome["warnings"] == ["a weight was cut"] * 2


def test_a_look_up_is_made_once_per_run(tmp_path: Path) -> None:
    shop = workshop_with(PlanTask(), tmp_path)
    first = shop.look_up(plan_recipe().key, "digits/sm_89/fp16")
    workshop_with(PlanTask(), tmp_path, "b").obtain(plan_recipe())
    assert shop.look_up(plan_recipe().key, "digits/sm_89/fp16") is first
    assert isinstance(workshop_with(PlanTask(), tmp_path, "c").look_up(plan_recipe().key, "digits/sm_89/fp16"), Hit)
