"""Whole runs where TensorRT builds nothing with REFIT, on a machine whose children are functions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.manifest.types import BuildSettings
from pipeline.recipes.inspection import rebuild_recipe
from tests.support.fake_gpu_machine import FakeMachine
from tests.support.refit_site import Children, Site
from tests.support.specs import H200, job

if TYPE_CHECKING:
    from pathlib import Path

NO_KERNEL = "Could not find any implementation for node {ForeignNode[norm1.weight]}"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    return FakeMachine(tmp_path, no_kernel=NO_KERNEL).install(monkeypatch)


def job_of(report: dict[str, Any]) -> dict[str, Any]:
    (found,) = report["jobs"]
    return dict(found)


def test_auto_builds_without_it_and_the_report_warns(machine: FakeMachine) -> None:
    report = machine.run()
    assert report["returncode"] == 0
    assert machine.tasks["build"] == 2
    (warning,) = [text for text in job_of(report)["warnings"] if "REFIT" in text]
    assert warning.startswith("built without REFIT, so that every retrained model is built again: ")
    assert NO_KERNEL in warning


def test_the_next_run_finds_it_cached_and_warns_again(machine: FakeMachine) -> None:
    machine.run()
    report = machine.run()
    assert machine.tasks["build"] == 2
    assert job_of(report)["status"] == "cached"
    assert any(NO_KERNEL in text for text in job_of(report)["warnings"])


def test_what_lies_beside_the_engine_says_that_it_was_built_without(machine: FakeMachine) -> None:
    report = machine.run()
    beside = (machine.folder / "engines" / job_of(report)["engine"]["path"]).with_suffix(".json")
    sidecar = json.loads(beside.read_text())
    assert sidecar["builder_settings"]["refit"] is False


def test_always_fails_with_the_builders_line(machine: FakeMachine) -> None:
    report = machine.run(build="refit: always")
    assert report["returncode"] == 6
    assert machine.tasks["build"] == 1
    assert job_of(report)["failure"]["why"] == NO_KERNEL


def test_never_builds_once_and_warns_of_nothing(machine: FakeMachine) -> None:
    report = machine.run(build="refit: never")
    assert (report["returncode"], machine.tasks["build"]) == (0, 1)
    assert not any("REFIT" in text for text in job_of(report)["warnings"])


def test_a_rebuild_from_its_tactics_is_without_it_too(tmp_path: Path) -> None:
    site, children = Site(tmp_path, BuildSettings(deterministic="verify")), Children(no_kernel=NO_KERNEL)
    _, engine = site.run("first", children)
    _, model, recipes = site.surveyed("first", children)
    tactics = tmp_path / "tactics.timing"
    tactics.write_bytes(b"tactics")
    kept = replace(engine, files={**engine.files, "t": tactics}, outcome={**engine.outcome, "tactics": "t"})
    layers = replace(engine, files={"layers.json": tactics}, outcome={"layers": "layers.json"})
    recipe = rebuild_recipe(job(target=H200), model, kept, layers, recipes)
    assert recipe is not None
    assert recipe.request(recipe.sources())["build"]["refit"] is False
