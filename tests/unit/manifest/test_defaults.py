from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.manifest.defaults import models_with_defaults, written_in_defaults
from pipeline.manifest.document import read_document

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.manifest.node import Node


def _models(folder: Path, text: str) -> tuple[Node, ...]:
    path = folder / "m.yaml"
    path.write_text(text, encoding="utf-8")
    root, _ = read_document(path)
    assert root is not None
    return models_with_defaults(root)


def test_mappings_are_merged_at_every_depth(tmp_path: Path) -> None:
    text = "defaults: {a: {b: {c: 1, d: 2}, e: 3}}\nmodels: [{a: {b: {d: 4}}}]\n"
    assert [model.plain() for model in _models(tmp_path, text)] == [{"a": {"b": {"c": 1, "d": 4}, "e": 3}}]


def test_lists_and_values_are_replaced(tmp_path: Path) -> None:
    text = "defaults: {a: [1, 2], b: {c: 1}}\nmodels: [{a: [3], b: 4}]\n"
    assert [model.plain() for model in _models(tmp_path, text)] == [{"a": [3], "b": 4}]


def test_a_value_keeps_the_place_where_it_was_written(tmp_path: Path) -> None:
    (model,) = _models(tmp_path, "defaults: {a: {b: 1}}\nmodels:\n  - a: {c: 2}\n")
    from_defaults, own = model.at(["a", "b"]), model.at(["a", "c"])
    assert (from_defaults.location.line, from_defaults.path) == (1, "defaults.a.b")
    assert (own.location.line, own.path) == (3, "models[0].a.c")
    assert written_in_defaults(from_defaults)
    assert not written_in_defaults(own)


def test_models_without_defaults_stay_as_they_are(tmp_path: Path) -> None:
    assert [model.plain() for model in _models(tmp_path, "models: [{a: 1}, 2]\n")] == [{"a": 1}]
    assert _models(tmp_path, "version: 1\n") == ()
