"""A YAML document as a tree of plain values, each of which knows where it was written."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.manifest.types import Location

_BARE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_LONGEST_SHOWN = 60


class Invalid(Enum):
    """Stands for a value that already has a fault, so that no second one is made of it."""

    VALUE = "invalid"


INVALID: Final = Invalid.VALUE

Value = str | int | float | bool | None | dict[str, "Node"] | list["Node"] | Invalid


@dataclass(frozen=True, slots=True)
class Node:
    """One value. ``path`` is where it was written, such as ``models[0].onnx``; ``text`` is a scalar as written."""

    value: Value
    location: Location
    path: str
    key: Location | None = None
    text: str = ""

    @property
    def members(self) -> dict[str, Node]:
        """The members of a mapping; none for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Node]:
        """The items of a list; none for anything else."""
        return self.value if isinstance(self.value, list) else []

    @property
    def place(self) -> Location:
        """Where to point for this value: at its key where it has no text of its own."""
        return self.key if self.value is None and self.key else self.location

    def plain(self) -> Any:
        """The value without places, as ``json.loads`` would give it; ``INVALID`` stays."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def at(self, path: Iterable[str | int]) -> Node:
        """The node below this one at ``path``. Raises ``KeyError`` or ``IndexError`` where there is none."""
        node = self
        for step in path:
            node = node.items[step] if isinstance(step, int) else node.members[step]
        return node

    def fault(self, what: str, fix: str) -> Fault:
        """A fault of this value."""
        return fault_at(self.place, self.path, what, fix)


def given_members(node: Node | None) -> dict[str, Any]:
    """The plain values of a mapping's members, without those that have a fault."""
    members = node.members if node else {}
    return {name: member.plain() for name, member in members.items() if member.value is not INVALID}


def fault_at(location: Location, path: str, what: str, fix: str) -> Fault:
    """A fault at any place."""
    return Fault(location.file, location.line, location.column, path, what, fix)


def path_of_key(parent: str, key: str) -> str:
    """``models[0]`` and ``onnx`` -> ``models[0].onnx``; odd keys are quoted: ``shapes["input.1"]``."""
    if _BARE_KEY.fullmatch(key):
        return f"{parent}.{key}" if parent else key
    return f"{parent}[{shown(key)}]"


def path_of_item(parent: str, index: int) -> str:
    """``models`` and 0 -> ``models[0]``."""
    return f"{parent}[{index}]"


def shown(value: Any) -> str:
    """A value as a message quotes it: one short line, with nothing that could disturb a terminal."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=not str(value).isprintable())
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"
