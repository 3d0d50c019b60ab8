from __future__ import annotations

import json

import pytest

from pipeline.errors import Fault, ManifestError, ModelError
from pipeline.publish.complaint import complaint
from pipeline.publish.json_output import json_text
from tests.support.hostile import HOSTILE_TEXTS


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_an_error_is_one_line_whatever_it_quotes(text: str) -> None:
    said = complaint(ModelError("the model is wrong", why=text), "warning")
    assert said.startswith("warning: the model is wrong")
    assert said.isprintable()


def test_a_list_of_reasons_keeps_its_lines() -> None:
    error = ModelError("2 problems", why="\n  first\n  second\n::error::x\n", fix="mend it", where="m.onnx")
    assert complaint(error).split("\n") == [
        "error: m.onnx: 2 problems:",
        "  first",
        "  second",
        ": :error::x",
        "  fix: mend it",
    ]


def test_every_fault_of_a_manifest_is_a_line_that_begins_with_its_place() -> None:
    faults = tuple(Fault("m.yaml", line, 1, "", "is wrong\n::error::x", "mend it") for line in (1, 2))
    assert [line.split(" ")[0] for line in complaint(ManifestError(faults)).split("\n")] == [
        "m.yaml:1:1:",
        "m.yaml:2:1:",
    ]


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_json_reads_the_same_and_holds_no_command(text: str) -> None:
    said = json_text({"name": text}, indent=2)
    assert json.loads(said) == {"name": text}
    assert "##[" not in said
