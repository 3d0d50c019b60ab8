"""That modules build upon each other: nothing imports in a circle, and the lowest import nothing above them."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
LOWEST = {
    "errors", "digest", "paths", "given_paths", "strict_json", "record", "precision", "near", "targets", "keys",
    "revision",
}  # fmt: skip
PUTS_TOGETHER = {"artefacts", "planning", "recipes", "outcome", "delivery", "commands", "run", "settings", "stores"}
RUN_BY_CHILDREN = ("prepare", "build", "engine", "inspection", "verify", "bench", "child")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def part_of(name: str) -> str:
    """The folder of ``pipeline/``, or the module in none, that a module belongs to."""
    return f"{name}.".split(".")[1]


MODULES = {name_of(path): path for path in (ROOT / "pipeline").rglob("*.py")}


def imported(node: ast.AST) -> Iterator[str]:
    """The modules that are imported at run time below ``node``, also inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.ImportFrom):
            for alias in child.names:
                module = f"{child.module}.{alias.name}"
                yield module if module in MODULES else str(child.module)
        yield from imported(child)


IMPORTS = {
    name: {other for other in imported(ast.parse(path.read_text())) if other in MODULES and other != "pipeline"}
    for name, path in MODULES.items()
}


def test_no_module_imports_in_a_circle() -> None:
    assert len(IMPORTS["pipeline.run"]) > 10
    assert set(graphlib.TopologicalSorter(IMPORTS).static_order()) >= set(MODULES)


def test_the_lowest_modules_import_only_each_other() -> None:
    lowest = {f"pipeline.{name}" for name in LOWEST}
    assert {name: IMPORTS[name] - lowest for name in lowest if IMPORTS[name] - lowest} == {}


def test_what_children_run_knows_nothing_of_recipes_and_runs() -> None:
    above = {name for name in MODULES if part_of(name) in PUTS_TOGETHER}
    below = [name for name in MODULES if part_of(name) in RUN_BY_CHILDREN]
    assert len(below) > 80
    assert {name: IMPORTS[name] & above for name in below if IMPORTS[name] & above} == {}


def test_the_map_has_every_folder() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    folders = {path.parent.name for path in MODULES.values() if path.parent.parent == ROOT / "pipeline"}
    assert [name for name in sorted(folders) if f"`pipeline/{name}/`" not in text] == []
