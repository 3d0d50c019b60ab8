from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pipeline.cache.answers import Commit, Hit, Miss, Off, Rejected
from pipeline.cache.content import ContentCache
from pipeline.cache.expiry import DAY_S, Expiry
from pipeline.cache.local import LocalStore
from pipeline.cache.store import Extent, StoreFailed
from pipeline.errors import CacheError
from pipeline.keys import Ingredient, Key, key_from_ingredients

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.digest import Digest

SUBJECT = "digits/sm_89/int8"
KEY = key_from_ingredients("engine", {"runtime.version": "1.6.1", "profile.opt": 8, "model": "sha256:" + "a" * 64})
METADATA = {"duration_s": 12.5}


class BrokenStore(LocalStore):
    """A local store whose every access to receipts fails as an unreachable one would."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.calls = 0

    def get_receipt(self, kind: str, key: Digest) -> NoReturn:
        self.calls += 1
        raise StoreFailed("no answer")

    def put_receipt(self, kind: str, key: Digest, data: bytes, *, replace: bool) -> NoReturn:
        self.calls += 1
        raise StoreFailed("no answer")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "cache")


@pytest.fixture
def cache(store: LocalStore) -> ContentCache:
    return ContentCache(store, now=lambda: 1_700_000_000.0)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = {"engine.plan": tmp_path / "a", "outcome.json": tmp_path / "b"}
    paths["engine.plan"].write_bytes(b"plan" * 1000)
    paths["outcome.json"].write_bytes(b"{}")
    return paths


def _changed(**ingredients: Ingredient) -> Key:
    names = {"version": "runtime.version", "opt": "profile.opt", "model": "model"}
    return key_from_ingredients(
        "engine", dict(KEY.ingredients) | {names[name]: value for name, value in ingredients.items()}
    )


def test_what_was_committed_is_a_hit_with_its_receipt(cache: ContentCache, files: dict[str, Path]) -> None:
    committed = cache.commit(KEY, SUBJECT, files, METADATA)

    assert committed.outcome is Commit.STORED
    assert committed.own_files
    assert cache.lookup(KEY, SUBJECT) == Hit(committed.receipt)
    assert committed.receipt.created == "2023-11-14T22:13:20Z"
    assert [(blob.name, blob.size_bytes) for blob in committed.receipt.blobs] == [
        ("engine.plan", 4000),
        ("outcome.json", 2),
    ]


def test_a_hit_says_that_nothing_changed(cache: ContentCache, files: dict[str, Path]) -> None:
    hit = Hit(cache.commit(KEY, SUBJECT, files, METADATA).receipt)

    assert hit.reason == "every ingredient is the same; made 2023-11-14T22:13:20Z"


def test_the_files_of_a_hit_come_back_under_their_names(
    cache: ContentCache, files: dict[str, Path], tmp_path: Path
) -> None:
    hit = Hit(cache.commit(KEY, SUBJECT, files, METADATA).receipt)

    paths = cache.fetch(hit, tmp_path / "out")

    assert paths == (tmp_path / "out" / "engine.plan", tmp_path / "out" / "outcome.json")
    assert (tmp_path / "out" / "engine.plan").read_bytes() == b"plan" * 1000


def test_another_run_sees_the_entry(cache: ContentCache, store: LocalStore, files: dict[str, Path]) -> None:
    cache.commit(KEY, SUBJECT, files, METADATA)

    assert isinstance(ContentCache(store).lookup(KEY, SUBJECT), Hit)


def test_the_same_key_for_another_subject_is_a_hit(cache: ContentCache, files: dict[str, Path]) -> None:
    cache.commit(KEY, SUBJECT, files, METADATA)

    assert isinstance(cache.lookup(KEY, "renamed/sm_89/int8"), Hit)


def test_with_no_entry_of_the_subject_it_was_never_built(cache: ContentCache, files: dict[str, Path]) -> None:
    cache.commit(_changed(opt=4), "other/sm_89/int8", files, METADATA)

    assert cache.lookup(KEY, SUBJECT) == Miss("never built before")


def test_a_miss_names_what_changed_and_how_long_it_took(cache: ContentCache, files: dict[str, Path]) -> None:
    cache.commit(KEY, SUBJECT, files, METADATA)

    miss = cache.lookup(_changed(version="1.7.1", opt=16), SUBJECT)

    assert isinstance(miss, Miss)
    assert miss.reason == "changed: profile.opt 8 -> 16, runtime.version 1.6.1 -> 1.7.1"
    assert [difference.name for difference in miss.differences] == ["profile.opt", "runtime.version"]
    assert miss.previous_s == 12.5


def test_an_entry_committed_after_the_first_miss_can_be_the_nearest(
    cache: ContentCache, files: dict[str, Path]
) -> None:
    cache.lookup(KEY, SUBJECT)
    cache.commit(KEY, SUBJECT, files, METADATA)

    miss = cache.lookup(_changed(opt=16), SUBJECT)

    assert isinstance(miss, Miss)
    assert miss.reason == "changed: profile.opt 8 -> 16"


def test_many_differences_are_counted_rather_than_listed(cache: ContentCache, files: dict[str, Path]) -> None:
    before = key_from_ingredients("engine", {f"name{n}": n for n in range(9)})
    after = key_from_ingredients("engine", {f"name{n}": n + 1 for n in range(9)})
    cache.commit(before, SUBJECT, files, METADATA)

    miss = cache.lookup(after, SUBJECT)

    assert isinstance(miss, Miss)
    assert miss.reason.endswith("name3 3 -> 4, and 5 more")
    assert len(miss.differences) == 9


def test_a_damaged_receipt_is_rejected_and_replaced_aloud(
    cache: ContentCache, store: LocalStore, files: dict[str, Path]
) -> None:
    cache.commit(KEY, SUBJECT, files, METADATA)
    _overwrite(store._receipt_path("engine", KEY.digest), b"damaged")

    rejected = cache.lookup(KEY, SUBJECT)
    committed = cache.commit(KEY, SUBJECT, files, METADATA)

    assert rejected == Rejected("the receipt is damaged: it is malformed")
    assert committed.outcome is Commit.REPLACED
    assert committed.warnings == (
        f"the cached engine of {SUBJECT} was replaced: the receipt is damaged: it is malformed",
    )
    assert isinstance(cache.lookup(KEY, SUBJECT), Hit)


def test_a_receipt_moved_to_another_key_is_rejected(
    cache: ContentCache, store: LocalStore, files: dict[str, Path]
) -> None:
    cache.commit(KEY, SUBJECT, files, METADATA)
    data = store.get_receipt("engine", KEY.digest)
    other = _changed(opt=16)
    assert data is not None
    store.put_receipt("engine", other.digest, data, replace=False)

    assert cache.lookup(other, SUBJECT) == Rejected("the receipt is damaged: it belongs to another key")


def test_a_file_that_is_gone_is_a_miss_that_knows_the_duration(
    cache: ContentCache, store: LocalStore, files: dict[str, Path]
) -> None:
    receipt = cache.commit(KEY, SUBJECT, files, METADATA).receipt
    store._blob_path(receipt.blobs[0].digest).unlink()

    miss = cache.lookup(KEY, SUBJECT)

    assert isinstance(miss, Miss)
    assert miss.reason == "its file engine.plan is gone from the cache"
    assert miss.previous_s == 12.5


def test_a_file_of_another_length_is_rejected_before_anything_is_read(
    cache: ContentCache, store: LocalStore, files: dict[str, Path]
) -> None:
    receipt = cache.commit(KEY, SUBJECT, files, METADATA).receipt
    _overwrite(store._blob_path(receipt.blobs[0].digest), b"short")

    assert cache.lookup(KEY, SUBJECT) == Rejected("engine.plan has 5 bytes instead of 4000")


def test_a_changed_file_is_rejected_and_none_of_the_files_stays(
    cache: ContentCache, store: LocalStore, files: dict[str, Path], tmp_path: Path
) -> None:
    hit = Hit(cache.commit(KEY, SUBJECT, files, METADATA).receipt)
    _overwrite(store._blob_path(hit.receipt.blobs[1].digest), b"[]")

    fetched = cache.fetch(hit, tmp_path / "out")

    assert isinstance(fetched, Rejected)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_gone_since_the_lookup_is_a_miss(
    cache: ContentCache, store: LocalStore, files: dict[str, Path], tmp_path: Path
) -> None:
    hit = Hit(cache.commit(KEY, SUBJECT, files, METADATA).receipt)
    store._blob_path(hit.receipt.blobs[0].digest).unlink()

    assert isinstance(cache.fetch(hit, tmp_path / "out"), Miss)


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: _overwrite(path, b"damaged")])
def test_committing_other_bytes_replaces_an_entry_whose_files_are_damaged(
    cache: ContentCache,
    store: LocalStore,
    files: dict[str, Path],
    tmp_path: Path,
    damage: Callable[[Path], None],
) -> None:
    receipt = cache.commit(KEY, SUBJECT, files, METADATA).receipt
    damage(store._blob_path(receipt.blobs[0].digest))
    files["engine.plan"].write_bytes(b"another plan")

    committed = cache.commit(KEY, SUBJECT, files, METADATA)
    hit = cache.lookup(KEY, SUBJECT)

    assert committed.outcome is Commit.REPLACED
    assert isinstance(hit, Hit)
    assert isinstance(cache.fetch(hit, tmp_path / "out"), tuple)
    assert (tmp_path / "out" / "engine.plan").read_bytes() == b"another plan"


def test_the_receipt_of_another_run_stands_where_its_files_are_sound(
    cache: ContentCache, store: LocalStore, files: dict[str, Path]
) -> None:
    theirs = ContentCache(store).commit(KEY, SUBJECT, files, METADATA).receipt
    files["engine.plan"].write_bytes(b"another plan")

    committed = cache.commit(KEY, SUBJECT, files, METADATA)

    assert committed.outcome is Commit.ADOPTED
    assert committed.receipt == theirs
    assert not committed.own_files
    assert committed.warnings == ()


def test_adopting_equal_files_says_that_they_are_the_callers_own(cache: ContentCache, files: dict[str, Path]) -> None:
    cache.commit(KEY, SUBJECT, files, METADATA)

    assert cache.commit(KEY, SUBJECT, files, {"duration_s": 99}).own_files


def test_an_entry_that_was_called_unfit_is_replaced(cache: ContentCache, files: dict[str, Path]) -> None:
    cache.reject(Hit(cache.commit(KEY, SUBJECT, files, METADATA).receipt))
    files["engine.plan"].write_bytes(b"another plan")

    committed = cache.commit(KEY, SUBJECT, files, METADATA)

    assert committed.outcome is Commit.REPLACED
    assert committed.warnings == (f"the cached engine of {SUBJECT} was replaced: it was unfit",)


def test_an_entry_that_was_called_unfit_is_replaced_only_once(cache: ContentCache, files: dict[str, Path]) -> None:
    cache.reject(Hit(cache.commit(KEY, SUBJECT, files, METADATA).receipt))
    files["engine.plan"].write_bytes(b"another plan")
    cache.commit(KEY, SUBJECT, files, METADATA)

    assert cache.commit(KEY, SUBJECT, files, METADATA).outcome is Commit.ADOPTED


@pytest.mark.parametrize("metadata", [{"x": float("nan")}, {"x": object()}, {"x": "a" * 300_000}])
def test_what_no_receipt_can_say_is_not_cached_and_the_files_are_kept(
    cache: ContentCache, files: dict[str, Path], metadata: dict[str, Any]
) -> None:
    committed = cache.commit(KEY, SUBJECT, files, metadata)

    assert committed.outcome is Commit.UNSTORED
    assert len(committed.warnings) == 1
    assert isinstance(cache.lookup(KEY, SUBJECT), Miss)


def test_a_caller_whose_file_is_missing_is_told(cache: ContentCache, files: dict[str, Path]) -> None:
    files["engine.plan"].unlink()

    with pytest.raises(FileNotFoundError):
        cache.commit(KEY, SUBJECT, files, METADATA)


def test_no_store_is_off_and_still_gives_receipts(files: dict[str, Path], tmp_path: Path) -> None:
    cache = ContentCache(None)

    committed = cache.commit(KEY, SUBJECT, files, METADATA)

    assert cache.lookup(KEY, SUBJECT) == Off("no cache was given")
    assert committed.outcome is Commit.UNSTORED
    assert committed.warnings == ()
    assert committed.receipt.size_bytes == 4002
    assert isinstance(cache.fetch(Hit(committed.receipt), tmp_path / "out"), Miss)


def test_a_failing_store_is_a_miss_until_it_has_failed_three_times(tmp_path: Path) -> None:
    store = BrokenStore(tmp_path)
    cache = ContentCache(store)

    lookups = [cache.lookup(KEY, SUBJECT) for _ in range(5)]

    assert [type(lookup) for lookup in lookups] == [Miss, Miss, Miss, Off, Off]
    assert lookups[0].reason == "the cache failed: no answer"
    assert lookups[3].reason == "the cache failed 3 times and is left alone: no answer"
    assert store.calls == 3


def test_a_place_that_cannot_be_listed_keeps_and_gives_everything_and_the_user_is_told(
    store: LocalStore, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_kind: str | None = None) -> NoReturn:
        raise StoreFailed("this job may not read it", extent=Extent.PLACE)

    monkeypatch.setattr(store, "receipts", refused)
    cache = ContentCache(store, required=True)

    found = cache.lookup(KEY, SUBJECT)

    assert found == Miss("nothing is kept, and what changed cannot be told: this job may not read it")
    assert cache.commit(KEY, SUBJECT, files, METADATA).outcome is Commit.STORED
    assert isinstance(cache.lookup(KEY, SUBJECT), Hit)
    assert cache.trouble.startswith("the cache cannot be listed")


def test_a_commit_to_a_failing_store_keeps_the_files_and_warns_until_it_is_off(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    cache = ContentCache(BrokenStore(tmp_path / "cache"))

    committed = [cache.commit(KEY, SUBJECT, files, METADATA) for _ in range(5)]

    assert {each.outcome for each in committed} == {Commit.UNSTORED}
    assert [len(each.warnings) for each in committed] == [1, 1, 1, 0, 0]
    assert all(each.receipt.size_bytes == 4002 for each in committed)


def test_a_cache_folder_that_cannot_be_made_costs_no_more_than_a_rebuild(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    (tmp_path / "file").write_text("x")
    cache = ContentCache(LocalStore(tmp_path / "file" / "cache"))

    assert cache.lookup(KEY, SUBJECT) == Miss("never built before")
    assert cache.commit(KEY, SUBJECT, files, METADATA).outcome is Commit.UNSTORED


def test_an_output_folder_that_cannot_be_written_is_not_the_fault_of_the_cache(
    cache: ContentCache, files: dict[str, Path], tmp_path: Path
) -> None:
    hit = Hit(cache.commit(KEY, SUBJECT, files, METADATA).receipt)

    for _ in range(4):
        assert isinstance(cache.fetch(hit, tmp_path / "a" / "out"), Miss)
    assert isinstance(cache.lookup(KEY, SUBJECT), Hit)


def test_a_required_cache_must_be_given() -> None:
    with pytest.raises(CacheError, match="--cache"):
        ContentCache(None, required=True)


def test_a_required_cache_that_fails_is_an_error(tmp_path: Path, files: dict[str, Path]) -> None:
    cache = ContentCache(BrokenStore(tmp_path / "cache"), required=True)

    with pytest.raises(CacheError, match="no answer"):
        cache.lookup(KEY, SUBJECT)
    with pytest.raises(CacheError, match="no answer"):
        cache.commit(KEY, SUBJECT, files, METADATA)


def test_a_damaged_entry_of_a_required_cache_is_an_error_that_says_how_to_mend_it(
    store: LocalStore, files: dict[str, Path]
) -> None:
    cache = ContentCache(store, required=True)
    cache.commit(KEY, SUBJECT, files, METADATA)
    _overwrite(store._receipt_path("engine", KEY.digest), b"damaged")

    with pytest.raises(CacheError, match="cache prune"):
        cache.lookup(KEY, SUBJECT)


def test_a_hit_counts_as_a_use(cache: ContentCache, store: LocalStore, files: dict[str, Path]) -> None:
    cache.commit(KEY, SUBJECT, files, METADATA)
    os.utime(store._receipt_path("engine", KEY.digest), (0, 0))

    cache.lookup(KEY, SUBJECT)

    assert next(stored.used_s for _, _, stored in store.receipts()) > 0


def test_the_receipt_on_disk_is_json_for_people_too(
    cache: ContentCache, store: LocalStore, files: dict[str, Path]
) -> None:
    cache.commit(KEY, SUBJECT, files, METADATA)
    data = store.get_receipt("engine", KEY.digest)

    assert data is not None
    assert json.loads(data)["ingredients"]["runtime.version"] == "1.6.1"


def _overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def test_an_entry_is_found_by_its_keys_digest_alone(cache: ContentCache, files: dict[str, Path]) -> None:
    cache.commit(KEY, SUBJECT, files, METADATA)
    hit = cache.stored("engine", KEY.digest)
    assert hit is not None
    assert hit.receipt.key == KEY
    assert cache.stored("engine", _changed(opt=9).digest) is None
    assert cache.stored("baseline", KEY.digest) is None


def test_nothing_is_found_by_a_digest_where_the_store_fails_or_is_off(tmp_path: Path) -> None:
    assert ContentCache(BrokenStore(tmp_path)).stored("engine", KEY.digest) is None
    assert ContentCache(None).stored("engine", KEY.digest) is None


def test_a_damaged_entry_is_not_found_by_its_digest(
    cache: ContentCache, store: LocalStore, files: dict[str, Path]
) -> None:
    cache.commit(KEY, SUBJECT, files, METADATA)
    store.put_receipt("engine", KEY.digest, b"{}", replace=True)
    assert cache.stored("engine", KEY.digest) is None


MADE_S = 1_700_000_000.0


def _later(store: LocalStore, days: float) -> ContentCache:
    """A cache so many days after ``cache``'s entries were made, which believes nothing older than thirty."""
    now_s = MADE_S + days * DAY_S
    return ContentCache(store, expiry=Expiry(30 * DAY_S, now=lambda: now_s), now=lambda: now_s)


