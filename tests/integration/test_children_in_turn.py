"""An artefact that several real children make, one after another, in one workshop."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.artefacts.recipe import Recipe
from pipeline.artefacts.workshop import Workshop
from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.child.supervisor import run_task
from pipeline.errors import ModelError
from pipeline.keys import key_from_ingredients
from pipeline.machine.gpu_lock import GpuPool
from pipeline.machine.slots import Slots
from pipeline.publish.progress import Progress
from tests.support.child_tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.child.children import Child


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(
        cache=ContentCache(LocalStore(tmp_path / "cache")),
        scratch=tmp_path / "scratch",
        logs=tmp_path / "logs",
        slots=Slots(1, 1 << 40),
        gpus=GpuPool(tmp_path),
        cancel=threading.Event(),
        progress=Progress(None),
        run_task=partial(run_task, _tasks=TASKS),
    )


def in_turn(request: Mapping[str, Any], child: Child) -> dict[str, Any]:
    return {"answers": [child({**request, "number": number})["number"] for number in range(3)]}


def recipe(task: str) -> Recipe:
    return Recipe(
        key=key_from_ingredients("comparison", {"task": task}),
        subject="digits/h200/fp16",
        task=task,
        stage="comparing",
        request=lambda _: {"text": "the same for all"},
        in_turn=in_turn,
        timeout_s=60.0,
    )


def test_each_works_alone_and_what_they_answer_is_one_artefact(workshop: Workshop, tmp_path: Path) -> None:
    made = workshop.obtain(recipe("repeat"))
    assert made.outcome["answers"] == [0, 1, 2]
    assert [path.name for path in (tmp_path / "scratch/comparison").rglob("*") if path.is_file()] == ["outcome.json"]


def test_it_is_not_made_again(workshop: Workshop, tmp_path: Path) -> None:
    workshop.obtain(recipe("repeat"))
    assert ContentCache(LocalStore(tmp_path / "cache")).stored("comparison", recipe("repeat").key.digest) is not None


def test_the_failure_of_one_is_that_of_the_artefact(workshop: Workshop) -> None:
    with pytest.raises(ModelError, match="what"):
        workshop.obtain(recipe("fail"))
