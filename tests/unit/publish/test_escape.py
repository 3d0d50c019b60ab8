from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pipeline.publish.escape import (
    REPLACEMENT,
    cell_code_span,
    code_span,
    fenced_block,
    html_code,
    one_line,
    plain_lines,
)
from tests.support.hostile import HOSTILE_TEXTS

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
TEXTS = st.one_of(
    st.sampled_from(HOSTILE_TEXTS),
    st.text(max_size=60),
    st.text(alphabet="`|\\ \n<>@[]()!#*_~-:ab\x1b", max_size=40),
)


def code_in(markdown: str) -> list[str]:
    """The code spans of one paragraph; an assertion fails where it holds anything but code."""
    opening, inline, closing = MARKDOWN.parse(markdown)
    assert (opening.type, closing.type) == ("paragraph_open", "paragraph_close")
    assert {token.type for token in inline.children or ()} <= {"code_inline"}
    return [token.content for token in inline.children or ()]


@given(TEXTS)
def test_T10_a_code_span_holds_the_text_and_nothing_else(text: str) -> None:
    line = one_line(text)
    assert (code_in(code_span(text)) if line else [code_span(text)]) == [line]


@given(TEXTS, TEXTS)
def test_T10_a_cell_holds_the_text_and_the_row_keeps_its_cells(first: str, second: str) -> None:
    row = f"| {cell_code_span(first)} | {cell_code_span(second)} | end |"
    tokens = MARKDOWN.parse(f"| a | b | c |\n| - | - | - |\n{row}\n")
    cells = [token for token in tokens if token.type == "inline"]
    assert len(cells) == 6
    assert [cell.content for cell in cells[5:]] == ["end"]
    for cell, text in zip(cells[3:5], (first, second), strict=True):
        children = cell.children or []
        assert [child.content for child in children if child.content] == [line for line in [one_line(text)] if line]
        assert {child.type for child in children if child.content} <= {"code_inline"}


@given(st.lists(TEXTS, max_size=5))
def test_T10_a_fenced_block_is_one_block_that_ends_where_it_should(lines: list[str]) -> None:
    tokens = MARKDOWN.parse(f"{fenced_block(lines)}\n\nafter\n")
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]
    held = [line for text in lines for line in plain_lines(text)]
    shown = ["    " + line if re.fullmatch(" {0,3}`{3,}", line) else line for line in held]
    assert tokens[0].content == "".join(f"{line}\n" for line in shown)
    assert tokens[0].info == "text"


@given(TEXTS)
def test_T10_html_code_has_no_tag_but_its_own(text: str) -> None:
    inner = html_code(text).removeprefix("<code>").removesuffix("</code>")
    assert not set(inner) & set('<>"\n')


@given(TEXTS, st.integers(2, 40))
def test_T9_a_line_is_short_and_visible(text: str, limit_chars: int) -> None:
    line = one_line(text, limit_chars)
    assert len(line) <= limit_chars
    assert [c for c in line if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}] == []
    assert line == line.strip()
    line.encode()


@given(TEXTS)
def test_T9_lines_have_no_character_that_a_terminal_obeys(text: str) -> None:
    for line in plain_lines(text):
        assert [c for c in line if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}] == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;https://example.com\x07link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("a\x07b", f"a{REPLACEMENT}b"),
        ("unfinished \x1b[", f"unfinished {REPLACEMENT}["),
        ("a\u202eb", f"a{REPLACEMENT}b"),
        ("\ud800", REPLACEMENT),
        ("  a\t\n b  ", "a b"),
        ("größe 日本 🚀", "größe 日本 🚀"),
    ],
)
def test_T9_what_becomes_of_invisible_text(text: str, line: str) -> None:
    assert one_line(text) == line


def test_lines_keep_their_indentation() -> None:
    assert plain_lines("a\r\n  b\n\tc") == ("a", "  b", "    c")


def test_long_text_is_cut_with_an_ellipsis() -> None:
    assert one_line("abcdef", 4) == "abc…"


@pytest.mark.parametrize(
    "text", ["::error::x", "a ::Set-Output name=b::c", "##[error]x", "###[group]", "#\x1b[0m#[error]x"]
)
def test_T9_no_command_to_githubs_runner_is_left(text: str) -> None:
    for line in (one_line(text), *plain_lines(text)):
        assert "##[" not in line
        assert "::error" not in line
        assert "::Set" not in line


def test_names_with_colons_stay_as_they_are() -> None:
    assert one_line("nvinfer1::rt::cuda") == "nvinfer1::rt::cuda"
