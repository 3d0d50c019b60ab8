from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping  # noqa: TC003  record_from_json reads the annotations
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from pipeline.digest import Digest, digest_from_bytes
from pipeline.record import RecordError, json_from_record, record_from_json


class Colour(str, Enum):
    RED = "red"


@dataclasses.dataclass(frozen=True)
class Inner:
    count: int


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str
    ratio: float
    colour: Colour
    digest: Digest
    dimensions: tuple[int | str | None, ...]
    inner: Inner | None
    versions: Mapping[str, str]
    flag: bool
    folder: Path
    capability: tuple[int, int]


RECORD = Outer(
    "a", 0.5, Colour.RED, digest_from_bytes(b""), (1, "n", None), Inner(3), {"x": "1"}, True, Path("a/b"), (8, 9)
)


def test_reading_is_the_inverse_of_writing() -> None:
    assert record_from_json(Outer, json_from_record(RECORD)) == RECORD


def test_absent_records_are_null() -> None:
    record = dataclasses.replace(RECORD, inner=None)
    assert json_from_record(record)["inner"] is None
    assert record_from_json(Outer, json_from_record(record)) == record


def test_a_whole_number_is_a_number() -> None:
    ratio = record_from_json(Outer, {**json_from_record(RECORD), "ratio": 2}).ratio
    assert (ratio, type(ratio)) == (2.0, float)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused_both_ways(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_from_record(dataclasses.replace(RECORD, ratio=value))
    with pytest.raises(RecordError, match="ratio: must be a finite number"):
        record_from_json(Outer, {**json_from_record(RECORD), "ratio": value})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", 3, "name: must be text, not a whole number"),
        ("ratio", "0.5", "ratio: must be a number, not text"),
        ("flag", 1, "flag: must be true or false, not a whole number"),
        ("colour", "blue", "colour: 'blue' is not a valid Colour"),
        ("digest", "sha256:00", "digest: not a digest: 'sha256:00'"),
        ("dimensions", [1, 2.5], "dimensions\\[1\\]: must be a whole number, not a number"),
        ("dimensions", [True], "dimensions\\[0\\]: must be a whole number, not true or false"),
        ("dimensions", None, "dimensions: must be a list, not null"),
        ("inner", {"count": None}, "inner.count: must be a whole number, not null"),
        ("inner", {"count": 1, "more": 2}, "inner.more: is not a field of this record"),
        ("inner", {}, "inner.count: is missing"),
        ("inner", {"count": 10**400}, "inner.count: must be a number of at most 64 bits"),
        ("ratio", 10**400, "ratio: must be a number of at most 64 bits"),
        ("versions", {"x": 1}, "versions\\['x'\\]: must be text"),
        ("folder", 3, "folder: must be text, not a whole number"),
        ("capability", [8], "capability: must be a list of 2, not of 1"),
        ("capability", [8, "9"], "capability\\[1\\]: must be a whole number, not text"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_place(field: str, value: Any, message: str) -> None:
    wrong = copy.deepcopy(json_from_record(RECORD))
    wrong[field] = value
    with pytest.raises(RecordError, match=f"^{message}"):
        record_from_json(Outer, wrong)


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(RecordError, match="record: must be an object, not a list"):
        record_from_json(Outer, [])
