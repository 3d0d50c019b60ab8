"""Obtaining artefacts, with a real cache in a folder and a task that is only a function."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.artefacts import Recipe, Workshop
from pipeline.cache.content import ContentCache, Hit, Miss, Rejected
from pipeline.cache.local import LocalStore
from pipeline.errors import BuildError, ModelError
from pipeline.gpu_lock import GpuPool
from pipeline.keys import key_from_ingredients
from pipeline.publish.progress import Progress
from pipeline.slots import Slots
from tests.support.leases import FakeLeases

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.artefacts import Artefact
    from pipeline.cache.lease import Leases


@dataclass
class Task:
    """Stands for a child: writes one file, and counts how often it was asked."""

    text: str = "engine"
    fails: bool = False
    requests: list[Mapping[str, Any]] = field(default_factory=list)

    def __call__(self, task: str, request: Mapping[str, Any], folder: Path, **_options: Any) -> dict[str, Any]:
        self.requests.append(request)
        if self.fails:
            raise BuildError("the builder refused")
        (folder / "plan").write_text(self.text)
        return {"file": "plan", "size": len(self.text)}


def workshop(folder: Path, task: Task, run: str = "a", leases: Leases | None = None) -> Workshop:
    return Workshop(
        cache=ContentCache(LocalStore(folder / "cache")),
        scratch=folder / f"scratch-{run}",
        logs=folder / "logs",
        slots=Slots(2, 1 << 30),
        gpus=GpuPool(folder),
        cancel=threading.Event(),
        progress=Progress(None),
        run_task=task,
        leases=leases,
    )


def recipe(**ingredients: str) -> Recipe:
    return Recipe(
        key=key_from_ingredients("engine", ingredients or {"model": "m1"}),
        subject="digits/sm_89/fp16",
        task="build",
        stage="building",
        request=lambda _: {"model": "m"},
        files=lambda outcome: (outcome["file"],),
        memory_bytes=1,
    )


def test_what_is_not_in_the_cache_is_made(tmp_path: Path) -> None:
    made = workshop(tmp_path, Task()).obtain(recipe())
    assert not made.cached
    assert made.files["plan"].read_text() == "engine"
    assert made.outcome == {"file": "plan", "size": 6, "warnings": []}
    assert isinstance(made.lookup, Miss)


def test_what_an_earlier_run_made_is_fetched(tmp_path: Path) -> None:
    workshop(tmp_path, Task()).obtain(recipe())
    task = Task()
    fetched = workshop(tmp_path, task, "b").obtain(recipe())
    assert fetched.cached
    assert fetched.files["plan"].read_text() == "engine"
    assert fetched.outcome == {"file": "plan", "size": 6, "warnings": []}
    assert task.requests == []


def test_many_jobs_that_need_one_artefact_make_it_once(tmp_path: Path) -> None:
    task = Task()
    shop = workshop(tmp_path, task)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: shop.obtain(recipe()), range(8)))
    assert len(task.requests) == 1
    assert all(artefact is found[0] for artefact in found)


def test_a_failure_reaches_every_job_that_needed_the_artefact_and_is_not_kept(tmp_path: Path) -> None:
    shop = workshop(tmp_path, Task(fails=True))
    for _ in range(2):
        with pytest.raises(BuildError, match="refused"):
            shop.obtain(recipe())
    assert not workshop(tmp_path, Task(), "b").obtain(recipe()).cached


def test_a_cached_file_with_a_fault_is_rejected_and_replaced(tmp_path: Path) -> None:
    workshop(tmp_path, Task("foreign plan")).obtain(recipe())
    strict = replace(recipe(), faults=lambda files, _: ("foreign",) if "foreign" in files["plan"].read_text() else ())
    made = workshop(tmp_path, Task("good plan"), "b").obtain(strict)
    assert not made.cached
    assert isinstance(made.lookup, Rejected)
    assert any("foreign" in warning for warning in made.warnings)
    again = workshop(tmp_path, Task(), "c").obtain(strict)
    assert again.cached
    assert again.files["plan"].read_text() == "good plan"


def test_F36_nothing_is_kept_when_the_inputs_changed_during_the_work(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="changed while"):
        workshop(tmp_path, Task()).obtain(replace(recipe(), unchanged=lambda: False))
    assert not workshop(tmp_path, Task(), "b").obtain(recipe()).cached


def test_a_miss_names_what_changed_and_how_long_it_took_last_time(tmp_path: Path) -> None:
    workshop(tmp_path, Task()).obtain(recipe(model="m1", precision="fp16"))
    lookup = workshop(tmp_path, Task(), "b").look_up(recipe(model="m2", precision="fp16").key, "digits/sm_89/fp16")
    assert isinstance(lookup, Miss)
    assert [str(difference) for difference in lookup.differences] == ["model m1 -> m2"]
    assert lookup.previous_s is not None


def test_the_loser_of_a_race_uses_the_winners_file(tmp_path: Path) -> None:
    loser = workshop(tmp_path, Task("mine"))
    assert isinstance(loser.look_up(recipe().key, "digits/sm_89/fp16"), Miss)
    workshop(tmp_path, Task("theirs"), "b").obtain(recipe())
    assert loser.obtain(recipe()).files["plan"].read_text() == "theirs"


def test_the_warnings_of_what_it_is_made_from_stay_with_an_artefact(tmp_path: Path) -> None:
    class Warned(Task):
        def __call__(self, task: str, request: Mapping[str, Any], folder: Path, **options: Any) -> dict[str, Any]:
            return {**super().__call__(task, request, folder, **options), "warnings": ["a weight was cut"]}

    shop = workshop(tmp_path, Warned())
    source = recipe(model="typed")
    made = shop.obtain(replace(recipe(model="engine"), sources=lambda: (shop.obtain(source),)))
    assert made.outcome["warnings"] == ["a weight was cut"] * 2
    fetched = workshop(tmp_path, Task(), "b").obtain(recipe(model="engine"))
    assert fetched.outcome["warnings"] == ["a weight was cut"] * 2


def test_a_look_up_is_made_once_per_run(tmp_path: Path) -> None:
    shop = workshop(tmp_path, Task())
    first = shop.look_up(recipe().key, "digits/sm_89/fp16")
    workshop(tmp_path, Task(), "b").obtain(recipe())
    assert shop.look_up(recipe().key, "digits/sm_89/fp16") is first
    assert isinstance(workshop(tmp_path, Task(), "c").look_up(recipe().key, "digits/sm_89/fp16"), Hit)


def test_what_another_runner_is_at_work_on_is_awaited_and_fetched(tmp_path: Path) -> None:
    def finish() -> None:
        workshop(tmp_path, Task("theirs"), "other").obtain(recipe())

    def sources() -> tuple[Artefact, ...]:
        raise AssertionError("nothing that it is made from is asked for")

    task = Task("mine")
    waiting = workshop(tmp_path, task, leases=FakeLeases(refusals=2, at_first=finish))
    waiting.look_up(recipe().key, "digits/sm_89/fp16")

    found = waiting.obtain(replace(recipe(), expensive=True, sources=sources))

    assert found.cached
    assert found.files["plan"].read_text() == "theirs"
    assert task.requests == []
    assert isinstance(waiting.look_up(recipe().key, "digits/sm_89/fp16"), Hit)


def test_what_another_runner_finished_since_the_look_up_is_not_made_again(tmp_path: Path) -> None:
    task, leases = Task("mine"), FakeLeases()
    shop = workshop(tmp_path, task, leases=leases)
    shop.look_up(recipe().key, "digits/sm_89/fp16")
    workshop(tmp_path, Task("theirs"), "other").obtain(recipe())

    assert shop.obtain(replace(recipe(), expensive=True)).files["plan"].read_text() == "theirs"
    assert task.requests == []
    assert leases.events == ["held", "take", "release"]


def test_what_another_runner_made_unfit_is_made_here(tmp_path: Path) -> None:
    shop = workshop(tmp_path, Task("good plan"), leases=FakeLeases())
    shop.look_up(recipe().key, "digits/sm_89/fp16")
    workshop(tmp_path, Task("foreign plan"), "other").obtain(recipe())
    strict = replace(
        recipe(),
        expensive=True,
        faults=lambda files, _: ("foreign",) if "foreign" in files["plan"].read_text() else (),
    )

    assert shop.obtain(strict).files["plan"].read_text() == "good plan"
    assert workshop(tmp_path, Task(), "c").obtain(strict).cached


def test_the_lease_is_held_until_the_cache_has_what_was_made(tmp_path: Path) -> None:
    seen = []

    def look() -> None:
        seen.append(workshop(tmp_path, Task(), "other").look_up(recipe().key, "digits/sm_89/fp16"))

    workshop(tmp_path, Task(), leases=FakeLeases(at_release=look)).obtain(replace(recipe(), expensive=True))

    assert [type(each) for each in seen] == [Hit]


def test_what_is_cheap_takes_no_lease(tmp_path: Path) -> None:
    leases = FakeLeases()
    workshop(tmp_path, Task(), leases=leases).obtain(recipe())
    assert leases.events == []


def test_without_a_cache_no_lease_is_taken(tmp_path: Path) -> None:
    leases = FakeLeases()
    shop = workshop(tmp_path, Task(), leases=leases)
    shop._cache = ContentCache(None)
    shop.obtain(replace(recipe(), expensive=True))
    assert leases.events == []
