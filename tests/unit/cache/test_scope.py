from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.cache.answers import Commit, Hit, Miss, Rejected
from pipeline.cache.content import ContentCache
from pipeline.cache.expiry import DAY_S, Expiry
from pipeline.cache.local import LocalStore
from pipeline.cache.scope import Scope, ScopedStore, scope_from_event, scope_from_pipeline
from pipeline.cache.store import BlobDamaged, BlobMissing
from pipeline.digest import Digest
from pipeline.errors import SettingsError
from pipeline.keys import key_from_ingredients

if TYPE_CHECKING:
    from pathlib import Path

KEY = key_from_ingredients("engine", {"model": "m"})


@pytest.fixture
def trusted(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "trusted")


@pytest.fixture
def own(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "own")


@pytest.fixture
def scoped(trusted: LocalStore, own: LocalStore) -> ScopedStore:
    return ScopedStore((trusted, own), own)


@pytest.fixture
def engine(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "plan").write_bytes(b"plan")
    return {"engine.plan": tmp_path / "plan"}


@pytest.mark.parametrize("path", ["trusted", "local/me.x", "pr/123/7", "pr/123/ref-0123456789ab"])
def test_a_scope_is_known_by_its_path(path: str) -> None:
    assert Scope(path).readable == (("trusted",) if path == "trusted" else ("trusted", path))


@pytest.mark.parametrize(
    "path", ["", "other", "trusted/x", "local/", "local/..", "local/a/b", "pr/1", "pr/a/1", "pr/1/.."]
)
def test_T2_other_paths_are_no_scopes(path: str) -> None:
    with pytest.raises(SettingsError, match="is no scope"):
        Scope(path)


@pytest.mark.parametrize(
    ("event", "number", "ref", "protected", "path"),
    [
        ("push", "", "refs/heads/main", True, "trusted"),
        ("schedule", "", "refs/heads/main", True, "trusted"),
        ("pull_request", "7", "refs/pull/7/merge", False, "pr/12/7"),
        ("pull_request", "", "refs/pull/7/merge", True, "pr/12/7"),
        ("pull_request_review", "7", "refs/pull/7/merge", False, "pr/12/7"),
        ("workflow_dispatch", "", "refs/pull/7/merge", True, "pr/12/7"),
    ],
)
def test_T12_the_event_decides_the_scope(event: str, number: str, ref: str, protected: bool, path: str) -> None:
    assert scope_from_event(event, repository_id="12", number=number, ref=ref, protected=protected) == Scope(path)


@pytest.mark.parametrize(
    "event", ["issue_comment", "issues", "workflow_run", "discussion_comment", "fork", "watch", "status", ""]
)
def test_T12_what_a_stranger_can_set_off_for_a_protected_branch_is_not_trusted(event: str) -> None:
    scope = scope_from_event(event, repository_id="12", number="", ref="refs/heads/main", protected=True)
    assert scope.path.startswith("pr/12/ref-")


def test_a_branch_that_is_not_protected_has_a_scope_of_its_own() -> None:
    one, other = (
        scope_from_event("push", repository_id="12", number="", ref=f"refs/heads/{name}", protected=False)
        for name in ("one", "other")
    )

    assert one.path.startswith("pr/12/ref-")
    assert one != other


@pytest.mark.parametrize(
    ("merge_request", "protected", "path"),
    [("", True, "trusted"), ("7", False, "pr/12/7"), ("7", True, "pr/12/7"), ("", False, "pr/12/ref-23d611a6f6f8")],
)
def test_gitlabs_pipeline_decides_the_scope(merge_request: str, protected: bool, path: str) -> None:
    scope = scope_from_pipeline(project_id="12", merge_request=merge_request, ref="topic", protected=protected)
    assert scope == Scope(path)


def test_T12_a_pull_request_with_the_rights_of_its_base_is_refused() -> None:
    with pytest.raises(SettingsError, match="pull_request_target"):
        scope_from_event("pull_request_target", repository_id="12", number="7", ref="refs/heads/main", protected=True)


def test_T2_what_is_written_goes_to_its_own_place_alone(
    scoped: ScopedStore, trusted: LocalStore, own: LocalStore, engine: dict[str, Path]
) -> None:
    cache = ContentCache(scoped)

    assert cache.commit(KEY, "digits", engine, {}).outcome is Commit.STORED
    assert isinstance(cache.lookup(KEY, "digits"), Hit)
    assert list(trusted.receipts()) == []
    assert list(trusted.blobs()) == []
    assert len(list(own.receipts())) == 1


