"""Content digests: a type, its text form, and the three things that are ever hashed."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_BUFFER_BYTES = 1 << 20
_TEXT = re.compile(r"(?P<algorithm>sha256):(?P<hex>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A digest with the name of its algorithm. ``Digest.parse(str(digest)) == digest`` always holds."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    @staticmethod
    def parse(text: str) -> Digest:
        """Read ``sha256:<64 hex digits>``; anything else is a ``ValueError``."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"not a digest: {text!r}")
        return Digest(match["algorithm"], match["hex"])


def digest_from_bytes(data: bytes) -> Digest:
    """SHA-256 of ``data``."""
    return Digest("sha256", hashlib.sha256(data).hexdigest())


def digest_from_file(path: Path) -> Digest:
    """SHA-256 of the file's bytes, read in constant memory. Raises ``OSError``."""
    hasher = hashlib.sha256()
    buffer = bytearray(_BUFFER_BYTES)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(view[:count])
    return Digest("sha256", hasher.hexdigest())


def canonical_json(value: Any) -> bytes:
    """The one JSON text of ``value``: sorted keys, no spaces, UTF-8, no NaN or infinity (``ValueError``)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest_from_json(value: Any) -> Digest:
    """SHA-256 of ``canonical_json(value)``."""
    return digest_from_bytes(canonical_json(value))
