from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pipeline.child.children import Children

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.child.children import Child


def test_without_turns_one_child_works_in_the_folder_itself(tmp_path: Path) -> None:
    children = Children(lambda request, folder: {"request": request, "folder": folder}, tmp_path)
    assert children.outcome({"a": 1}, None) == {"request": {"a": 1}, "folder": tmp_path}


def test_each_child_of_several_gets_an_empty_folder_of_its_own(tmp_path: Path) -> None:
    met = []

    def run(_request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        met.append((folder, list(folder.iterdir()), children.told))
        (folder / "left").touch()
        return {"number": len(met)}

    def in_turn(request: Mapping[str, Any], child: Child) -> dict[str, Any]:
        return {"answers": [child(request), child(request)]}

    children = Children(run, tmp_path)
    assert children.outcome({}, in_turn) == {"answers": [{"number": 1}, {"number": 2}]}
    assert [(folder.parent, left, told) for folder, left, told in met] == [
        (tmp_path, [], "process 1"),
        (tmp_path, [], "process 2"),
    ]
    assert list(tmp_path.iterdir()) == []


def test_what_a_child_raises_ends_the_turns(tmp_path: Path) -> None:
    def run(_request: Mapping[str, Any], _folder: Path) -> dict[str, Any]:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        Children(run, tmp_path).outcome({}, lambda request, child: child(request))
    assert list(tmp_path.iterdir()) == []
