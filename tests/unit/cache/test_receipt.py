from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cache.receipt import (
    RECEIPT_LIMIT_BYTES,
    Blob,
    Receipt,
    ReceiptDamaged,
    bytes_from_receipt,
    receipt_from_bytes,
)
from pipeline.digest import Digest, canonical_json, digest_from_json
from pipeline.keys import key_from_ingredients

GOLDEN = Path("tests/golden/receipts/v1/engine.json")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON_OBJECTS = st.dictionaries(
    TEXT,
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)),
    max_size=4,
)
BLOBS = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
    st.tuples(st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(0, 1 << 50)),
    max_size=3,
).map(lambda blobs: tuple(Blob(name, Digest("sha256", text), size) for name, (text, size) in sorted(blobs.items())))
RECEIPTS = st.builds(
    Receipt,
    key=st.builds(
        key_from_ingredients, st.sampled_from(["engine", "calibration"]), st.dictionaries(TEXT, SCALARS, max_size=5)
    ),
    subject=TEXT.filter(bool),
    blobs=BLOBS,
    metadata=JSON_OBJECTS,
    created=st.just("2026-01-31T23:59:59Z"),
    tool=st.just("0.1.0"),
)
RECEIPT = Receipt(
    key=key_from_ingredients(
        "engine",
        {
            "model": "sha256:" + "1" * 64,
            "precision": "int8-fp16",
            "runtime.version": "1.7.1.116",
            "build.workspace-mib": 512,
            "build.sparsity": False,
            "build.optimization-level": None,
            "calibration.percentile": 99.99,
        },
    ),
    subject="digits/sm_89/int8-fp16",
    blobs=(
        Blob("engine.plan", Digest("sha256", "2" * 64), 123456),
        Blob("outcome.json", Digest("sha256", "3" * 64), 789),
    ),
    metadata={"duration_s": 12.5, "note": "größe"},
    created="2026-01-31T23:59:59Z",
    tool="0.1.0",
)


@given(RECEIPTS)
def test_writing_and_reading_a_receipt_are_inverse(receipt: Receipt) -> None:
    assert _read(bytes_from_receipt(receipt), receipt) == receipt


def test_the_golden_receipt_of_schema_1_is_still_read() -> None:
    assert _read(GOLDEN.read_bytes(), RECEIPT) == RECEIPT


def test_the_golden_receipt_of_schema_1_is_still_written() -> None:
    assert bytes_from_receipt(RECEIPT) == GOLDEN.read_bytes()


def test_a_flip_of_any_bit_is_seen() -> None:
    data = bytes_from_receipt(RECEIPT)

    for position in range(len(data)):
        for bit in (0, 1, 5, 7):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            with pytest.raises(ReceiptDamaged):
                _read(bytes(flipped), RECEIPT)


def test_a_receipt_cut_anywhere_is_damaged() -> None:
    data = bytes_from_receipt(RECEIPT)

    for length in range(len(data)):
        with pytest.raises(ReceiptDamaged):
            _read(data[:length], RECEIPT)


@given(st.binary(max_size=300))
def test_bytes_that_are_no_receipt_are_damaged_and_nothing_else(data: bytes) -> None:
    with pytest.raises(ReceiptDamaged):
        _read(data, RECEIPT)


