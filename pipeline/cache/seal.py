"""Who made an entry: receipts with a message authentication code, checked at the one place where receipts are read.

A sealed receipt is a line ``trt-seal 1 <algorithm> <base64>`` in front of the receipt. The code covers the receipt's
bytes, and with them every ingredient, digest and length, and also the scope, kind and key that it is stored under;
so neither a changed nor a moved receipt passes. It is checked before anything that the receipt names is read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pipeline.cache.receipt import ReceiptDamaged
from pipeline.digest import canonical_json, digest_from_bytes
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.cache.store import Store, StoredStat, Unfinished
    from pipeline.digest import Digest

_SHORTEST_SECRET = 32
_LINE = re.compile(rb"trt-seal 1 (?P<algorithm>[a-z0-9-]{1,32}) (?P<code>[A-Za-z0-9+/]{1,200}={0,2})\n")
_LINE_START = b"trt-seal "


class Seal(Protocol):
    """Makes and checks codes. ``algorithm`` is part of the line."""

    @property
    def algorithm(self) -> str:
        """A name of lower-case letters, digits and dashes."""

    def sign(self, message: bytes) -> bytes:
        """The code of ``message``, at most 4096 bytes long. Raises ``StoreFailed`` where it cannot be made."""

    def verify(self, message: bytes, code: bytes) -> bool:
        """Whether ``code`` is that of ``message``. Raises ``StoreFailed`` where that cannot be found out."""


@dataclass(frozen=True, slots=True, repr=False)
class HmacSeal:
    """HMAC-SHA-256 (RFC 2104) with a shared secret. The first of ``secrets`` signs, each of them may verify."""

    secrets: Sequence[bytes]

    algorithm = "hmac-sha256"

    def __post_init__(self) -> None:
        if not self.secrets or any(len(secret) < _SHORTEST_SECRET for secret in self.secrets):
            raise SettingsError(
                f"the secret that seals the cache has less than {_SHORTEST_SECRET} characters",
                fix="make one with `openssl rand -hex 32`, and keep it as a secret of the repository",
            )

    def __repr__(self) -> str:
        return f"HmacSeal({len(self.secrets)} secrets)"

    def sign(self, message: bytes) -> bytes:
        """See ``Seal``."""
        return hmac.new(self.secrets[0], message, hashlib.sha256).digest()

    def verify(self, message: bytes, code: bytes) -> bool:
        """See ``Seal``."""
        found = [
            hmac.compare_digest(hmac.new(secret, message, hashlib.sha256).digest(), code) for secret in self.secrets
        ]
        return any(found)


@dataclass(frozen=True, slots=True)
class Sealing:
    """How the receipts of ``scope`` are sealed and opened.

    Without a ``seal`` whoever may write the place is trusted: receipts are written bare, and a seal that is there is
    taken off unread. With one, a receipt that bears no right seal is ``ReceiptDamaged``.
    """

    scope: str
    seal: Seal | None

    def sealed(self, kind: str, key: Digest, body: bytes) -> bytes:
        """What to store of the receipt ``body``. Raises ``StoreFailed`` where it cannot be sealed."""
        if self.seal is None:
            return body
        code = base64.b64encode(self.seal.sign(self._message(kind, key, body)))
        return b"trt-seal 1 %s %s\n%s" % (self.seal.algorithm.encode(), code, body)

    def opened(self, kind: str, key: Digest, data: bytes) -> bytes:
        """The receipt in ``data``. Raises ``ReceiptDamaged``, and ``StoreFailed`` where the seal cannot be checked."""
        if self.seal is None:
            return without_seal(data)
        match = _LINE.match(data)
        if match is None:
            raise ReceiptDamaged("it bears no seal, so nobody knows who made it")
        if match["algorithm"].decode() != self.seal.algorithm:
            raise ReceiptDamaged(f"its seal is not of the kind {self.seal.algorithm}")
        body = data[match.end() :]
        try:
            code = base64.b64decode(match["code"], validate=True)
        except binascii.Error as error:
            raise ReceiptDamaged("its seal is malformed") from error
        if not self.seal.verify(self._message(kind, key, body), code):
            raise ReceiptDamaged("its seal is wrong: it was changed, moved here, or made by somebody else")
        return body

    def _message(self, kind: str, key: Digest, body: bytes) -> bytes:
        """What the code covers; short, because KMS takes 4096 bytes at most."""
        return canonical_json(
            {
                "seal": 1,
                "scope": self.scope,
                "kind": kind,
                "key": str(key),
                "receipt": str(digest_from_bytes(body)),
            }
        )


class SealedStore:
    """``store``, whose receipts are sealed for ``scope`` as ``Sealing`` says. See ``Store`` for the methods."""

    def __init__(self, store: Store, scope: str, seal: Seal | None) -> None:
        self._store = store
        self._sealing = Sealing(scope, seal)

    def __str__(self) -> str:
        return str(self._store)

    @property
    def far(self) -> bool:
        """See ``Store``."""
        return self._store.far

    @property
    def use_lag_s(self) -> float:
        """See ``Store``."""
        return self._store.use_lag_s

    def get_receipt(self, kind: str, key: Digest) -> bytes | None:
        """See ``Store``."""
        data = self._store.get_receipt(kind, key)
        return None if data is None else self._sealing.opened(kind, key, data)

    def put_receipt(self, kind: str, key: Digest, data: bytes, *, replace: bool) -> bool:
        """See ``Store``."""
        return self._store.put_receipt(kind, key, self._sealing.sealed(kind, key, data), replace=replace)

    def mark_used(self, kind: str, key: Digest) -> None:
        """See ``Store``."""
        self._store.mark_used(kind, key)

    def delete_receipt(self, kind: str, key: Digest) -> None:
        """See ``Store``."""
        self._store.delete_receipt(kind, key)

    def receipts(self, kind: str | None = None) -> Iterator[tuple[str, Digest, StoredStat]]:
        """See ``Store``."""
        return self._store.receipts(kind)

    def put_blob(self, path: Path) -> tuple[Digest, int]:
        """See ``Store``."""
        return self._store.put_blob(path)

    def fetch_blob(self, digest: Digest, size_bytes: int, destination: Path) -> None:
        """See ``Store``."""
        self._store.fetch_blob(digest, size_bytes, destination)

    def check_blob(self, digest: Digest, size_bytes: int) -> None:
        """See ``Store``."""
        self._store.check_blob(digest, size_bytes)

    def blob_size(self, digest: Digest) -> int | None:
        """See ``Store``."""
        return self._store.blob_size(digest)

    def delete_blob(self, digest: Digest, *, if_written_s: float) -> bool:
        """See ``Store``."""
        return self._store.delete_blob(digest, if_written_s=if_written_s)

    def blobs(self) -> Iterator[tuple[Digest, StoredStat]]:
        """See ``Store``."""
        return self._store.blobs()

    def unfinished(self) -> Iterator[Unfinished]:
        """See ``Store``."""
        return self._store.unfinished()

    def sweep(self, older_than_s: float) -> int:
        """See ``Store``."""
        return self._store.sweep(older_than_s)


def without_seal(data: bytes) -> bytes:
    """The receipt behind a seal, or ``data`` where it bears none."""
    return data.partition(b"\n")[2] if data.startswith(_LINE_START) else data
