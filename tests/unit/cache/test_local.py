from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING

import pytest

from pipeline.cache.local import LocalStore
from pipeline.cache.receipt import RECEIPT_LIMIT_BYTES, ReceiptDamaged
from pipeline.cache.store import BlobDamaged, BlobMissing, DestinationFailed, Store, StoreFailed
from pipeline.digest import Digest, digest_from_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = Digest("sha256", "ab" * 32)
DATA = bytes(range(256)) * 5000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def store(folder: Path) -> LocalStore:
    return LocalStore(folder)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return path


def test_it_is_a_store(store: LocalStore) -> None:
    typed: Store = store
    assert str(typed)


def test_reading_an_absent_cache_makes_nothing(store: LocalStore, folder: Path) -> None:
    assert store.get_receipt("engine", KEY) is None
    assert store.blob_size(KEY) is None
    assert list(store.receipts()) == []
    assert list(store.blobs()) == []
    assert store.sweep(0) == 0
    store.mark_used("engine", KEY)
    store.delete_receipt("engine", KEY)
    assert not folder.exists()


def test_a_receipt_is_read_as_it_was_written(store: LocalStore, folder: Path) -> None:
    assert store.put_receipt("engine", KEY, b"first", replace=False)

    assert store.get_receipt("engine", KEY) == b"first"
    assert (folder / "v1" / "receipt" / "engine" / "ab" / f"{KEY.hex}.json").read_bytes() == b"first"


def test_the_first_of_two_receipts_wins(store: LocalStore) -> None:
    store.put_receipt("engine", KEY, b"first", replace=False)

    assert not store.put_receipt("engine", KEY, b"second", replace=False)
    assert store.get_receipt("engine", KEY) == b"first"


def test_a_repair_replaces_the_receipt(store: LocalStore) -> None:
    store.put_receipt("engine", KEY, b"first", replace=False)

    assert store.put_receipt("engine", KEY, b"second", replace=True)
    assert store.get_receipt("engine", KEY) == b"second"


def test_receipts_of_two_kinds_do_not_meet(store: LocalStore) -> None:
    store.put_receipt("engine", KEY, b"first", replace=False)

    assert store.get_receipt("check", KEY) is None
    assert [(kind, key) for kind, key, _ in store.receipts("check")] == []
    assert [(kind, key) for kind, key, _ in store.receipts()] == [("engine", KEY)]


def test_a_receipt_that_grew_beyond_reason_is_not_read_whole(store: LocalStore) -> None:
    store.put_receipt("engine", KEY, b"x" * (3 * RECEIPT_LIMIT_BYTES), replace=False)

    data = store.get_receipt("engine", KEY)

    assert data is not None
    assert len(data) == RECEIPT_LIMIT_BYTES + 1


def test_a_blob_lies_under_its_digest_and_comes_back(
    store: LocalStore, folder: Path, source: Path, tmp_path: Path
) -> None:
    digest, size_bytes = store.put_blob(source)
    store.fetch_blob(digest, size_bytes, tmp_path / "out" / "copy")

    assert digest == digest_from_bytes(DATA)
    assert size_bytes == len(DATA)
    assert (folder / "v1" / "blob" / "sha256" / digest.hex[:2] / digest.hex).read_bytes() == DATA
    assert (tmp_path / "out" / "copy").read_bytes() == DATA


