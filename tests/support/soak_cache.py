"""The caches of a soak: opened as an owner does, to look into them, and as an attacker does, to spoil them."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.build.plan_header import PLAN_HEADER_BYTES
from pipeline.cache.receipt import Blob, ReceiptDamaged, bytes_from_receipt, receipt_from_bytes
from pipeline.cache.s3_opening import opened_for_upkeep, place_from_text
from pipeline.cache.scope import Scope
from pipeline.cache.seal import HmacSeal, without_seal
from pipeline.cache.store import StoreError
from pipeline.cache.verifying import verify_entries
from pipeline.digest import digest_from_bytes
from tests.support.s3_places import BUCKET

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from pipeline.cache.entries import Entry
    from pipeline.cache.seal import Seal
    from pipeline.cache.store import Store
    from pipeline.digest import Digest

SECRET = "canary-of-the-cache-5f1d2c3b4a596877"
SCOPE = "trusted"
FORGERIES = {"forge an engine": "engine", "forge a typed model": "prepared", "forge a table": "calibration"}
"""What an attacker may do -> the kind of the entries that it is done to."""
FORGED = b"an engine that nobody built " * 64


@dataclass(frozen=True, slots=True)
class SoakCache:
    """A cache in ``folder``, in the bucket at ``endpoint_url`` below ``prefix``, or both."""

    folder: Path | None
    endpoint_url: str | None
    prefix: str = ""

    def text(self, endpoint_url: str | None = None) -> str:
        """As ``--cache`` takes it; with another ``endpoint_url``, through a proxy."""
        address = f"s3://{BUCKET}/{self.prefix}?endpoint={endpoint_url or self.endpoint_url}&addressing=path"
        far = address if self.endpoint_url else ""
        return ",".join(filter(None, (str(self.folder) if self.folder else "", far)))

    def opened(self, seal: Seal | None) -> Store:
        """The place where receipts stand: the bucket where there is one."""
        return opened_for_upkeep(place_from_text(self.text()), Scope(SCOPE), seal=seal, cancel=threading.Event())

    def damaged(self) -> set[str]:
        """Every entry that is not whole, or not sealed by the owner, as text."""
        entries = verify_entries(self.opened(HmacSeal([SECRET.encode()])), now_s=time.time())
        return {f"{entry.kind} {entry.key.hex} {self._receipt_digest(entry)}" for entry in entries if entry.damage}

    def staged(self) -> set[str]:
        """What lies in the folder and has no name yet: what is being written there, and what dead runs left."""
        return {path.name for path in self.folder.glob("v1/tmp/*")} if self.folder is not None else set()

    def clear(self) -> None:
        """Remove everything that is in the way of a build."""
        store = self.opened(None)
        for kind, key, _ in list(store.receipts()):
            store.delete_receipt(kind, key)
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def spoil(self, damage: str, draw: random.Random, scratch: Path) -> None:
        """Do ``damage`` to something of it; nothing where there is nothing yet."""
        if damage in FORGERIES:
            self._forge(FORGERIES[damage], draw, scratch)
            return
        if self.folder is None:
            return
        what = "receipt" if "receipt" in damage else "blob"
        files = sorted(path for path in self.folder.glob(f"**/v1/{what}/**/*") if path.is_file())
        if not files:
            return
        path = draw.choice(files)
        data = bytearray(path.read_bytes())
        path.chmod(0o644)
        if damage.startswith("remove"):
            path.unlink()
        elif damage.startswith("cut"):
            path.write_bytes(data[: draw.randrange(len(data) + 1)])
        elif data:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            path.write_bytes(data)

    def _receipt_digest(self, entry: Entry) -> Digest:
        """Of the receipt as it lies there, so that one that is damaged anew is not taken for the one that was."""
        return digest_from_bytes(self.opened(None).get_receipt(entry.kind, entry.key) or b"")

    def _forge(self, kind: str, draw: random.Random, scratch: Path) -> None:
        """Let a receipt of ``kind`` name a file of the attacker's, who may write the place but has no secret."""
        store = self.opened(None)
        keys = sorted(key for _, key, _ in store.receipts(kind))
        if not keys:
            return
        key = draw.choice(keys)
        data = store.get_receipt(kind, key)
        try:
            receipt = receipt_from_bytes(without_seal(data or b""), kind=kind, stored_as=key)
        except ReceiptDamaged:  # it is spoilt already
            return
        blobs = tuple(blob if blob.name.endswith(".json") else _forged(store, blob, scratch) for blob in receipt.blobs)
        seal = draw.choice((None, HmacSeal([b"the attacker's own secret, as long as it must be"])))
        self.opened(seal).put_receipt(kind, key, bytes_from_receipt(replace(receipt, blobs=blobs)), replace=True)


def _forged(store: Store, blob: Blob, scratch: Path) -> Blob:
    """An engine with other code, say: its header and its length are right, so that only digest and seal can tell."""
    try:
        store.fetch_blob(blob.digest, blob.size_bytes, scratch)
    except StoreError:  # it is spoilt already
        scratch.write_bytes(bytes(len(FORGED) + PLAN_HEADER_BYTES))
    data = bytearray(scratch.read_bytes())
    if blob.name.endswith(".table"):
        # One range is another, by the last digit of its number: the table is as sound as before.
        data[-2:-1] = b"1" if data[-2:-1] != b"1" else b"2"
    else:
        data[PLAN_HEADER_BYTES : PLAN_HEADER_BYTES + len(FORGED)] = FORGED
    scratch.write_bytes(data)
    digest, size_bytes = store.put_blob(scratch)
    scratch.unlink()
    return Blob(blob.name, digest, size_bytes)
