from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import ModelError
from pipeline.prepare.dataset_files import dataset_digest, dataset_files

if TYPE_CHECKING:
    from pathlib import Path


def _folder(parent: Path, files: dict[str, bytes], name: str = "data") -> Path:
    folder = parent / name
    folder.mkdir()
    for file, data in files.items():
        (folder / file).write_bytes(data)
    return folder


def test_files_of_a_folder_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = _folder(tmp_path, {"b.npy": b"", "a.npy": b"", ".hidden": b"", "B.npy": b""})
    assert [file.name for file in dataset_files(folder)] == ["B.npy", "a.npy", "b.npy"]


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({}, "holds no data"),
        ({".gitkeep": b""}, "holds no data"),
        ({"a.npy": b"", "b.npz": b""}, "both .npz and .npy"),
        ({"a.npy": b"", "labels.txt": b""}, "labels.txt: a data set's folder holds .npz or .npy files alone"),
    ],
)
def test_a_folder_of_other_things_is_refused(tmp_path: Path, files: dict[str, bytes], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        dataset_files(_folder(tmp_path, files))


def test_a_folder_within_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npy").mkdir()
    with pytest.raises(ModelError, match="alone"):
        dataset_files(tmp_path)


def test_missing_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the data is missing"):
        dataset_files(tmp_path / "a.npz")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").touch()
    with pytest.raises(ModelError, match="this is no data set"):
        dataset_files(tmp_path / "a.pkl")


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises(ModelError, match="neither a file nor a folder"):
        dataset_files(tmp_path / "a.npy")


def test_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    folder = _folder(tmp_path, {})
    (folder / "a.npy").symlink_to(tmp_path / "secret")
    for path in (folder, folder / "a.npy"):
        with pytest.raises(ModelError, match="symbolic link"):
            dataset_digest(path)


def test_the_digest_follows_the_bytes(tmp_path: Path) -> None:
    before = dataset_digest(_folder(tmp_path, {"a.npy": b"1", "b.npy": b"2"}, "before"))
    assert dataset_digest(_folder(tmp_path, {"a.npy": b"1", "b.npy": b"3"}, "changed")) != before
    assert dataset_digest(_folder(tmp_path, {"a.npy": b"12", "b.npy": b""}, "shifted")) != before
    assert dataset_digest(_folder(tmp_path, {"a.npy": b"2", "b.npy": b"1"}, "swapped")) != before
    assert dataset_digest(_folder(tmp_path, {"a.npz": b"1", "b.npz": b"2"}, "kind")) != before


def test_the_digest_does_not_follow_names_that_keep_the_order(tmp_path: Path) -> None:
    before = dataset_digest(_folder(tmp_path, {"a.npy": b"1", "b.npy": b"2"}, "before"))
    assert dataset_digest(_folder(tmp_path, {"x.npy": b"1", "y.npy": b"2"}, "renamed")) == before


def test_the_digest_never_changes(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"data")
    assert str(dataset_digest(tmp_path / "a.npy")) == (
        "sha256:eeca69059225b49bcfa77abda8600756676f494eba76de0977e418bc2e93722e"
    )
