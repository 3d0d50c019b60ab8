from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

from pipeline.cache.answers import Commit, Hit, Rejected
from pipeline.cache.content import ContentCache
from pipeline.cache.expiry import DAY_S, Expiry
from pipeline.cache.local import LocalStore
from pipeline.cache.seal import HmacSeal, SealedStore, Sealing
from pipeline.cache.store import StoreFailed
from pipeline.cache.tiered import TieredStore
from pipeline.keys import key_from_ingredients
from tests.support.store_contract import StoreContract

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.digest import Digest

KEY = key_from_ingredients("engine", {"model": "m"})


class FarStore(LocalStore):
    """A far place; ``reads`` counts the blobs that were read from it, ``down`` makes it fail."""

    far = True
    reads = 0
    down = False

    def get_receipt(self, kind: str, key: Digest) -> bytes | None:
        self._answer()
        return super().get_receipt(kind, key)

    def put_receipt(self, kind: str, key: Digest, data: bytes, *, replace: bool) -> bool:
        self._answer()
        return super().put_receipt(kind, key, data, replace=replace)

    def fetch_blob(self, digest: Digest, size_bytes: int, destination: Path) -> None:
        self._answer()
        self.reads += 1
        super().fetch_blob(digest, size_bytes, destination)

    def check_blob(self, digest: Digest, size_bytes: int) -> None:
        self._answer()
        self.reads += 1
        super().check_blob(digest, size_bytes)

    def _answer(self) -> None:
        if self.down:
            raise StoreFailed("no answer")


@pytest.fixture
def near(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "near")


@pytest.fixture
def far(tmp_path: Path) -> FarStore:
    return FarStore(tmp_path / "far")


@pytest.fixture
def cache(near: LocalStore, far: FarStore) -> ContentCache:
    return ContentCache(TieredStore(near, far))


@pytest.fixture
def engine(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "plan").write_bytes(b"plan")
    return {"engine.plan": tmp_path / "plan"}


class TieredFolders:
    def __init__(self, near: LocalStore, far: FarStore) -> None:
        self._near, self._far = near, far
        self.store = TieredStore(near, far)

    def overwrite_blob(self, digest: Digest, data: bytes) -> None:
        for store in (self._near, self._far):
            path = store._blob_path(digest)
            path.chmod(0o644)
            path.write_bytes(data)

    def remove_blob(self, digest: Digest) -> None:
        for store in (self._near, self._far):
            store._blob_path(digest).unlink()

    def add_foreign_names(self) -> None:
        (self._far._root / "receipt" / "stray").write_text("foreign")


class TestTieredStore(StoreContract):
    @pytest.fixture
    def place(self, near: LocalStore, far: FarStore) -> TieredFolders:
        return TieredFolders(near, far)


def test_what_is_committed_lies_in_both(
    cache: ContentCache, near: LocalStore, far: FarStore, engine: dict[str, Path]
) -> None:
    cache.commit(KEY, "digits", engine, {})

    for store in (near, far):
        assert isinstance(ContentCache(store).lookup(KEY, "digits"), Hit)


def test_what_was_fetched_once_is_near_afterwards(
    cache: ContentCache, far: FarStore, engine: dict[str, Path], tmp_path: Path
) -> None:
    hit = Hit(ContentCache(far).commit(KEY, "digits", engine, {}).receipt)
    assert cache.lookup(KEY, "digits") == hit
    assert isinstance(cache.fetch(hit, tmp_path / "out"), tuple)
    far.down = True

    assert cache.lookup(KEY, "digits") == hit
    assert isinstance(cache.fetch(hit, tmp_path / "again"), tuple)
    assert far.reads == 1


def test_a_damaged_near_copy_is_fetched_anew(
    cache: ContentCache, near: LocalStore, engine: dict[str, Path], tmp_path: Path
) -> None:
    hit = Hit(cache.commit(KEY, "digits", engine, {}).receipt)
    path = near._blob_path(hit.receipt.blobs[0].digest)
    path.chmod(0o644)
    path.write_bytes(b"nalp")
    near.put_receipt("engine", KEY.digest, b"damaged", replace=True)

    assert cache.lookup(KEY, "digits") == hit
    fetched = cache.fetch(hit, tmp_path / "out")
    assert isinstance(fetched, tuple)
    assert fetched[0].read_bytes() == b"plan"
    near.check_blob(*near.put_blob(fetched[0]))


