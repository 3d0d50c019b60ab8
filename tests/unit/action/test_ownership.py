from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.action import ownership
from pipeline.action.ownership import hand_over

if TYPE_CHECKING:
    from pathlib import Path

Given = list[tuple[str, int, int]]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """What is handed over, in a world where ``_ROOT`` is whoever runs the tests."""
    calls: Given = []

    def chown(name: str, uid: int, gid: int, **options: Any) -> None:
        assert options["follow_symlinks"] is False
        calls.append((name, uid, gid))

    monkeypatch.setattr(os, "chown", chown)
    monkeypatch.setattr(ownership, "_ROOT", os.getuid())
    return calls


class _Owned:
    """A workspace that says it belongs to user 1001, on its own device."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return str(self._path)

    def stat(self) -> os.stat_result:
        real = list(self._path.stat())
        real[4], real[5] = 1001, 1002
        return os.stat_result(real)


def test_files_folders_and_links_of_root_go_to_the_owner(tmp_path: Path, given: Given) -> None:
    (tmp_path / "engines/digits").mkdir(parents=True)
    (tmp_path / "engines/digits/a.engine").touch()
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert hand_over(_Owned(tmp_path)) == 4  # type: ignore[arg-type]
    assert sorted(given) == [(name, 1001, 1002) for name in ("a.engine", "digits", "engines", "link")]


def test_T15_a_file_of_root_that_has_another_name_is_not_given_away(tmp_path: Path, given: Given) -> None:
    """Where the kernel lets anybody link any file (``fs.protected_hardlinks``), that name may be ``/etc/shadow``."""
    (tmp_path / "shadow").touch()
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/report.json").hardlink_to(tmp_path / "shadow")
    assert hand_over(_Owned(tmp_path / "workspace")) == 0  # type: ignore[arg-type]
    assert given == []


def test_what_a_link_leads_to_is_left_alone(tmp_path: Path, given: Given) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").touch()
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/link").symlink_to(tmp_path / "outside")
    hand_over(_Owned(tmp_path / "workspace"))  # type: ignore[arg-type]
    assert [name for name, _, _ in given] == ["link"]


def test_what_others_own_is_left_alone(tmp_path: Path, given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "_ROOT", os.getuid() + 1)
    (tmp_path / "file").touch()
    assert hand_over(_Owned(tmp_path)) == 0  # type: ignore[arg-type]
    assert not given


def test_a_workspace_of_roots_own_is_left_alone(tmp_path: Path, given: Given) -> None:
    (tmp_path / "file").touch()
    assert hand_over(tmp_path) == 0
    assert not given