def test_what_the_trusted_place_has_is_a_hit(
    scoped: ScopedStore, trusted: LocalStore, engine: dict[str, Path], tmp_path: Path
) -> None:
    ContentCache(trusted).commit(KEY, "digits", engine, {})
    cache = ContentCache(scoped)

    found = cache.lookup(KEY, "digits")

    assert isinstance(found, Hit)
    assert isinstance(cache.fetch(found, tmp_path / "out"), tuple)


def test_a_miss_is_compared_with_what_the_trusted_place_has(
    scoped: ScopedStore, trusted: LocalStore, engine: dict[str, Path]
) -> None:
    ContentCache(trusted).commit(key_from_ingredients("engine", {"model": "before"}), "digits", engine, {})

    found = ContentCache(scoped).lookup(KEY, "digits")

    assert isinstance(found, Miss)
    assert found.reason == "changed: model before -> m"


def test_damage_in_the_trusted_place_is_told_until_its_own_place_has_a_sound_entry(
    scoped: ScopedStore, trusted: LocalStore, engine: dict[str, Path]
) -> None:
    trusted.put_receipt("engine", KEY.digest, b"damaged", replace=False)
    cache = ContentCache(scoped)

    assert isinstance(cache.lookup(KEY, "digits"), Rejected)
    cache.commit(KEY, "digits", engine, {})

    assert isinstance(cache.lookup(KEY, "digits"), Hit)
    assert trusted.get_receipt("engine", KEY.digest) == b"damaged"


def test_a_blob_that_is_damaged_in_one_place_is_read_from_the_other(
    scoped: ScopedStore, trusted: LocalStore, own: LocalStore, engine: dict[str, Path], tmp_path: Path
) -> None:
    digest, size_bytes = trusted.put_blob(engine["engine.plan"])
    path = trusted._blob_path(digest)
    path.chmod(0o644)
    path.write_bytes(b"nalp")

    with pytest.raises(BlobDamaged):
        scoped.fetch_blob(digest, size_bytes, tmp_path / "copy")
    own.put_blob(engine["engine.plan"])
    scoped.fetch_blob(digest, size_bytes, tmp_path / "copy")
    scoped.check_blob(digest, size_bytes)

    assert (tmp_path / "copy").read_bytes() == b"plan"
    assert scoped.blob_size(digest) == 4


def test_a_blob_that_no_place_has_is_missing(scoped: ScopedStore, tmp_path: Path) -> None:
    absent = Digest("sha256", "ab" * 32)

    with pytest.raises(BlobMissing):
        scoped.fetch_blob(absent, 1, tmp_path / "copy")
    assert scoped.blob_size(absent) is None


def test_upkeep_leaves_the_trusted_place_alone(
    scoped: ScopedStore, trusted: LocalStore, engine: dict[str, Path]
) -> None:
    ContentCache(trusted).commit(KEY, "digits", engine, {})
    scoped.delete_receipt("engine", KEY.digest)

    assert list(scoped.blobs()) == []
    assert trusted.get_receipt("engine", KEY.digest) is not None
    assert [key for _, key, _ in scoped.receipts()] == [KEY.digest]


def test_where_the_trusted_entry_expired_its_own_younger_one_is_used(
    trusted: LocalStore, own: LocalStore, engine: dict[str, Path]
) -> None:
    expiry = Expiry(30 * DAY_S, now=lambda: 41 * DAY_S)
    old = ContentCache(trusted, now=lambda: 0.0).commit(KEY, "digits", engine, {}).receipt
    cache = ContentCache(ScopedStore((trusted, own), own, expiry=expiry), expiry=expiry, now=lambda: 41 * DAY_S)

    found = cache.lookup(KEY, "digits")
    assert isinstance(found, Miss)
    assert found.reason.startswith("expired: made 1970-01-01T00:00:00Z")
    assert found.nearest == old
    assert cache.commit(KEY, "digits", engine, {}).outcome is Commit.STORED

    assert isinstance(cache.lookup(KEY, "digits"), Hit)
    assert isinstance(ContentCache(trusted).lookup(KEY, "digits"), Hit)
