from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.paths import OutsideFolderError, contained, write_bytes_atomically, written_atomically


@pytest.mark.parametrize(
    "relative", ["", ".", "/etc/passwd", "..", "../x", "a/../../x", "a/..", "a\0b", "a\\b", "..\\x"]
)
def test_text_that_could_lead_out_of_the_folder_is_refused(tmp_path: Path, relative: str) -> None:
    with pytest.raises(OutsideFolderError):
        contained(tmp_path, relative)


@given(st.text(max_size=30))
def test_whatever_is_accepted_stays_below_the_folder(relative: str) -> None:
    folder = Path("/nonexistent/folder")
    try:
        path = contained(folder, relative)
    except OutsideFolderError:
        return
    assert os.path.normpath(path).startswith(f"{folder}/")


def test_a_file_that_does_not_exist_yet_is_fine(tmp_path: Path) -> None:
    assert contained(tmp_path, "a/b.onnx") == tmp_path / "a" / "b.onnx"


def test_a_link_to_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "secret")

    with pytest.raises(OutsideFolderError, match="symbolic link"):
        contained(tmp_path, "link")


def test_a_path_through_a_linked_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    with pytest.raises(OutsideFolderError, match="symbolic link"):
        contained(tmp_path, "link/file")


def test_a_folder_that_is_itself_a_link_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("x")
    (tmp_path / "link").symlink_to("real")

    assert contained(tmp_path / "link", "file").read_text() == "x"


def test_a_file_with_a_second_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    os.link(tmp_path / "file", tmp_path / "other")

    with pytest.raises(OutsideFolderError, match="hard link"):
        contained(tmp_path, "file")


def test_a_file_written_well_is_there_whole(tmp_path: Path) -> None:
    write_bytes_atomically(tmp_path / "new" / "file", b"data")

    assert (tmp_path / "new" / "file").read_bytes() == b"data"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    with pytest.raises(KeyboardInterrupt):
        _write_half(path)

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_name_appears_only_when_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "file"

    with written_atomically(path) as file:
        file.write(b"data")
        assert not path.exists()

    assert path.read_bytes() == b"data"


def _write_half(path: Path) -> None:
    with written_atomically(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
