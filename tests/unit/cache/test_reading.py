from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from pipeline.cache.reading import ForeignFile, chunks, failures, folders, opened_regular, shards, verified_chunks
from pipeline.cache.store import BlobDamaged, StoreFailed
from pipeline.digest import digest_from_bytes

if TYPE_CHECKING:
    from pathlib import Path


def test_a_regular_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")

    file = opened_regular(tmp_path / "file")

    assert file is not None
    with file:
        assert file.read() == b"data"


@pytest.mark.parametrize("name", ["missing", "file/below"])
def test_where_nothing_is_nothing_is_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()

    assert opened_regular(tmp_path / name) is None


@pytest.mark.parametrize("kind", ["folder", "link", "loop", "pipe", "socket"])
def test_anything_but_a_regular_file_is_foreign_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / "thing"
    (tmp_path / "target").touch()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("thing")
    else:
        path.symlink_to(tmp_path / "target" if kind == "link" else path)

    with pytest.raises(ForeignFile, match="no regular file"):
        opened_regular(path)


@pytest.mark.parametrize(("limit_bytes", "expected"), [(None, 3_000_000), (0, 0), (1, 1), (2_500_000, 2_500_000)])
def test_no_more_is_read_than_was_asked_for(tmp_path: Path, limit_bytes: int | None, expected: int) -> None:
    (tmp_path / "file").write_bytes(bytes(3_000_000))

    with (tmp_path / "file").open("rb") as file:
        assert sum(map(len, chunks(file, limit_bytes))) == expected


def test_verified_chunks_are_the_bytes_of_the_blob(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(data)

    with (tmp_path / "file").open("rb") as file:
        assert b"".join(verified_chunks(file, digest_from_bytes(data), len(data))) == data


@pytest.mark.parametrize(
    ("data", "reason"), [(b"wrong", "have changed"), (b"righ", "shorter"), (b"rights", "longer"), (b"", "shorter")]
)
def test_other_bytes_are_damage_by_the_time_the_last_chunk_was_asked_for(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    (tmp_path / "file").write_bytes(data)

    with (tmp_path / "file").open("rb") as file, pytest.raises(BlobDamaged, match=reason):
        list(verified_chunks(file, digest_from_bytes(b"right"), 5))


def test_an_os_error_becomes_a_failure_of_the_store_that_says_what_was_being_done(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="cannot list it: No such file or directory"), failures("cannot list it"):
        (tmp_path / "missing").stat()


def test_links_to_folders_are_not_folders(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("a")

    assert list(folders(tmp_path)) == [tmp_path / "a", tmp_path / "b"]
    assert list(folders(tmp_path / "link")) == []


def test_only_names_that_fit_their_shard_are_stored_things(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    for name in ("ab" * 32, "cd" * 32, "AB" * 32, "ab", "README"):
        (tmp_path / "ab" / name).write_text("12")

    assert [(path.name, stored.size_bytes) for path, stored in shards(tmp_path, "")] == [("ab" * 32, 2)]
