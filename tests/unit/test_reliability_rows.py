"""Every row of docs/reliability.md has a test that carries its number, and every such number is a row."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = set(re.findall(r"^\| ([FT]\d+) \|", (ROOT / "docs/reliability.md").read_text(), re.MULTILINE))
NUMBER = re.compile(r"(?<=_)([FT])0?(\d+)(?=_)")
FUNCTION = re.compile(r"^ *def (test_\w+)", re.MULTILINE)


def _numbers() -> dict[str, set[str]]:
    """Row -> the files with a test for it, by their own names or by those of their functions."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        names = [f"{path.stem}_", *(f"{name}_" for name in FUNCTION.findall(path.read_text()))]
        for letter, number in (match for name in names for match in NUMBER.findall(name)):
            found.setdefault(f"{letter}{int(number)}", set()).add(path.name)
    return found


def test_the_tables_are_whole() -> None:
    assert {f"F{number}" for number in range(1, 41)} | {f"T{number}" for number in range(1, 17)} == ROWS


def test_every_row_has_a_test() -> None:
    assert sorted(ROWS - set(_numbers())) == []


def test_every_number_is_a_row() -> None:
    assert {row: files for row, files in _numbers().items() if row not in ROWS} == {}