def test_an_empty_blob_comes_back(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    digest, size_bytes = store.put_blob(tmp_path / "empty")
    store.fetch_blob(digest, size_bytes, tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == b""


def test_editing_a_fetched_copy_does_not_reach_the_cache(store: LocalStore, source: Path, tmp_path: Path) -> None:
    digest, size_bytes = store.put_blob(source)
    store.fetch_blob(digest, size_bytes, tmp_path / "copy")

    with (tmp_path / "copy").open("r+b") as file:
        file.write(b"edited")

    store.check_blob(digest, size_bytes)


def test_editing_the_source_afterwards_does_not_reach_the_cache(store: LocalStore, source: Path) -> None:
    digest, size_bytes = store.put_blob(source)

    with source.open("r+b") as file:
        file.write(b"edited")

    store.check_blob(digest, size_bytes)


def test_stored_files_are_not_writable_and_copies_are(store: LocalStore, source: Path, tmp_path: Path) -> None:
    digest, size_bytes = store.put_blob(source)
    store.fetch_blob(digest, size_bytes, tmp_path / "copy")

    assert not stat.S_IMODE(_blob(store, digest).stat().st_mode) & 0o222
    assert (tmp_path / "copy").stat().st_mode & stat.S_IWUSR


def test_nothing_temporary_is_left_after_writing(store: LocalStore, folder: Path, source: Path) -> None:
    store.put_blob(source)
    store.put_receipt("engine", KEY, b"first", replace=False)
    store.put_receipt("engine", KEY, b"second", replace=False)

    assert list((folder / "v1" / "tmp").iterdir()) == []


@pytest.mark.parametrize("position", [0, len(DATA) // 2, len(DATA) - 1])
def test_a_flipped_byte_is_found_and_nothing_is_handed_over(
    store: LocalStore, source: Path, tmp_path: Path, position: int
) -> None:
    digest, size_bytes = store.put_blob(source)
    damaged = bytearray(DATA)
    damaged[position] ^= 1
    _overwrite(_blob(store, digest), bytes(damaged))

    with pytest.raises(BlobDamaged, match="have changed"):
        store.fetch_blob(digest, size_bytes, tmp_path / "out" / "copy")

    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "shorter"), (DATA[:-1], "shorter"), (DATA + b"x", "longer")],
    ids=["empty", "cut", "grown"],
)
def test_a_blob_of_another_length_is_damaged(store: LocalStore, source: Path, data: bytes, reason: str) -> None:
    digest, size_bytes = store.put_blob(source)
    _overwrite(_blob(store, digest), data)

    with pytest.raises(BlobDamaged, match=reason):
        store.check_blob(digest, size_bytes)


def test_a_blob_that_grew_to_a_tebibyte_is_not_read_to_its_end(store: LocalStore, source: Path, tmp_path: Path) -> None:
    digest, size_bytes = store.put_blob(source)
    path = _blob(store, digest)
    path.chmod(0o644)
    os.truncate(path, 1 << 40)

    with pytest.raises(BlobDamaged, match="longer"):
        store.fetch_blob(digest, size_bytes, tmp_path / "copy")


def test_a_blob_that_is_gone_is_missing(store: LocalStore, source: Path, tmp_path: Path) -> None:
    digest, size_bytes = store.put_blob(source)
    _blob(store, digest).unlink()

    with pytest.raises(BlobMissing):
        store.fetch_blob(digest, size_bytes, tmp_path / "copy")


def test_storing_a_blob_again_heals_it(store: LocalStore, source: Path) -> None:
    digest, size_bytes = store.put_blob(source)
    _overwrite(_blob(store, digest), b"damaged")

    store.put_blob(source)

    store.check_blob(digest, size_bytes)


def _make_folder(path: Path) -> None:
    path.mkdir()
    (path / "inner").write_text("foreign")


def _make_link(path: Path) -> None:
    target = path.parent / "target"
    target.write_bytes(DATA)
    path.symlink_to(target)


def _make_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def _make_pipe(path: Path) -> None:
    os.mkfifo(path)


FOREIGN = pytest.mark.parametrize("make", [_make_folder, _make_link, _make_dangling_link, _make_pipe])


@FOREIGN
def test_a_foreign_thing_in_the_place_of_a_blob_is_damage_that_storing_heals(
    store: LocalStore, source: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    digest, size_bytes = store.put_blob(source)
    _blob(store, digest).unlink()
    make(_blob(store, digest))

    with pytest.raises(BlobDamaged, match="no regular file"):
        store.fetch_blob(digest, size_bytes, tmp_path / "copy")
    with pytest.raises(BlobDamaged, match="no regular file"):
        store.blob_size(digest)
    store.put_blob(source)
    store.check_blob(digest, size_bytes)


@FOREIGN
def test_a_foreign_thing_in_the_place_of_a_receipt_is_damage_that_a_repair_heals(
    store: LocalStore, folder: Path, make: Callable[[Path], None]
) -> None:
    store.put_receipt("engine", KEY, b"first", replace=False)
    path = folder / "v1" / "receipt" / "engine" / "ab" / f"{KEY.hex}.json"
    path.unlink()
    make(path)

    with pytest.raises(ReceiptDamaged, match="no regular file"):
        store.get_receipt("engine", KEY)
    assert not store.put_receipt("engine", KEY, b"second", replace=False)
    assert store.put_receipt("engine", KEY, b"second", replace=True)
    assert store.get_receipt("engine", KEY) == b"second"


@pytest.mark.parametrize("below", ["blob", "blob/sha256", "receipt", "receipt/engine", "receipt/engine/ab"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_foreign_thing_in_the_place_of_a_folder_is_moved_out_of_the_way(
    folder: Path, source: Path, below: str, kind: str
) -> None:
    store, place, elsewhere = LocalStore(folder), folder / "v1" / below, folder.parent / "elsewhere"
    place.parent.mkdir(parents=True)
    elsewhere.mkdir()
    if kind == "file":
        place.write_text("foreign")
    else:
        place.symlink_to(elsewhere)

    store.put_receipt("engine", KEY, b"first", replace=False)
    digest, size_bytes = store.put_blob(source)

    assert store.get_receipt("engine", KEY) == b"first"
    store.check_blob(digest, size_bytes)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("below", [".", "v1", "v1/tmp"])
def test_a_file_in_the_place_of_the_cache_is_a_failure_that_names_it(
    store: LocalStore, folder: Path, source: Path, below: str
) -> None:
    (folder / below).parent.mkdir(parents=True, exist_ok=True)
    (folder / below).write_text("foreign")

    assert store.get_receipt("engine", KEY) is None
    with pytest.raises(StoreFailed, match="cache"):
        store.put_blob(source)
    assert (folder / below).read_text() == "foreign"


def test_linked_temporaries_are_neither_written_nor_swept(
    store: LocalStore, folder: Path, source: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    os.utime(elsewhere / "precious", (0, 0))
    (folder / "v1").mkdir(parents=True)
    (folder / "v1" / "tmp").symlink_to(elsewhere)

    assert store.sweep(0) == 0
    with pytest.raises(StoreFailed, match="in the way"):
        store.put_blob(source)
    assert [path.name for path in elsewhere.iterdir()] == ["precious"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["open", "fsync", "link"])
def test_a_failing_disk_is_a_failure_of_the_store_and_leaves_nothing(
    store: LocalStore, folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(StoreFailed, match=os.strerror(number)):
            store.put_receipt("engine", KEY, b"data", replace=False)

    assert store.get_receipt("engine", KEY) is None
    assert list((folder / "v1" / "tmp").iterdir()) == []


def test_a_destination_that_cannot_be_written_is_not_the_fault_of_the_store(
    store: LocalStore, source: Path, tmp_path: Path
) -> None:
    digest, size_bytes = store.put_blob(source)

    with pytest.raises(DestinationFailed):
        store.fetch_blob(digest, size_bytes, tmp_path / "source" / "copy")


def test_a_source_that_is_missing_is_the_fault_of_the_caller(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.put_blob(tmp_path / "missing")


def test_removing_a_folder_in_the_place_of_a_receipt_works_without_any_temporaries(
    store: LocalStore, folder: Path
) -> None:
    path = folder / "v1" / "receipt" / "engine" / "ab" / f"{KEY.hex}.json"
    (path / "inner").mkdir(parents=True)

    store.delete_receipt("engine", KEY)

    assert not path.exists()


def test_F13_stale_temporaries_are_swept_by_age(store: LocalStore, folder: Path) -> None:
    temporaries = folder / "v1" / "tmp"
    (temporaries / "folder").mkdir(parents=True)
    (temporaries / "folder" / "inner").write_text("x")
    for name in ("old", "young"):
        (temporaries / name).write_bytes(b"12345")
    two_days_ago = time.time() - 2 * 86400
    os.utime(temporaries / "old", (two_days_ago, two_days_ago))
    os.utime(temporaries / "folder", (two_days_ago, two_days_ago))

    assert store.sweep(86400) == 5
    assert [path.name for path in temporaries.iterdir()] == ["young"]


def test_F13_the_first_write_sweeps(store: LocalStore, folder: Path) -> None:
    stale = folder / "v1" / "tmp" / "stale"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"x")
    os.utime(stale, (0, 0))

    store.put_receipt("engine", KEY, b"first", replace=False)

    assert not stale.exists()


def test_names_that_are_nobodys_business_are_not_listed(store: LocalStore, folder: Path, source: Path) -> None:
    digest, _ = store.put_blob(source)
    store.put_receipt("engine", KEY, b"first", replace=False)
    shard = folder / "v1" / "receipt" / "engine" / "ab"
    for name in ("README", "x.json", f"{KEY.hex}.json.bak", f"{'cd' * 32}.json"):
        (shard / name).write_text("foreign")
    (folder / "v1" / "receipt" / "stray").write_text("foreign")
    (folder / "v1" / "blob" / "sha256" / "zz").mkdir()

    assert [(kind, key) for kind, key, _ in store.receipts()] == [("engine", KEY)]
    assert [found for found, _ in store.blobs()] == [digest]


def test_listing_says_length_and_time_of_use(store: LocalStore) -> None:
    store.put_receipt("engine", KEY, b"first", replace=False)
    before = next(stored for _, _, stored in store.receipts())
    store.mark_used("engine", KEY)
    after = next(stored for _, _, stored in store.receipts())

    assert before.size_bytes == 5
    assert before.used_s == pytest.approx(time.time(), abs=60)
    assert after.used_s >= before.used_s


def test_a_blob_stored_anew_since_it_was_listed_is_not_deleted(store: LocalStore, source: Path) -> None:
    digest, size_bytes = store.put_blob(source)
    os.utime(_blob(store, digest), (1000, 1000))
    listed = next(stored for _, stored in store.blobs())
    store.put_blob(source)

    assert not store.delete_blob(digest, if_written_s=listed.used_s)
    store.check_blob(digest, size_bytes)


def test_a_blob_unchanged_since_it_was_listed_is_deleted_once(store: LocalStore, source: Path) -> None:
    digest, _ = store.put_blob(source)
    listed = next(stored for _, stored in store.blobs())

    assert store.delete_blob(digest, if_written_s=listed.used_s)
    assert not store.delete_blob(digest, if_written_s=listed.used_s)


def _blob(store: LocalStore, digest: Digest) -> Path:
    return store._blob_path(digest)


def _overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)