@given(JSON_OBJECTS, st.sampled_from(sorted(json.loads(GOLDEN.read_bytes()))))
def test_a_field_of_any_other_shape_is_damaged_and_nothing_else(value: dict[str, Any], field: str) -> None:
    for wrong in (value, list(value.values()), *value.values()):
        if type(wrong) is type(_fields().get(field)) and field != "ingredients":
            continue
        with pytest.raises(ReceiptDamaged):
            _read(_signed({**_fields(), field: wrong}), RECEIPT)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 1000,
        b"[" * 100_000,
        b'{"a":' * 30_000,
        b"\xff\xfe",
        b'{"schema":' + b"9" * 10_000 + b"}",
        b"[]",
        b"null",
        b'{"schema":1,"schema":1}',
        b" " * (RECEIPT_LIMIT_BYTES + 1),
    ],
    ids=["empty", "zeros", "deep-list", "deep-object", "not-utf8", "huge-number", "list", "null", "twice", "too-long"],
)
def test_hostile_bytes_are_damaged_and_nothing_else(data: bytes) -> None:
    with pytest.raises(ReceiptDamaged):
        _read(data, RECEIPT)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 2}, "schema 2 is not 1"),
        ({"schema": True}, "schema True is not 1"),
        ({"extra": 1}, "fields are not those of a receipt"),
        ({"subject": ""}, "subject"),
        ({"subject": "x" * 1025}, "subject"),
        ({"subject": "\ud800"}, "malformed"),
        ({"tool": None}, "tool"),
        ({"kind": "../engine"}, "kind"),
        ({"created": "yesterday"}, "time"),
        ({"ingredients": {"a": [1]}}, "ingredient"),
        ({"ingredients": {"a": float("nan")}}, "malformed"),
        ({"metadata": []}, "wrong types"),
        ({"blobs": [{"name": "../x", "digest": "sha256:" + "0" * 64, "size_bytes": 1}]}, "name"),
        ({"blobs": [{"name": "x/y", "digest": "sha256:" + "0" * 64, "size_bytes": 1}]}, "name"),
        ({"blobs": [{"name": ".x", "digest": "sha256:" + "0" * 64, "size_bytes": 1}]}, "name"),
        ({"blobs": [{"name": "x", "digest": "sha256:../../etc", "size_bytes": 1}]}, "malformed"),
        ({"blobs": [{"name": "x", "digest": "sha256:" + "0" * 64, "size_bytes": -1}]}, "size"),
        ({"blobs": [{"name": "x", "digest": "sha256:" + "0" * 64, "size_bytes": True}]}, "size"),
        ({"blobs": [{"name": "x", "digest": "sha256:" + "0" * 64, "size_bytes": 10**400}]}, "size"),
        ({"blobs": [{"name": "x", "digest": "sha256:" + "0" * 64, "size_bytes": 1}] * 2}, "order"),
        ({"blobs": [{"name": "x", "digest": "sha256:" + "0" * 64}]}, "file's fields"),
        ({"key": "sha256:" + "0" * 64}, "digest does not match"),
    ],
)
def test_a_field_with_a_wrong_value_is_named_even_where_the_digest_is_right(
    change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ReceiptDamaged, match=reason):
        _read(_signed({**_fields(), **change}), RECEIPT)


def test_json_that_means_the_same_but_is_written_otherwise_is_damaged() -> None:
    text = json.dumps(json.loads(bytes_from_receipt(RECEIPT)), indent=1)

    with pytest.raises(ReceiptDamaged, match="digest does not match"):
        _read(text.encode(), RECEIPT)


def test_a_receipt_under_the_key_of_another_is_damaged() -> None:
    other = key_from_ingredients("engine", {"precision": "fp16"})

    with pytest.raises(ReceiptDamaged, match="belongs to another key"):
        receipt_from_bytes(bytes_from_receipt(RECEIPT), kind="engine", stored_as=other.digest)


def test_a_receipt_under_another_kind_is_damaged() -> None:
    with pytest.raises(ReceiptDamaged, match="belongs to another key"):
        receipt_from_bytes(bytes_from_receipt(RECEIPT), kind="check", stored_as=RECEIPT.key.digest)


def test_an_ingredient_edited_under_the_old_key_is_damaged_even_where_the_digests_are_made_anew() -> None:
    fields = _fields()
    fields["ingredients"]["precision"] = "fp32"
    edited = dataclasses.replace(RECEIPT, key=key_from_ingredients("engine", fields["ingredients"]))

    with pytest.raises(ReceiptDamaged, match="belongs to another key"):
        _read(bytes_from_receipt(edited), RECEIPT)


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"x": float("nan")}},
        {"metadata": {"x": "a" * RECEIPT_LIMIT_BYTES}},
        {"subject": ""},
        {"blobs": (Blob("../x", Digest("sha256", "0" * 64), 1),)},
    ],
)
def test_a_receipt_that_could_not_be_read_is_not_written(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no receipt can say this|JSON"):
        bytes_from_receipt(dataclasses.replace(RECEIPT, **change))


@pytest.mark.parametrize(
    ("metadata", "duration_s"),
    [({"duration_s": 3}, 3.0), ({}, None), ({"duration_s": "3"}, None), ({"duration_s": 10**400}, None)],
)
def test_the_duration_is_a_number_or_unknown(metadata: dict[str, Any], duration_s: float | None) -> None:
    assert dataclasses.replace(RECEIPT, metadata=metadata).duration_s == duration_s


def _read(data: bytes, receipt: Receipt) -> Receipt:
    return receipt_from_bytes(data, kind=receipt.key.kind, stored_as=receipt.key.digest)


def _fields() -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(bytes_from_receipt(RECEIPT))
    del fields["self"]
    return fields


def _signed(fields: dict[str, Any]) -> bytes:
    try:
        return canonical_json({"self": str(digest_from_json(fields)), **fields})
    except ValueError:
        return json.dumps({"self": "sha256:" + "0" * 64, **fields}, sort_keys=True, separators=(",", ":")).encode()
