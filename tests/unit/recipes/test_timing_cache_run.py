"""Whole runs that build with timing caches, on a machine whose children are functions."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from pipeline.build.timing_cache import SUFFIX
from pipeline.cache.local import LocalStore
from pipeline.commands.cli import main
from pipeline.recipes.timing_caches import KIND, timing_key
from tests.support.fake_gpu_machine import VERSION, FakeMachine

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.digest import Digest

SECRET = {"TRT_ENGINE_CACHE_SECRET": "s" * 32}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    return FakeMachine(tmp_path).install(monkeypatch)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of all receipts that are asked for."""
    kinds: list[str] = []
    get_receipt = LocalStore.get_receipt

    def noted(store: LocalStore, kind: str, key: Digest) -> bytes | None:
        kinds.append(kind)
        return get_receipt(store, kind, key)

    monkeypatch.setattr(LocalStore, "get_receipt", noted)
    return kinds


def entry_of(machine: FakeMachine) -> Path:
    (path,) = (machine.folder / ".trt-cache/v1/receipt" / KIND).rglob("*.json")
    return path


def damage(entry: Path) -> None:
    entry.chmod(0o644)
    entry.write_bytes(b"planted")


def test_a_build_loads_what_builds_of_earlier_runs_timed(machine: FakeMachine) -> None:
    machine.run_main(level=1)
    machine.run_main(level=2)
    machine.run_main(level=3)
    assert machine.loaded == [set(), {"level-1"}, {"level-1", "level-2"}]


def test_a_pull_requests_build_loads_what_the_base_branchs_timed(machine: FakeMachine) -> None:
    machine.run_main(level=1)
    report = machine.run_change(level=2)
    assert machine.loaded == [set(), {"level-1"}]
    assert report["notes"] == []


def test_builds_of_another_tensorrt_load_nothing_of_it(machine: FakeMachine) -> None:
    machine.run_main()
    machine.version = "8.6.1"
    machine.run_main()
    assert machine.loaded == [set(), set()]


def test_a_run_with_nothing_to_build_asks_for_no_timing_cache(machine: FakeMachine, asked: list[str]) -> None:
    machine.run_main()
    assert KIND in asked
    asked.clear()
    report = machine.run_main()
    assert [job["status"] for job in report["jobs"]] == ["cached"]
    assert "engine" in asked
    assert KIND not in asked


def test_a_plan_asks_for_no_timing_cache(machine: FakeMachine, asked: list[str]) -> None:
    machine.run_main(command=("plan",))
    machine.plan_change()
    assert "engine" in asked
    assert KIND not in asked


def test_without_a_cache_builds_have_no_timing_cache(machine: FakeMachine) -> None:
    machine.run_main(level=1, command=("run", "--cache", "none"))
    machine.run_main(level=2, command=("run", "--cache", "none"))
    assert machine.loaded == [set(), set()]


def test_a_timing_cache_that_was_damaged_is_told_and_the_build_goes_on(machine: FakeMachine) -> None:
    machine.run_main(level=1)
    damage(entry_of(machine))
    report = machine.run_main(level=2)
    assert (report["returncode"], machine.loaded[-1]) == (0, set())
    (note,) = report["notes"]
    assert note.startswith("a timing cache of TensorRT was not used")
    assert machine.run_main(level=3)["notes"] == []
    assert machine.loaded[-1] == {"level-2"}


def test_a_damaged_timing_cache_does_not_end_a_run_that_requires_its_cache(machine: FakeMachine) -> None:
    machine.run_main(level=1)
    damage(entry_of(machine))
    assert machine.run_main(level=2, command=("run", "--cache-required"))["returncode"] == 0


def test_T2_a_timing_cache_without_a_seal_is_not_given_to_a_build(machine: FakeMachine) -> None:
    machine.run_main(level=1)
    report = machine.run_main(level=2, **SECRET)
    assert machine.loaded == [set(), set()]
    assert any("it bears no seal" in note for note in report["notes"])


def test_T13_what_was_planted_beside_the_store_is_never_given_to_a_build(machine: FakeMachine) -> None:
    key = timing_key(VERSION, "NVIDIA H200", "580.1").digest.hex
    for name in (f"{key}.json", f"{key}{SUFFIX}", f"GPU-1{SUFFIX}"):
        for folder in (f"v1/receipt/{KIND}/{key[:2]}", f"timing/trusted/{key}", "timing"):
            path = machine.folder / ".trt-cache" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("planted")
    report = machine.run_main()
    assert (report["returncode"], machine.loaded) == (0, [set()])
    assert any("the receipt is damaged" in note for note in report["notes"])


def test_the_commands_of_the_cache_show_it_and_prune_leaves_it(
    machine: FakeMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.run_main(level=1)
    machine.run_main(level=2)
    key = timing_key(VERSION, "NVIDIA H200", "580.1").digest.hex
    yesterday = time.time() - 86400
    for path in (machine.folder / ".trt-cache").rglob("*"):
        os.utime(path, (yesterday, yesterday))
    said = {}
    for command in (("list",), ("stats",), ("explain", key[:12]), ("verify",), ("prune", "--yes")):
        capsys.readouterr()
        assert main(["cache", *command], {}) == 0
        said[command[0]] = capsys.readouterr().out
    assert f"TensorRT {VERSION} on NVIDIA H200" in said["list"]
    assert KIND in said["stats"]
    assert "timing.driver" in said["explain"]
    machine.run_main(level=3)
    assert machine.loaded[-1] == {"level-1", "level-2"}
