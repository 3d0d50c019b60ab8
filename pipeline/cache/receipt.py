"""Receipts: what a cache entry says about itself, and the one text form of that.

A receipt is the canonical JSON of its fields and of ``self``, the digest of the rest, so that any flipped bit is
seen. It is written after the blobs that it names, so whatever has a receipt is complete.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.digest import Digest, canonical_json, digest_from_json
from pipeline.keys import Key, key_from_ingredients

if TYPE_CHECKING:
    from collections.abc import Mapping

RECEIPT_LIMIT_BYTES = 256 * 1024
SCHEMA_VERSION = 1

_FIELDS = {"schema", "kind", "ingredients", "key", "subject", "blobs", "metadata", "created", "tool", "self"}
_BLOB_FIELDS = {"name", "digest", "size_bytes"}
_KIND = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_BLOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_TEXT_LIMIT = 1024
_LONGEST_S = 10 * 365 * 86400.0
_LARGEST_BYTES = 1 << 60


class ReceiptDamaged(Exception):  # noqa: N818 - a finding about data, named as such
    """The bytes are no receipt, or not the receipt of the key that they were stored under."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    @property
    def reason(self) -> str:
        """The finding as a phrase for the user."""
        return f"the receipt is damaged: {self.detail}"


@dataclass(frozen=True, slots=True)
class Blob:
    """One file of an artefact. ``name`` is a plain file name; ``digest`` is where the bytes lie in the store."""

    name: str
    digest: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One cache entry.

    ``subject`` is whom it was made for (a job id, a model name) and takes no part in the key. ``blobs`` are sorted
    by name. ``metadata`` is a JSON object. ``created`` is like ``2026-01-31T23:59:59Z``; ``tool`` is the version of
    this program.
    """

    key: Key
    subject: str
    blobs: tuple[Blob, ...]
    metadata: Mapping[str, Any]
    created: str
    tool: str

    @property
    def size_bytes(self) -> int:
        """The length of all its blobs together."""
        return sum(blob.size_bytes for blob in self.blobs)

    @property
    def duration_s(self) -> float | None:
        """How long the artefact took to make, where ``metadata`` says so; anybody may have written it."""
        value = self.metadata.get("duration_s")
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        return float(value) if 0 <= value <= _LONGEST_S else None


def bytes_from_receipt(receipt: Receipt) -> bytes:
    """The canonical text of ``receipt``. Raises ``ValueError`` when the reader would refuse it."""
    fields = _fields_from_receipt(receipt)
    data = canonical_json({**fields, "self": str(digest_from_json(fields))})
    try:
        receipt_from_bytes(data, kind=receipt.key.kind, stored_as=receipt.key.digest)
    except ReceiptDamaged as damage:
        raise ValueError(f"no receipt can say this: {damage.detail}") from damage
    return data


def receipt_from_bytes(data: bytes, *, kind: str, stored_as: Digest) -> Receipt:
    """Read a receipt that was found under ``kind`` and ``stored_as``. Raises ``ReceiptDamaged`` and nothing else.

    Only the exact bytes that ``bytes_from_receipt`` writes are accepted. A later schema keeps a reader for this one.
    """
    try:
        value = _object_from_bytes(data)
        receipt = _receipt_from_fields(value)
        fields = _fields_from_receipt(receipt)
        canonical = canonical_json({**fields, "self": str(digest_from_json(fields))})
        digest = receipt.key.digest
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ReceiptDamaged("it is malformed") from error
    _require(canonical == data, "its digest does not match its contents")
    _require(receipt.key.kind == kind and digest == stored_as, "it belongs to another key")
    return receipt


def _object_from_bytes(data: bytes) -> dict[str, Any]:
    _require(len(data) <= RECEIPT_LIMIT_BYTES, f"it is longer than {RECEIPT_LIMIT_BYTES} bytes")
    value = json.loads(data.decode())
    _require(isinstance(value, dict), "it is no JSON object")
    schema = value.get("schema")
    _require(type(schema) is int and schema == SCHEMA_VERSION, f"its schema {schema!r:.40} is not {SCHEMA_VERSION}")
    _require(value.keys() == _FIELDS, "its fields are not those of a receipt")
    return dict(value)


def _receipt_from_fields(value: Mapping[str, Any]) -> Receipt:
    ingredients, metadata = value["ingredients"], value["metadata"]
    _require(isinstance(ingredients, dict) and isinstance(metadata, dict), "its fields have the wrong types")
    plain = all(item is None or isinstance(item, str | int | float) for item in ingredients.values())
    _require(plain, "an ingredient is neither text, number nor truth value")
    for name in ("subject", "tool"):
        text = value[name]
        _require(isinstance(text, str) and 0 < len(text) <= _TEXT_LIMIT, f"its {name} is no short text")
    _require(_KIND.fullmatch(value["kind"]) is not None, "its kind is malformed")
    _require(_CREATED.fullmatch(value["created"]) is not None, "its time is malformed")
    blobs = tuple(_blob_from_fields(item) for item in value["blobs"])
    names = [blob.name for blob in blobs]
    _require(names == sorted(set(names)), "its files are not in order")
    return Receipt(
        key=key_from_ingredients(value["kind"], ingredients),
        subject=value["subject"],
        blobs=blobs,
        metadata=metadata,
        created=value["created"],
        tool=value["tool"],
    )


def _blob_from_fields(value: Mapping[str, Any]) -> Blob:
    _require(value.keys() == _BLOB_FIELDS, "a file's fields are not those of a file")
    _require(_BLOB_NAME.fullmatch(value["name"]) is not None, "a file's name is malformed")
    size_bytes = value["size_bytes"]
    _require(type(size_bytes) is int and 0 <= size_bytes <= _LARGEST_BYTES, "a file's size is no length")
    return Blob(value["name"], Digest.parse(value["digest"]), size_bytes)


def _fields_from_receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "schema": SCHEMA_VERSION,
        "kind": receipt.key.kind,
        "ingredients": dict(receipt.key.ingredients),
        "key": str(receipt.key.digest),
        "subject": receipt.subject,
        "blobs": [
            {"name": blob.name, "digest": str(blob.digest), "size_bytes": blob.size_bytes} for blob in receipt.blobs
        ],
        "metadata": dict(receipt.metadata),
        "created": receipt.created,
        "tool": receipt.tool,
    }


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ReceiptDamaged(otherwise)
