"""F38: a manifest that is empty, not text, or wrong in many places, of which each is told with its line at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.commands.cli import main
from tests.support.faulty_step import MANIFEST

if TYPE_CHECKING:
    from pathlib import Path

GOOD = MANIFEST.read_text()
NOT_YAML = {
    "empty": (b"", "is empty"),
    "a comment alone": (b"# nothing\n", "is empty"),
    "not text": (b"\xff\xfe\x00", ""),
    "a tab for an indent": (b"version: 1\nmodels:\n\t- name: a\n", "m.yaml:3:1"),
    "a list": (b"- a\n", "m.yaml:1:1"),
    "a key twice": (b"version: 1\nversion: 1\nmodels: []\n", "m.yaml:2:1"),
    "an alias": (b"a: &a [1]\nb: *a\n", "m.yaml:2:"),
    "two documents": (b"version: 1\n---\nversion: 1\n", "m.yaml"),
    "deep": (b"version: " + b"[" * 5000 + b"]" * 5000, "m.yaml"),
}


def said_of(folder: Path, data: bytes, capsys: pytest.CaptureFixture[str]) -> str:
    (folder / "m.yaml").write_bytes(data)
    arguments = ["validate", "--manifest", str(folder / "m.yaml"), "--cache", "none"]
    assert main(arguments, {"USER": "ada"}) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err


@pytest.mark.parametrize("case", NOT_YAML)
def test_F38_what_is_no_manifest_is_told_with_its_place(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, part = NOT_YAML[case]
    assert part in said_of(tmp_path, data, capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["m.yaml"]


def test_F38_every_fault_is_told_at_once_with_its_line_and_the_nearest_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = GOOD.replace("precisions:", "precisons:").replace("timeout_s: 600", "timeout_s: soon")
    lines = wrong.splitlines()
    numbers = {word: 1 + next(i for i, line in enumerate(lines) if word in line) for word in ("precisons", "soon")}
    said = said_of(tmp_path, wrong.encode(), capsys)
    for number in numbers.values():
        assert f"m.yaml:{number}:" in said
    assert "precisions" in said


def test_F38_a_byte_order_mark_is_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = GOOD.replace("precisions:", "precisons:").encode()
    assert said_of(tmp_path, b"\xef\xbb\xbf" + wrong, capsys) == said_of(tmp_path, wrong, capsys)
