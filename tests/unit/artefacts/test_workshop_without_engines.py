from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.artefacts.recipe import Recipe
from pipeline.artefacts.workshop import NotCachedError
from pipeline.keys import key_from_ingredients
from pipeline.machine.devices import GpuDevice
from tests.support.workshops import workshop_with

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GPU = GpuDevice(
    uuid="GPU-1", name="H200", compute_capability=(9, 0), memory_bytes=1, driver="580.1", cuda="13.0", index=0
)


def child(_task: str, _request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    (folder / "plan").write_text("plan")
    return {"file": "plan"}


def recipe(kind: str) -> Recipe:
    return Recipe(
        key=key_from_ingredients(kind, {"model": "m"}),
        subject="digits/sm_89/fp16",
        task="build",
        stage="building",
        request=lambda _: {},
        files=lambda outcome: (outcome["file"],),
        memory_bytes=1,
    )


def test_a_cached_engine_is_described_and_left_where_it_is(tmp_path: Path) -> None:
    made = workshop_with(child, tmp_path).obtain(recipe("engine"))
    later = workshop_with(child, tmp_path, "b")

    found = later.without_engines().obtain(recipe("engine"))

    assert found.cached
    assert found.outcome == made.outcome
    assert found.files == {}
    assert found.digest("plan") == made.digest("plan")
    assert found.blobs["plan"].size_bytes == 4
    assert list((tmp_path / "scratch-b").rglob("plan")) == []


def test_an_engine_that_is_not_cached_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotCachedError):
        workshop_with(child, tmp_path).without_engines().obtain(recipe("engine"))


def test_what_a_gpu_found_out_is_fetched_and_not_made(tmp_path: Path) -> None:
    layers = replace(recipe("layers"), gpus=(GPU,))
    with pytest.raises(NotCachedError):
        workshop_with(child, tmp_path).without_engines().obtain(layers)
    workshop_with(child, tmp_path).obtain(layers)

    assert workshop_with(child, tmp_path, "b").without_engines().obtain(layers).files["plan"].read_text() == "plan"


def test_what_needs_no_engine_is_made(tmp_path: Path) -> None:
    assert not workshop_with(child, tmp_path).without_engines().obtain(recipe("check")).cached
