from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pipeline.digest import Digest
from pipeline.keys import key_from_ingredients
from pipeline.provenance.statement import (
    Material,
    Statement,
    StatementError,
    bytes_from_statement,
    statement_from_bytes,
    statement_to_json,
)
from tests.support.statements import COMMIT, sample_statement

SCHEMA = Draft202012Validator(json.loads((Path(__file__).parents[3] / "schemas/provenance.schema.json").read_text()))
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
NAMES = st.text() | st.sampled_from(
    [
        "precision",
        "runtime",
        "runtime.version",
        "calibration.data",
        "calibration.method",
        "build.plugin.0",
        "build.refit",
    ]
)
FILES = st.builds(Material, st.sampled_from(["model", "model-data", "plugin"]), st.text(), st.just("sha256"), HEX)
PLACES = st.builds(Material, st.sampled_from(["image", "refitted-engine"]), st.text()) | st.just(
    Material("source", "git+x", "gitCommit", COMMIT)
)
STATEMENTS = st.builds(
    Statement,
    job=st.text(),
    engine=HEX.map(lambda text: Digest("sha256", text)),
    key=st.dictionaries(NAMES, VALUES).map(lambda named: key_from_ingredients("engine", named)),
    materials=st.lists(FILES | PLACES).map(tuple),
    builder=st.text(),
    invocation=st.text(),
    started=st.text(),
    finished=st.text(),
    tool_version=st.text(),
)


@given(STATEMENTS)
def test_what_is_written_is_read_back_and_is_what_the_schema_describes(statement: Statement) -> None:
    SCHEMA.validate(statement_to_json(statement))
    assert statement_from_bytes(bytes_from_statement(statement)) == statement


@given(STATEMENTS, st.data())
def test_a_byte_that_was_changed_is_refused_or_says_something_else(statement: Statement, data: st.DataObject) -> None:
    written = bytearray(bytes_from_statement(statement))
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = statement_from_bytes(bytes(written))
    except StatementError:
        return
    assert found != statement


@given(st.binary() | st.recursive(VALUES, lambda x: st.lists(x) | st.dictionaries(st.text(), x)).map(json.dumps))
def test_nothing_else_is_a_statement(data: bytes | str) -> None:
    with pytest.raises(StatementError):
        statement_from_bytes(data.encode() if isinstance(data, str) else data)


def test_the_settings_of_the_manifest_are_told_from_what_the_machine_adds() -> None:
    definition = statement_to_json(sample_statement())["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["settings"].keys() == {
        "precision",
        "runtime",
        "build.optimization-level",
        "build.sparsity",
        "profile.0.image.min",
    }
    assert definition["internalParameters"]["ingredients"].keys() == {"recipe", "model", "runtime.version", "tool.onnx"}


def changed(place: tuple[str | int, ...], value: Any) -> bytes:
    said = statement_to_json(sample_statement())
    inner: Any = said
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return json.dumps(said, indent=2).encode() + b"\n"


DEFINITION = ("predicate", "buildDefinition")


@pytest.mark.parametrize(
    "data",
    [
        changed((*DEFINITION, "externalParameters", "settings", "precision"), "fp32"),
        changed((*DEFINITION, "internalParameters", "key"), f"sha256:{'0' * 64}"),
        changed((*DEFINITION, "internalParameters", "ingredients", "extra"), 1),
        changed((*DEFINITION, "internalParameters", "ingredients", "recipe"), [1]),
        changed((*DEFINITION, "internalParameters", "ingredients", "recipe"), float("nan")),
        changed((*DEFINITION, "buildType"), "urn:other"),
        changed(("predicateType",), "https://slsa.dev/provenance/v2"),
        changed(("_type",), "https://in-toto.io/Statement/v2"),
        changed(("subject",), []),
        changed(("subject", 0, "digest"), {"sha256": "0"}),
        changed((*DEFINITION, "resolvedDependencies", 0, "digest"), {"md5": "0"}),
        changed((*DEFINITION, "resolvedDependencies", 0, "digest"), {"sha256": "0"}),
        changed(("predicate", "runDetails", "builder", "id"), 7),
        bytes_from_statement(sample_statement()) + b" ",
        b"[" * 200_000,
        b" " * (5 << 20),
        b"\xff",
    ],
)
def test_a_statement_that_was_changed_is_refused(data: bytes) -> None:
    with pytest.raises(StatementError):
        statement_from_bytes(data)
