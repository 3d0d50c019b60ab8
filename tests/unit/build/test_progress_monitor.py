from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from pipeline.build.progress_monitor import BuildProgress, progress_text, told_progress

if TYPE_CHECKING:
    from pathlib import Path


def test_phases_are_told_outermost_first_with_the_steps_done(tmp_path: Path) -> None:
    progress = BuildProgress(tmp_path)
    progress.phase_started("Building Engine", 7)
    progress.step_done("Building Engine", 2)
    progress.phase_started("Tactic Selection", 109)
    assert progress.text == "Building Engine 3/7, Tactic Selection 0/109"


def test_a_phase_that_ended_is_told_no_more(tmp_path: Path) -> None:
    progress = BuildProgress(tmp_path)
    progress.phase_started("Building Engine", 7)
    progress.phase_ended("Building Engine")
    assert progress.text == ""


def test_whoever_waits_can_read_it(tmp_path: Path) -> None:
    BuildProgress(tmp_path).phase_started("Building Engine", 7)
    assert progress_text(tmp_path) == "Building Engine 0/7"


def test_where_nothing_was_told_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert progress_text(tmp_path / "gone") == ""


def test_a_folder_that_cannot_be_written_does_not_stop_the_build(tmp_path: Path) -> None:
    BuildProgress(tmp_path / "gone").phase_started("Building Engine", 7)


def test_a_version_without_progress_monitors_tells_nothing(tmp_path: Path) -> None:
    config = SimpleNamespace()
    with told_progress(SimpleNamespace(), config, tmp_path):
        assert vars(config) == {}