def test_damage_far_away_is_told_where_no_near_copy_is(
    cache: ContentCache, far: FarStore, engine: dict[str, Path], tmp_path: Path
) -> None:
    hit = Hit(ContentCache(far).commit(KEY, "digits", engine, {}).receipt)
    path = far._blob_path(hit.receipt.blobs[0].digest)
    path.chmod(0o644)
    path.write_bytes(b"nalp")

    assert isinstance(cache.fetch(hit, tmp_path / "out"), Rejected)


def test_what_the_far_place_did_not_take_is_not_kept_near(
    cache: ContentCache, near: LocalStore, far: FarStore, engine: dict[str, Path]
) -> None:
    far.down = True

    assert cache.commit(KEY, "digits", engine, {}).outcome is Commit.UNSTORED
    assert list(near.receipts()) == []


def test_a_near_folder_that_fails_costs_nothing(far: FarStore, engine: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = ContentCache(TieredStore(LocalStore(tmp_path / "file"), far))

    committed = cache.commit(KEY, "digits", engine, {})

    assert committed.outcome is Commit.STORED
    assert isinstance(cache.lookup(KEY, "digits"), Hit)
    assert isinstance(cache.fetch(Hit(committed.receipt), tmp_path / "out"), tuple)


def test_the_loser_of_a_race_sees_the_winners_receipt(
    cache: ContentCache, far: FarStore, engine: dict[str, Path], tmp_path: Path
) -> None:
    winner = ContentCache(far).commit(KEY, "digits", engine, {})
    (tmp_path / "plan").write_bytes(b"other")

    committed = cache.commit(KEY, "digits", engine, {})

    assert committed.outcome is Commit.ADOPTED
    assert committed.receipt == winner.receipt
    assert cache.lookup(KEY, "digits") == Hit(winner.receipt)


def test_a_check_that_cannot_be_kept_is_made_where_the_blob_lies(
    near: LocalStore, far: FarStore, engine: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = far.put_blob(engine["engine.plan"])

    def fail(*_arguments: object, **_options: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", fail)
    TieredStore(near, far).check_blob(*stored)

    assert far.reads == 1


def test_a_near_copy_that_expired_gives_way_to_a_younger_entry_far_away(
    near: LocalStore, far: FarStore, engine: dict[str, Path]
) -> None:
    ContentCache(TieredStore(near, far), now=lambda: 0.0).commit(KEY, "digits", engine, {})
    far.delete_receipt("engine", KEY.digest)
    younger = ContentCache(far, now=lambda: 40 * DAY_S).commit(KEY, "digits", engine, {}).receipt
    expiry = Expiry(30 * DAY_S, now=lambda: 41 * DAY_S)

    assert ContentCache(TieredStore(near, far, expiry=expiry), expiry=expiry).lookup(KEY, "digits") == Hit(younger)
    far.down = True
    assert ContentCache(TieredStore(near, far, expiry=expiry), expiry=expiry).lookup(KEY, "digits") == Hit(younger)


def _sealed(near: LocalStore, far: LocalStore, secret: bytes) -> ContentCache:
    return ContentCache(TieredStore(near, far, sealing=Sealing("trusted", HmacSeal([secret * 32]))))


def test_a_near_receipt_with_a_wrong_seal_is_asked_for_afar(
    near: LocalStore, far: FarStore, engine: dict[str, Path], tmp_path: Path
) -> None:
    _sealed(near, LocalStore(tmp_path / "elsewhere"), b"a").commit(KEY, "digits", engine, {})
    sealed_anew = ContentCache(SealedStore(far, "trusted", HmacSeal([b"b" * 32])))
    receipt = sealed_anew.commit(KEY, "digits", engine, {}).receipt

    assert _sealed(near, far, b"b").lookup(KEY, "digits") == Hit(receipt)
    far.down = True
    assert _sealed(near, far, b"b").lookup(KEY, "digits") == Hit(receipt)


def test_a_receipt_that_is_wrongly_sealed_afar_is_rejected_and_not_kept_near(
    near: LocalStore, far: FarStore, engine: dict[str, Path]
) -> None:
    ContentCache(SealedStore(far, "pr/1/2", HmacSeal([b"b" * 32]))).commit(KEY, "digits", engine, {})

    assert isinstance(_sealed(near, far, b"b").lookup(KEY, "digits"), Rejected)
    assert list(near.receipts()) == []
