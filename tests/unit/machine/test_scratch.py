from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import pytest

from pipeline.child.identity import NOBODY
from pipeline.machine import scratch
from pipeline.machine.scratch import scratch_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder, in which nothing is too young to be swept."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "_YOUNG_S", -1.0)
    return tmp_path


def test_a_scratch_folder_is_private_and_gone_at_the_end(place: Path) -> None:
    with scratch_folder() as folder:
        assert folder.parent == place
        assert folder.stat().st_mode & 0o067 == 0
        (folder / "engine").mkdir()
    assert list(place.iterdir()) == []


def test_the_children_of_a_root_step_may_pass_it_and_not_list_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[tuple[Path, int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda path, user, group: handed.append((path, user, group)))
    with scratch_folder() as folder:
        assert (folder.parent, folder.stat().st_mode & 0o777) == (place, 0o710)
    assert handed == [(folder, -1, NOBODY)]


def test_what_a_run_that_was_killed_left_is_swept(place: Path) -> None:
    (place / "trt-engines-dead/engine").mkdir(parents=True)
    with scratch_folder() as folder:
        assert list(place.iterdir()) == [folder]


def test_a_run_that_goes_on_keeps_its_folder() -> None:
    with scratch_folder() as first, scratch_folder():
        assert first.is_dir()


def test_a_folder_that_was_made_just_now_is_left_alone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "_YOUNG_S", 60.0)
    (place / "trt-engines-new").mkdir()
    with scratch_folder():
        assert (place / "trt-engines-new").is_dir()


def test_what_is_no_folder_or_somebody_elses_is_left_alone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "elsewhere").mkdir()
    (place / "trt-engines-link").symlink_to(place / "elsewhere")
    (place / "trt-engines-file").touch()
    with scratch_folder():
        assert (place / "trt-engines-link").is_symlink()
        assert (place / "elsewhere").is_dir()
        assert (place / "trt-engines-file").is_file()
    (place / "trt-engines-theirs").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with scratch_folder():
        assert (place / "trt-engines-theirs").is_dir()