def test_an_entry_that_expired_is_a_miss_that_says_so_and_how_long_it_took(
    cache: ContentCache, store: LocalStore, files: dict[str, Path]
) -> None:
    cache.commit(KEY, SUBJECT, files, METADATA)

    found = _later(store, 31).lookup(KEY, SUBJECT)

    assert isinstance(found, Miss)
    assert found.reason == "expired: made 2023-11-14T22:13:20Z, more than 30 days ago"
    assert found.previous_s == 12.5
    assert isinstance(_later(store, 29).lookup(KEY, SUBJECT), Hit)
    assert isinstance(cache.lookup(KEY, SUBJECT), Hit)


def test_no_file_of_an_entry_that_expired_is_fetched_by_whatever_way_it_was_found(
    cache: ContentCache, store: LocalStore, files: dict[str, Path], tmp_path: Path
) -> None:
    earlier = Hit(cache.commit(KEY, SUBJECT, files, METADATA).receipt)

    fetched = _later(store, 31).fetch(earlier, tmp_path / "out")

    assert isinstance(fetched, Miss)
    assert fetched.reason.startswith("expired: made ")
    assert not (tmp_path / "out").exists()


def test_an_entry_that_expired_has_not_appeared(cache: ContentCache, store: LocalStore, files: dict[str, Path]) -> None:
    cache.commit(KEY, SUBJECT, files, METADATA)

    assert _later(store, 31).appeared(KEY) is None
    assert _later(store, 29).appeared(KEY) is not None
    assert _later(store, 31).stored(KEY.kind, KEY.digest) is None
    assert _later(store, 29).stored(KEY.kind, KEY.digest) is not None


