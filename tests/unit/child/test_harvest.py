from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pipeline.child.harvest import TrapError, size_bytes, take_over

if TYPE_CHECKING:
    from pathlib import Path


def test_files_become_readable_as_others_are(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir(mode=0o700)
    (tmp_path / "below/file").touch(mode=0o600)
    take_over(tmp_path)
    assert (tmp_path / "below").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "below/file").stat().st_mode & 0o7777 == 0o644


def test_a_right_to_change_the_user_is_lost(tmp_path: Path) -> None:
    (tmp_path / "program").touch()
    (tmp_path / "program").chmod(0o4755)
    take_over(tmp_path)
    assert (tmp_path / "program").stat().st_mode & 0o7777 == 0o644


def make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_second_name(path: Path) -> None:
    path.with_name("first").touch()
    os.link(path.with_name("first"), path)


@pytest.mark.parametrize("make", [make_link, make_second_name, os.mkfifo])
def test_what_is_no_plain_file_is_a_trap(tmp_path: Path, make: object) -> None:
    make(tmp_path / "trap")  # type: ignore[operator]
    with pytest.raises(TrapError, match="is not a plain file"):
        take_over(tmp_path)


def test_the_size_is_what_lies_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below/file").write_bytes(bytes(1 << 20))
    (tmp_path / "link").symlink_to("below/file")
    assert 1 << 20 <= size_bytes(tmp_path) < 2 << 20
