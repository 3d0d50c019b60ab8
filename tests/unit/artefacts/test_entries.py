"""Artefacts as entries of a real cache in a folder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pipeline.artefacts.entries import Entries
from pipeline.artefacts.recipe import Artefact
from pipeline.cache.answers import Hit, Miss, Off, Rejected
from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from tests.support.workshops import plan_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

RECIPE = plan_recipe()


def entries(folder: Path) -> Entries:
    return Entries(ContentCache(LocalStore(folder / "cache")))


def made(folder: Path, text: str = "engine") -> Artefact:
    (folder / "plan").write_text(text)
    return Artefact(
        key=RECIPE.key,
        files={"plan": folder / "plan"},
        outcome={"file": "plan"},
        cached=False,
        lookup=Miss("never built before"),
        made_in_s=2.5,
    )


def no_faults(_files: Mapping[str, Path], _outcome: Mapping[str, Any]) -> tuple[str, ...]:
    return ()


@pytest.fixture
def hit(tmp_path: Path) -> Hit:
    entries(tmp_path).commit(RECIPE, made(tmp_path), tmp_path)
    found = entries(tmp_path).look_up(RECIPE.key, RECIPE.subject)
    assert isinstance(found, Hit)
    return found


def test_what_was_committed_is_read_as_it_was(hit: Hit, tmp_path: Path) -> None:
    found = entries(tmp_path).read(hit, tmp_path / "out", no_faults)
    assert isinstance(found, Artefact)
    assert (found.outcome, found.made_in_s, found.cached) == ({"file": "plan"}, 2.5, True)
    assert found.files["plan"].read_text() == "engine"


def test_an_outcome_is_read_without_the_files(hit: Hit, tmp_path: Path) -> None:
    found = entries(tmp_path).read_outcome(hit, tmp_path / "out")
    assert isinstance(found, Artefact)
    assert (found.outcome, found.files) == ({"file": "plan"}, {})


def test_an_entry_without_an_outcome_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "plan").write_text("engine")
    cache = ContentCache(LocalStore(tmp_path / "cache"))
    receipt = cache.commit(RECIPE.key, RECIPE.subject, {"plan": tmp_path / "plan"}, {}).receipt
    found = Entries(cache).read(Hit(receipt), tmp_path / "out", no_faults)
    assert isinstance(found, Rejected)
    assert "its outcome cannot be read" in found.reason


def test_a_rejected_entry_is_replaced_by_the_next_commit(hit: Hit, tmp_path: Path) -> None:
    run = entries(tmp_path)
    assert run.look_up(RECIPE.key, RECIPE.subject) == hit
    run.reject(RECIPE.key, "it did not pass")
    assert run.look_up(RECIPE.key, RECIPE.subject) == Rejected("it did not pass")
    run.commit(RECIPE, made(tmp_path, "another"), tmp_path)

    found = entries(tmp_path).look_up(RECIPE.key, RECIPE.subject)
    assert isinstance(found, Hit)
    read = entries(tmp_path).read(found, tmp_path / "out", no_faults)
    assert isinstance(read, Artefact)
    assert read.files["plan"].read_text() == "another"


def test_what_is_never_stored_is_not_looked_up_and_not_committed(hit: Hit, tmp_path: Path) -> None:
    passing = replace(RECIPE, stored=False)
    run = entries(tmp_path / "empty")
    artefact = made(tmp_path)
    assert isinstance(run.lookup_of(passing), Off)
    assert run.commit(passing, artefact, tmp_path) is artefact
    assert isinstance(run.look_up(RECIPE.key, RECIPE.subject), Miss)


def test_an_artefact_is_kept_under_other_keys_besides(tmp_path: Path) -> None:
    besides = plan_recipe(weights="any").key
    entries(tmp_path).commit(replace(RECIPE, also=lambda _: (besides,)), made(tmp_path), tmp_path)
    found = entries(tmp_path).beside(besides, RECIPE.subject)
    assert isinstance(found, Hit)
    assert found.receipt.metadata["engine"] == str(RECIPE.key.digest)
