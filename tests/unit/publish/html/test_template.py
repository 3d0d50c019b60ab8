from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from jinja2.exceptions import UndefinedError

from pipeline.publish.html import template
from pipeline.publish.html.template import page_template

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "report.html.jinja").write_text("<p>{{ text }}</p>\n")
    monkeypatch.setattr(template, "_FOLDER", tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return tmp_path


def kept(folder: Path) -> list[str]:
    return sorted(path.suffix for path in (folder / "__pycache__").glob("*"))


def test_everything_that_is_put_in_is_escaped(folder: Path) -> None:
    assert page_template({}).render(text="<b>'\"&") == "<p>&lt;b&gt;&#39;&#34;&amp;</p>\n"


def test_a_name_that_is_missing_is_an_error(folder: Path) -> None:
    with pytest.raises(UndefinedError):
        page_template({}).render()


def test_what_was_compiled_is_kept_until_the_template_changes(folder: Path) -> None:
    assert page_template({}).render(text="one") == "<p>one</p>\n"
    assert kept(folder) == [".cache"]
    (folder / "report.html.jinja").write_text("<b>{{ text }}</b>\n")
    assert page_template({}).render(text="one") == "<b>one</b>\n"


def test_damaged_bytecode_is_compiled_anew(folder: Path) -> None:
    page_template({})
    (path,) = (folder / "__pycache__").iterdir()
    path.write_bytes(b"no bytecode")
    assert page_template({}).render(text="one") == "<p>one</p>\n"


def test_nothing_is_kept_where_python_keeps_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    page_template({})
    assert kept(folder) == []


def test_a_folder_that_cannot_be_written_costs_the_bytecode_alone(folder: Path) -> None:
    (folder / "__pycache__").write_text("a file in the way")
    assert page_template({}).render(text="one") == "<p>one</p>\n"
