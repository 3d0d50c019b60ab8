"""Entries of a cache in a folder that were last used as long ago as a test wants."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pipeline.cache.content import ContentCache
from pipeline.cache.verifying import verify_entries
from pipeline.keys import key_from_ingredients

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.cache.entries import Entry
    from pipeline.cache.local import LocalStore
    from pipeline.cache.receipt import Receipt
    from pipeline.cache.store import Store

NOW_S = 1_700_000_000.0
DAY_S = 86400.0


def add_entry(store: LocalStore, folder: Path, name: str, age_days: float, kind: str = "engine") -> Receipt:
    """An entry with a blob of its own of 1000 times ``name``, and the blob ``shared`` of 6000 bytes."""
    files = {}
    for file, data in (("own", name * 1000), ("shared", "shared" * 1000)):
        files[file] = folder / f"{name}.{file}"
        files[file].write_text(data)
    key = key_from_ingredients(kind, {"name": name})
    receipt = ContentCache(store).commit(key, name, files, {"duration_s": 1}).receipt
    used_s = NOW_S - age_days * DAY_S
    os.utime(store._receipt_path(kind, key.digest), (used_s, used_s))
    for blob in receipt.blobs:
        os.utime(store._blob_path(blob.digest), (used_s, used_s))
    return receipt


def damage_blob(store: LocalStore, receipt: Receipt) -> None:
    """Other bytes of the same length and age where the entry's own blob lies."""
    path = store._blob_path(receipt.blobs[0].digest)
    stat = path.stat()
    path.chmod(0o644)
    path.write_bytes(b"x" * receipt.blobs[0].size_bytes)
    os.utime(path, (stat.st_mtime, stat.st_mtime))


def damaged_entries(store: Store) -> list[Entry]:
    """What a reading of the whole store finds damaged."""
    return [entry for entry in verify_entries(store, now_s=NOW_S) if entry.damage]
