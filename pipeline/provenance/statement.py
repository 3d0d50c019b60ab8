"""The statement about one engine: in-toto Statement v1 with the predicate SLSA provenance v1.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and https://slsa.dev/spec/v1.0/provenance. What
the manifest decides are external parameters, what the step and the machine add are internal ones; together they are
the ingredients of the engine's key, so that whoever reads a statement can make the key again.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import __version__
from pipeline.digest import Digest
from pipeline.keys import Ingredient, Key, key_from_ingredients

if TYPE_CHECKING:
    from collections.abc import Mapping

PROVENANCE_FILE = "provenance.json"
"""The statement's name among an engine's files in the cache."""
PROVENANCE_SUFFIX = ".provenance.json"
"""What takes the place of ``.engine`` in the name of the statement beside a delivered engine."""

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:tensorrt-engine-action:build:1"
TOOL = "tensorrt-engine-action"

REFITTED = "refitted-engine"
"""The role of the engine that an engine was refitted from."""
_KEY_URI = f"urn:{TOOL}:engine:"
_URIS = ("source", "image", REFITTED)
"""The roles whose materials have a URI for a name."""

_LIMIT_BYTES = 4 << 20
_ASKED = ("precision", "runtime", "calibration.", "build.", "profile.", "target.", "layer-precision.")
"""Ingredients that the manifest decides begin so; digests of its files and recipe numbers among them are not asked."""
_GIVEN = re.compile(r".*\.recipe|runtime\.version|calibration\.(data|table|tensorrt|plugin\..*)|build\.plugin\..*")
_HEX = {"sha256": 64, "gitCommit": 40}


class StatementError(ValueError):
    """The bytes are no statement about an engine; the text says why."""


@dataclass(frozen=True, slots=True)
class Material:
    """One thing that an engine was made from.

    ``role`` is ``model``, ``model-data``, ``calibration-data``, ``calibration-table``, ``plugin``, ``source``,
    ``image`` or ``refitted-engine``, the engine whose weights were replaced (``material_from_origin``). ``name`` is a
    path from the folder of the manifest, or a URI for the last three. ``algorithm`` is
    ``sha256``, or ``gitCommit``, for which ``value`` is a commit; both are empty for an image of unknown digest.
    """

    role: str
    name: str
    algorithm: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What is said of one engine. ``started`` and ``finished`` are like ``2026-01-31T23:59:59Z``."""

    job: str
    engine: Digest
    key: Key
    materials: tuple[Material, ...]
    builder: str
    invocation: str
    started: str
    finished: str
    tool_version: str = __version__


def material_from_origin(key: Digest, engine: Digest) -> Material:
    """The engine with the digest ``engine`` that an engine was refitted from, known to the cache by ``key``."""
    return Material(REFITTED, f"{_KEY_URI}{key}", engine.algorithm, engine.hex)


def origin_key(statement: Statement) -> Digest | None:
    """The key of the engine that a statement's engine was refitted from; ``None`` where it names none."""
    for material in statement.materials:
        if material.role == REFITTED and material.name.startswith(_KEY_URI):
            with contextlib.suppress(ValueError):
                return Digest.parse(material.name.removeprefix(_KEY_URI))
    return None


def utc_text(seconds: float) -> str:
    """A time since the epoch as a statement says it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def bytes_from_statement(statement: Statement) -> bytes:
    """The JSON that ``schemas/provenance.schema.json`` describes, in the one form that is read back."""
    return json.dumps(statement_to_json(statement), indent=2, allow_nan=False).encode() + b"\n"


def statement_to_json(statement: Statement) -> dict[str, Any]:
    """See ``bytes_from_statement``."""
    ingredients = dict(statement.key.ingredients)
    metadata = {"startedOn": statement.started, "finishedOn": statement.finished}
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": f"{statement.job}.engine", "digest": {"sha256": statement.engine.hex}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "job": statement.job,
                    "settings": {name: value for name, value in ingredients.items() if _is_asked(name)},
                },
                "internalParameters": {
                    "key": str(statement.key.digest),
                    "ingredients": {name: value for name, value in ingredients.items() if not _is_asked(name)},
                },
                "resolvedDependencies": [_material_to_json(material) for material in statement.materials],
            },
            "runDetails": {
                "builder": {"id": statement.builder, "version": {TOOL: statement.tool_version}},
                "metadata": metadata | ({"invocationId": statement.invocation} if statement.invocation else {}),
            },
        },
    }


def statement_from_bytes(data: bytes) -> Statement:
    """Read a statement back. Raises ``StatementError`` and nothing else.

    Only the exact bytes that ``bytes_from_statement`` writes are accepted, so nothing can be missing, added or said
    twice, and the key follows from the parameters. A later build type keeps a reader for this one.
    """
    _require(len(data) <= _LIMIT_BYTES, f"it is longer than {_LIMIT_BYTES >> 20} MiB")
    try:
        statement = _statement_from_json(json.loads(data.decode()))
        written = bytes_from_statement(statement)
    except StatementError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise StatementError("it is malformed") from error
    _require(written == data, "it was changed, or its key does not follow from its parameters")
    return statement


def _statement_from_json(value: Any) -> Statement:
    definition, run = value["predicate"]["buildDefinition"], value["predicate"]["runDetails"]
    kinds = (value["predicateType"], definition["buildType"])
    _require(kinds == (PREDICATE_TYPE, BUILD_TYPE), "it is not about the build of an engine")
    settings = _ingredients(definition["externalParameters"]["settings"])
    others = _ingredients(definition["internalParameters"]["ingredients"])
    (subject,) = value["subject"]
    return Statement(
        job=_text(definition["externalParameters"]["job"]),
        engine=Digest.parse(f"sha256:{subject['digest']['sha256']}"),
        key=key_from_ingredients("engine", {**settings, **others}),
        materials=tuple(_material_from_json(item) for item in definition["resolvedDependencies"]),
        builder=_text(run["builder"]["id"]),
        invocation=_text(run["metadata"].get("invocationId", "")),
        started=_text(run["metadata"]["startedOn"]),
        finished=_text(run["metadata"]["finishedOn"]),
        tool_version=_text(run["builder"]["version"][TOOL]),
    )


def _is_asked(name: str) -> bool:
    return name.startswith(_ASKED) and _GIVEN.fullmatch(name) is None


def _material_to_json(material: Material) -> dict[str, Any]:
    place = "uri" if material.role in _URIS else "name"
    digest = {"digest": {material.algorithm: material.value}} if material.algorithm else {}
    return {place: material.name, **digest, "annotations": {"role": material.role}}


def _material_from_json(value: Any) -> Material:
    name = value["uri"] if "uri" in value else value["name"]
    role = _text(value["annotations"]["role"])
    if "digest" not in value:
        return Material(role, _text(name))
    ((algorithm, digest),) = value["digest"].items()
    well_formed = re.fullmatch(rf"[0-9a-f]{{{_HEX[algorithm]}}}", _text(digest)) is not None
    _require(well_formed, f"the digest of {name!r:.80} is none")
    return Material(role, _text(name), algorithm, digest)


def _ingredients(value: Mapping[str, Any]) -> Mapping[str, Ingredient]:
    plain = all(item is None or isinstance(item, str | int | float) for item in value.values())
    _require(plain, "a parameter is neither text, number nor truth value")
    return value


def _text(value: Any) -> str:
    _require(isinstance(value, str), "a field that must be text is none")
    return str(value)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise StatementError(otherwise)
