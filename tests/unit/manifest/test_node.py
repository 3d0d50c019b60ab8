from __future__ import annotations

import pytest

from pipeline.manifest.node import INVALID, Node, path_of_item, path_of_key, shown
from pipeline.manifest.types import Location

HERE = Location("m.yaml", 2, 5)


def test_a_tree_gives_its_plain_value() -> None:
    tree = Node({"a": Node([Node(1, HERE, "a[0]"), Node(INVALID, HERE, "a[1]")], HERE, "a")}, HERE, "")
    assert tree.plain() == {"a": [1, INVALID]}
    assert tree.at(["a", 0]).path == "a[0]"


def test_a_value_without_text_is_pointed_at_by_its_key() -> None:
    key = Location("m.yaml", 1, 1)
    assert Node(None, HERE, "a", key).place == key
    assert Node(1, HERE, "a", key).place == HERE


@pytest.mark.parametrize(
    ("parent", "key", "path"),
    [("", "models", "models"), ("a", "top1-drop", "a.top1-drop"), ("a", "input.1", 'a["input.1"]'), ("", "0", '["0"]')],
)
def test_a_key_that_is_no_plain_word_is_quoted_in_a_path(parent: str, key: str, path: str) -> None:
    assert path_of_key(parent, key) == path


def test_an_item_has_its_number_in_a_path() -> None:
    assert path_of_item("models", 3) == "models[3]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", '"a"'),
        (True, "true"),
        (1.5, "1.5"),
        ([], "a list"),
        ({}, "a mapping"),
        ("é\n\u202e", '"\\u00e9\\n\\u202e"'),
    ],
)
def test_a_value_is_shown_in_one_printable_line(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_long_value_is_cut() -> None:
    assert shown("x" * 1000) == '"' + "x" * 58 + "…"
