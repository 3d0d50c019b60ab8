from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.cache.answers import Hit, Rejected
from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.cache.receipt import ReceiptDamaged
from pipeline.cache.seal import HmacSeal, SealedStore, without_seal
from pipeline.digest import Digest
from pipeline.errors import SettingsError
from pipeline.keys import key_from_ingredients

if TYPE_CHECKING:
    from pathlib import Path

KEY = Digest("sha256", "ab" * 32)
OTHER = Digest("sha256", "cd" * 32)
SEAL = HmacSeal([b"a" * 32])


@pytest.fixture
def inner(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "cache")


@pytest.fixture
def store(inner: LocalStore) -> SealedStore:
    return SealedStore(inner, "trusted", SEAL)


def test_a_sealed_receipt_comes_back_bare(store: SealedStore, inner: LocalStore) -> None:
    store.put_receipt("engine", KEY, b"receipt", replace=False)

    assert store.get_receipt("engine", KEY) == b"receipt"
    stored = inner.get_receipt("engine", KEY)
    assert stored is not None
    assert stored.startswith(b"trt-seal 1 hmac-sha256 ")
    assert without_seal(stored) == b"receipt"


def test_there_is_no_receipt_where_there_is_none(store: SealedStore) -> None:
    assert store.get_receipt("engine", KEY) is None


def test_every_flipped_bit_is_seen(store: SealedStore, inner: LocalStore) -> None:
    store.put_receipt("engine", KEY, b'{"some": "receipt"}', replace=False)
    stored = inner.get_receipt("engine", KEY) or b""

    for position in range(len(stored)):
        flipped = bytearray(stored)
        flipped[position] ^= 1
        inner.put_receipt("engine", KEY, bytes(flipped), replace=True)
        with pytest.raises(ReceiptDamaged, match="seal"):
            store.get_receipt("engine", KEY)


@pytest.mark.parametrize(
    "data", [b"", b"receipt", b"trt-seal", b"trt-seal 1 hmac-sha256 AAAA", b"trt-seal 2 x AAAA\nr"]
)
def test_what_bears_no_seal_is_damaged(store: SealedStore, inner: LocalStore, data: bytes) -> None:
    inner.put_receipt("engine", KEY, data, replace=True)

    with pytest.raises(ReceiptDamaged, match="seal"):
        store.get_receipt("engine", KEY)


def test_T4_a_receipt_that_was_moved_is_damaged(store: SealedStore, inner: LocalStore) -> None:
    store.put_receipt("engine", KEY, b"receipt", replace=False)
    stored = inner.get_receipt("engine", KEY) or b""
    inner.put_receipt("engine", OTHER, stored, replace=False)
    inner.put_receipt("check", KEY, stored, replace=False)

    for kind, key in (("engine", OTHER), ("check", KEY)):
        with pytest.raises(ReceiptDamaged, match="moved here"):
            store.get_receipt(kind, key)


def test_a_receipt_of_another_scope_is_damaged(store: SealedStore, inner: LocalStore) -> None:
    SealedStore(inner, "pr/1/2", SEAL).put_receipt("engine", KEY, b"receipt", replace=False)

    with pytest.raises(ReceiptDamaged, match="somebody else"):
        store.get_receipt("engine", KEY)


def test_a_secret_can_be_replaced_without_losing_what_the_old_one_sealed(inner: LocalStore) -> None:
    SealedStore(inner, "trusted", SEAL).put_receipt("engine", KEY, b"receipt", replace=False)

    assert SealedStore(inner, "trusted", HmacSeal([b"b" * 32, b"a" * 32])).get_receipt("engine", KEY) == b"receipt"
    with pytest.raises(ReceiptDamaged):
        SealedStore(inner, "trusted", HmacSeal([b"b" * 32])).get_receipt("engine", KEY)


def test_without_a_seal_of_its_own_a_store_takes_any_off(inner: LocalStore, store: SealedStore) -> None:
    store.put_receipt("engine", KEY, b"receipt", replace=False)
    bare = SealedStore(inner, "trusted", None)

    assert bare.get_receipt("engine", KEY) == b"receipt"
    bare.put_receipt("engine", OTHER, b"other", replace=False)
    assert inner.get_receipt("engine", OTHER) == b"other"


def test_an_unsealed_entry_is_rejected_and_its_files_are_never_read(
    inner: LocalStore, store: SealedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plan").write_bytes(b"plan")
    key = key_from_ingredients("engine", {"a": 1})
    ContentCache(inner).commit(key, "subject", {"engine.plan": tmp_path / "plan"}, {})
    monkeypatch.setattr(LocalStore, "fetch_blob", lambda *_arguments: pytest.fail("a file was read"))

    assert isinstance(ContentCache(store).lookup(key, "subject"), Rejected)


def test_a_sealed_entry_is_a_hit(store: SealedStore, tmp_path: Path) -> None:
    (tmp_path / "plan").write_bytes(b"plan")
    key = key_from_ingredients("engine", {"a": 1})
    cache = ContentCache(store)
    cache.commit(key, "subject", {"engine.plan": tmp_path / "plan"}, {})

    assert isinstance(cache.lookup(key, "subject"), Hit)


@pytest.mark.parametrize("secrets", [[], [b"short"], [b"a" * 32, b"short"]])
def test_a_short_secret_is_refused(secrets: list[bytes]) -> None:
    with pytest.raises(SettingsError, match="openssl rand"):
        HmacSeal(secrets)


def test_a_secret_is_in_no_text() -> None:
    assert "aaaa" not in repr(SEAL)
