"""T4: a sound entry that is moved, kept for too long or put back is not believed."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from pipeline.cache.answers import Commit, Hit, Miss, Rejected
from pipeline.cache.content import ContentCache
from pipeline.cache.expiry import DAY_S, Expiry
from pipeline.cache.local import LocalStore
from pipeline.cache.scope import ScopedStore
from pipeline.cache.seal import HmacSeal, SealedStore, without_seal
from pipeline.digest import canonical_json, digest_from_json
from pipeline.keys import Key, key_from_ingredients

if TYPE_CHECKING:
    from pathlib import Path

KEY, NEWER_KEY = (key_from_ingredients("engine", {"runtime.version": version}) for version in ("10.3", "10.9"))
SEAL = HmacSeal([b"s" * 32])
EXPIRY = Expiry(90 * DAY_S)
SUBJECT = "digits/sm_89/fp16"


@pytest.fixture
def place(tmp_path: Path) -> LocalStore:
    """The place past every check."""
    return LocalStore(tmp_path / "cache")


def cache_of(
    place: LocalStore, *, scope: str = "trusted", seal: HmacSeal | None = SEAL, days: float = 0
) -> ContentCache:
    """A cache that believes entries for 90 days, used so many days ago."""
    return ContentCache(SealedStore(place, scope, seal), expiry=EXPIRY, now=lambda: time.time() - days * DAY_S)


def commit(cache: ContentCache, folder: Path, key: Key = KEY, data: bytes = b"plan") -> Commit:
    (folder / "plan").write_bytes(data)
    return cache.commit(key, SUBJECT, {"engine.plan": folder / "plan"}, {}).outcome


def stored(place: LocalStore, key: Key = KEY) -> bytes:
    data = place.get_receipt(key.kind, key.digest)
    assert data is not None
    return data


@pytest.mark.parametrize("seal", [SEAL, None], ids=["hmac", "bucket"])
def test_T4_a_receipt_that_was_moved_to_another_key_is_rejected(
    place: LocalStore, tmp_path: Path, seal: HmacSeal | None
) -> None:
    commit(cache_of(place, seal=seal), tmp_path)
    place.put_receipt(NEWER_KEY.kind, NEWER_KEY.digest, stored(place), replace=True)

    found = cache_of(place, seal=seal).lookup(NEWER_KEY, SUBJECT)
    assert isinstance(found, Rejected)
    assert ("moved here" if seal else "belongs to another key") in found.reason


def test_T4_a_receipt_that_was_moved_to_another_scope_is_rejected(place: LocalStore, tmp_path: Path) -> None:
    commit(cache_of(place, scope="pr/12/7"), tmp_path)

    assert isinstance(cache_of(place, scope="trusted").lookup(KEY, SUBJECT), Rejected)


@pytest.mark.parametrize("seal", [SEAL, None], ids=["hmac", "bucket"])
def test_T4_an_entry_that_was_kept_for_too_long_is_missed_and_replaced(
    place: LocalStore, tmp_path: Path, seal: HmacSeal | None
) -> None:
    commit(cache_of(place, seal=seal, days=91), tmp_path)
    cache = cache_of(place, seal=seal)

    found = cache.lookup(KEY, SUBJECT)
    assert isinstance(found, Miss)
    assert found.reason.startswith("expired: made ")
    assert commit(cache, tmp_path, data=b"anew") is Commit.REPLACED
    assert isinstance(cache.lookup(KEY, SUBJECT), Hit)


def test_T4_an_old_receipt_that_was_put_back_has_expired_although_its_seal_is_right(
    place: LocalStore, tmp_path: Path
) -> None:
    commit(cache_of(place, days=91), tmp_path, data=b"vulnerable")
    old = stored(place)
    commit(cache_of(place), tmp_path, data=b"mended")

    place.put_receipt(KEY.kind, KEY.digest, old, replace=True)

    assert isinstance(cache_of(place).lookup(KEY, SUBJECT), Miss)


def test_T4_no_way_leads_to_an_entry_that_was_kept_for_too_long(place: LocalStore, tmp_path: Path) -> None:
    """By the digest of its key, as what a runner stored meanwhile, and as what was found before it expired."""
    commit(cache_of(place, days=91), tmp_path)
    cache, earlier = cache_of(place), ContentCache(SealedStore(place, "trusted", SEAL))
    found = earlier.lookup(KEY, SUBJECT)
    assert isinstance(found, Hit)

    assert cache.stored(KEY.kind, KEY.digest) is None
    assert cache.appeared(KEY) is None
    fetched = cache.fetch(found, tmp_path / "fetched")
    assert isinstance(fetched, Miss)
    assert fetched.reason.startswith("expired: ")
    assert not (tmp_path / "fetched").exists()
    assert isinstance(earlier.stored(KEY.kind, KEY.digest), Hit)
    assert isinstance(earlier.appeared(KEY), Hit)


@pytest.mark.parametrize("created", ["2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z"])
def test_T4_what_is_no_date_keeps_no_entry_alive(place: LocalStore, tmp_path: Path, created: str) -> None:
    commit(cache_of(place, seal=None), tmp_path)
    place.put_receipt(KEY.kind, KEY.digest, dated(stored(place), created), replace=True)

    found = cache_of(place, seal=None).lookup(KEY, SUBJECT)

    assert isinstance(found, Miss)
    assert "is no date" in found.reason


def dated(data: bytes, created: str) -> bytes:
    """The receipt with another date, and a digest of itself that fits."""
    fields = json.loads(without_seal(data))
    del fields["self"]
    fields["created"] = created
    return canonical_json({**fields, "self": str(digest_from_json(fields))})


def test_T4_an_old_receipt_cannot_be_given_a_new_date_where_receipts_are_sealed(
    place: LocalStore, tmp_path: Path
) -> None:
    commit(cache_of(place, days=91), tmp_path)
    old = stored(place)
    young = dated(old, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

    place.put_receipt(KEY.kind, KEY.digest, old.partition(b"\n")[0] + b"\n" + young, replace=True)

    assert isinstance(cache_of(place).lookup(KEY, SUBJECT), Rejected)


def test_T4_no_date_in_the_future_keeps_an_entry_alive(place: LocalStore, tmp_path: Path) -> None:
    commit(cache_of(place, seal=None), tmp_path)
    place.put_receipt(KEY.kind, KEY.digest, dated(stored(place), "2999-01-01T00:00:00Z"), replace=True)

    found = cache_of(place, seal=None).lookup(KEY, SUBJECT)

    assert isinstance(found, Miss)
    assert "yet to come" in found.reason


def test_T4_what_expired_in_the_trusted_scope_serves_no_pull_request(place: LocalStore, tmp_path: Path) -> None:
    own = LocalStore(tmp_path / "own")
    commit(cache_of(place, seal=None, days=91), tmp_path)

    scoped = ContentCache(ScopedStore((place, own), own, expiry=EXPIRY), expiry=EXPIRY)

    assert isinstance(scoped.lookup(KEY, SUBJECT), Miss)


def test_T4_after_a_change_of_the_secret_nothing_older_is_believed(place: LocalStore, tmp_path: Path) -> None:
    commit(cache_of(place), tmp_path)

    assert isinstance(cache_of(place, seal=HmacSeal([b"n" * 32])).lookup(KEY, SUBJECT), Rejected)
