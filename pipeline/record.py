"""Frozen dataclasses to JSON values and back, strictly, from their type annotations.

Understands what records are made of: dataclasses, enumerations, ``Digest``, ``Path``, tuples, ``Mapping[str, X]``,
unions, and JSON's own scalars.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pipeline.digest import Digest

RecordT = TypeVar("RecordT")

_WORDS: dict[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    types.NoneType: "null",
}

_LARGEST = (1 << 63) - 1
"""A whole number past this is no figure of ours, and cannot be divided as a float."""


class RecordError(ValueError):
    """A JSON value is not the record that it should be; the text begins with the place, such as ``jobs[0].id``."""


def json_from_record(value: Any) -> Any:
    """``value`` as JSON: every field is present, ``None`` is null. Raises ``ValueError`` for NaN and infinity."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Digest | Path):
        return str(value)
    if dataclasses.is_dataclass(value):
        return {field.name: json_from_record(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: json_from_record(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [json_from_record(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} has no place in JSON")
    return value


def record_from_json(kind: type[RecordT], value: Any) -> RecordT:
    """The inverse of ``json_from_record`` for the dataclass ``kind``.

    A field that has a default may be missing, so that what an older version wrote can be read. Raises ``RecordError``
    for another missing field, an unknown field, or a value of another type.
    """
    record: RecordT = _read(kind, value, "")
    return record


def _read(kind: Any, value: Any, place: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _read_union(typing.get_args(kind), value, place)
    if origin is tuple:
        return _read_tuple(typing.get_args(kind), value, place)
    if origin is Mapping:
        item_kind = typing.get_args(kind)[1]
        pairs = _expect(dict, value, place)
        return {name: _read(item_kind, item, f"{place}[{name!r}]") for name, item in pairs.items()}
    if kind is Path:
        return Path(_expect(str, value, place))
    if kind is Digest or issubclass(kind, Enum):
        text = _expect(str, value, place)
        try:
            return Digest.parse(text) if kind is Digest else kind(text)
        except ValueError as error:
            raise RecordError(f"{place}: {error}") from None
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, _expect(dict, value, place), place)
    if kind is float and type(value) is int:
        return float(_expect(int, value, place))
    return _expect(kind, value, place)


def _read_tuple(kinds: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    items = _expect(list, value, place)
    if kinds[1:] == (Ellipsis,):
        kinds = kinds[:1] * len(items)
    if len(items) != len(kinds):
        raise RecordError(f"{place}: must be a list of {len(kinds)}, not of {len(items)}")
    return tuple(
        _read(kind, item, f"{place}[{index}]") for index, (kind, item) in enumerate(zip(kinds, items, strict=True))
    )


def _read_union(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    if value is None and types.NoneType in kinds:
        return None
    others = [kind for kind in kinds if kind is not types.NoneType]
    return _read(next((kind for kind in others if type(value) is kind), others[0]), value, place)


def _read_fields(kind: Any, value: dict[str, Any], place: str) -> Any:
    hints = _hints(kind)
    prefix = f"{place}." if place else ""
    missing, unknown = _required(kind) - value.keys(), value.keys() - hints.keys()
    if missing:
        raise RecordError(f"{prefix}{min(missing)}: is missing")
    if unknown:
        raise RecordError(f"{prefix}{min(unknown)}: is not a field of this record")
    given = {name: hint for name, hint in hints.items() if name in value}
    return kind(**{name: _read(hint, value[name], f"{prefix}{name}") for name, hint in given.items()})


@lru_cache(maxsize=64)
def _required(kind: type) -> frozenset[str]:
    fields = dataclasses.fields(kind)
    missing = dataclasses.MISSING
    return frozenset(each.name for each in fields if each.default is missing and each.default_factory is missing)


@lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _expect(kind: type, value: Any, place: str) -> Any:
    # ``type() is``, because True is an instance of int.
    if type(value) is not kind:
        raise RecordError(f"{place or 'record'}: must be {_WORDS[kind]}, not {_WORDS.get(type(value), 'of that type')}")
    if isinstance(value, float) and not math.isfinite(value):
        raise RecordError(f"{place}: must be a finite number")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise RecordError(f"{place}: must be a number of at most 64 bits")
    return value