def test_what_is_made_anew_takes_the_place_of_what_expired_without_a_warning(
    cache: ContentCache, store: LocalStore, files: dict[str, Path]
) -> None:
    cache.commit(KEY, SUBJECT, files, METADATA)
    files["engine.plan"].write_bytes(b"anew")

    committed = _later(store, 31).commit(KEY, SUBJECT, files, METADATA)

    assert committed.outcome is Commit.REPLACED
    assert committed.warnings == ()
    assert committed.own_files
    assert _later(store, 32).lookup(KEY, SUBJECT) == Hit(committed.receipt)


class OvertakenStore(LocalStore):
    """A store in which another run replaces an entry just before this one does."""

    other: bytes = b""

    def put_receipt(self, kind: str, key: Digest, data: bytes, *, replace: bool) -> bool:
        if replace and self.other:
            super().put_receipt(kind, key, self.other, replace=True)
            self.other = b""
            return False
        return super().put_receipt(kind, key, data, replace=replace)


def test_of_two_runs_that_replace_an_entry_the_second_uses_what_the_first_made(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    store = OvertakenStore(tmp_path / "cache")
    ContentCache(store, now=lambda: MADE_S).commit(KEY, SUBJECT, files, METADATA)
    files["engine.plan"].write_bytes(b"theirs")
    theirs = _later(LocalStore(tmp_path / "cache"), 31).commit(KEY, SUBJECT, files, METADATA).receipt
    store.other = store.get_receipt(KEY.kind, KEY.digest) or b""
    store.delete_receipt(KEY.kind, KEY.digest)
    files["engine.plan"].write_bytes(b"plan" * 1000)
    ContentCache(store, now=lambda: MADE_S).commit(KEY, SUBJECT, files, METADATA)

    files["engine.plan"].write_bytes(b"ours")
    committed = _later(store, 31).commit(KEY, SUBJECT, files, METADATA)

    assert committed.outcome is Commit.ADOPTED
    assert committed.receipt == theirs
