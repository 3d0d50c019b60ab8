"""Runners that share a cache in a folder, and leases in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from pipeline.cache.answers import Hit
from pipeline.cache.local import LocalStore
from pipeline.cache.store import Extent, StoreFailed
from pipeline.keys import key_from_ingredients
from tests.support.leases import FakeLeases
from tests.support.workshops import PlanTask, plan_recipe, workshop_with

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from pipeline.artefacts.recipe import Artefact


def test_what_another_runner_is_at_work_on_is_awaited_and_fetched(tmp_path: Path) -> None:
    def finish() -> None:
        workshop_with(PlanTask("theirs"), tmp_path, "other").obtain(plan_recipe())

    def sources() -> tuple[Artefact, ...]:
        raise AssertionError("nothing that it is made from is asked for")

    task = PlanTask("mine")
    waiting = workshop_with(task, tmp_path, leases=FakeLeases(refusals=2, at_first=finish))
    waiting.look_up(plan_recipe().key, "digits/sm_89/fp16")

    found = waiting.obtain(replace(plan_recipe(), expensive=True, sources=sources))

    assert found.cached
    assert found.files["plan"].read_text() == "theirs"
    assert task.requests == []
    assert isinstance(waiting.look_up(plan_recipe().key, "digits/sm_89/fp16"), Hit)


def test_what_another_runner_finished_since_the_look_up_is_not_made_again(tmp_path: Path) -> None:
    task, leases = PlanTask("mine"), FakeLeases()
    shop = workshop_with(task, tmp_path, leases=leases)
    shop.look_up(plan_recipe().key, "digits/sm_89/fp16")
    workshop_with(PlanTask("theirs"), tmp_path, "other").obtain(plan_recipe())

    assert shop.obtain(replace(plan_recipe(), expensive=True)).files["plan"].read_text() == "theirs"
    assert task.requests == []
    assert leases.events == ["held", "take", "release"]


def test_what_another_runner_made_unfit_is_made_here(tmp_path: Path) -> None:
    shop = workshop_with(PlanTask("good plan"), tmp_path, leases=FakeLeases())
    shop.look_up(plan_recipe().key, "digits/sm_89/fp16")
    workshop_with(PlanTask("foreign plan"), tmp_path, "other").obtain(plan_recipe())
    strict = replace(
        plan_recipe(),
        expensive=True,
        faults=lambda files, _: ("foreign",) if "foreign" in files["plan"].read_text() else (),
    )

    assert shop.obtain(strict).files["plan"].read_text() == "good plan"
    assert workshop_with(PlanTask(), tmp_path, "c").obtain(strict).cached


def test_the_lease_is_held_until_the_cache_has_what_was_made(tmp_path: Path) -> None:
    seen = []

    def look() -> None:
        seen.append(workshop_with(PlanTask(), tmp_path, "other").look_up(plan_recipe().key, "digits/sm_89/fp16"))

    workshop_with(PlanTask(), tmp_path, leases=FakeLeases(at_release=look)).obtain(
        replace(plan_recipe(), expensive=True)
    )

    assert [type(each) for each in seen] == [Hit]


def test_what_is_cheap_takes_no_lease(tmp_path: Path) -> None:
    leases = FakeLeases()
    workshop_with(PlanTask(), tmp_path, leases=leases).obtain(plan_recipe())
    assert leases.events == []


def test_without_a_cache_no_lease_is_taken(tmp_path: Path) -> None:
    leases = FakeLeases()
    shop = workshop_with(PlanTask(), tmp_path, leases=leases, cached=False)
    shop.obtain(replace(plan_recipe(), expensive=True))
    assert leases.events == []


def test_the_lease_of_a_runner_is_not_waited_for_where_the_cache_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        def refused(*_asked: object, **_named: object) -> NoReturn:
            raise StoreFailed("no answer", extent=Extent.PLACE)

        monkeypatch.setattr(LocalStore, "get_receipt", refused)

    leases = FakeLeases(refusals=1_000_000, at_first=fail)
    shop = workshop_with(PlanTask("mine"), tmp_path, leases=leases)
    shop.look_up(plan_recipe().key, "digits/sm_89/fp16")

    made = shop.obtain(replace(plan_recipe(), expensive=True))

    assert made.files["plan"].read_text() == "mine"
    assert leases.events == ["held"]


def test_a_runner_that_may_not_write_takes_no_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_asked: object, **_named: object) -> NoReturn:
        raise StoreFailed("this job may only read it", extent=Extent.WRITES)

    monkeypatch.setattr(LocalStore, "put_blob", refused)
    leases = FakeLeases()
    shop = workshop_with(PlanTask("mine"), tmp_path, leases=leases)
    shop.obtain(replace(plan_recipe(), key=key_from_ingredients("engine", {"other": 1})))

    shop.obtain(replace(plan_recipe(), expensive=True))

    assert leases.events == ["held"]
