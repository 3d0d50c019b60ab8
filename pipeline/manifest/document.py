"""Bounded, safe YAML: a file -> a tree of plain values with their places, and the faults of its form.

No constructor ever runs and nothing is expanded: the tree is made from parser events, so an alias costs nothing.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.errors import Fault
from pipeline.manifest.node import INVALID, Node, fault_at, path_of_item, path_of_key, shown
from pipeline.manifest.scalars import scalar_from_text
from pipeline.manifest.types import Location
from pipeline.near import near_spelling

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_NODES = 20_000
MAX_FAULTS = 100
_SYNTAX_FIXES = (
    ("mapping values are not allowed", "check the indentation, or put text that contains `: ` in quotes"),
    ("could not find expected ':'", "check the indentation, and that each key is followed by `: `"),
    ("expected <block end>", "line this up with the entries around it"),
    ("expected ',' or", "close the bracket, or put a comma between the entries"),
    ("end of stream", "close the quote or the bracket"),
    ("cannot start any token", "put text that begins with this character in quotes"),
)


class _ReadingStoppedError(Exception):
    """Nothing sensible can be read after the last fault."""


def read_document(path: Path) -> tuple[Node | None, tuple[Fault, ...]]:
    """Read the YAML file at ``path``.

    The tree is ``None`` where the file is no YAML document at all. Otherwise each value that has a fault of form
    is ``INVALID`` in the tree, so that the rest can still be checked. At most ``MAX_FAULTS`` faults are given.
    """
    text = _text_from_file(path)
    if isinstance(text, Fault):
        return None, (text,)
    composer = _Composer(str(path), text)
    try:
        return composer.compose(), tuple(composer.faults)
    except _ReadingStoppedError:
        return None, tuple(composer.faults)


def _text_from_file(path: Path) -> str | Fault:
    def fault(what: str, fix: str, line: int = 1, column: int = 1) -> Fault:
        return Fault(str(path), line, column, "", what, fix)

    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return fault("is not a regular file", "give the path of a YAML file")
        data = b""
        if status.st_size <= MAX_BYTES:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        near = near_spelling(path.name, _names_in(path.parent))
        return fault(f"there is no such file in {path.absolute().parent}", near or "name the manifest with --manifest")
    except (OSError, ValueError) as error:
        return fault(f"cannot be read: {_reason(error)}", "check the path and its permissions")
    if max(status.st_size, len(data)) > MAX_BYTES:
        return fault(f"is larger than {MAX_BYTES // 1024} KiB", "split the manifest")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return fault("is UTF-16, not UTF-8", "save the file as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        return fault("is not UTF-8 text", "save the file as UTF-8", *_line_and_column(before, len(before)))
    if "\0" in text:
        return fault("holds a NUL byte", "save the manifest as plain text", *_line_and_column(text, text.index("\0")))
    return text


class _Composer:
    """Turns parser events into nodes. One object reads one text once."""

    def __init__(self, file: str, text: str) -> None:
        self.faults: list[Fault] = []
        self._file = file
        self._text = text
        self._nodes = 0
        self._events: Any = None

    def compose(self) -> Node:
        """The tree of the only document. Raises ``_ReadingStoppedError`` after a fault that ends the reading."""
        try:
            self._events = yaml.SafeLoader(self._text)
            return self._document()
        except yaml.reader.ReaderError as error:
            line, column = _line_and_column(self._text, error.position)
            location = Location(self._file, line, column)
            self._add(location, "", f"character U+{ord(self._text[error.position]):04X} is not allowed", "remove it")
        except yaml.MarkedYAMLError as error:
            self._add_syntax_fault(error)
        except (ValueError, OverflowError):
            # An escape such as "\UFFFFFFFF" or a directive with a huge number: PyYAML passes them on unchecked.
            location = self._location(self._events.get_mark())
            self._add(location, "", "not valid YAML: a number is out of range", "write the character or number plainly")
        raise _ReadingStoppedError

    def _document(self) -> Node:
        self._next()
        if self._events.check_event(yaml.StreamEndEvent):
            self._stop_empty()
        start = self._next()
        if start.version or start.tags:
            self._add(self._location(start.start_mark), "", "directives are not used here", "remove the `%` lines")
        node = self._node("", 1, None)
        if node.value is None:
            self._stop_empty()
        self._next()
        if not self._events.check_event(yaml.StreamEndEvent):
            location = self._location(self._events.peek_event().start_mark)
            self._add(location, "", "a second document begins here", "keep one document in a manifest")
        return node

    def _node(self, path: str, depth: int, key: Location | None) -> Node:
        event = self._next()
        location = self._location(event.start_mark)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._add(location, path, f"holds more than {MAX_NODES} values", "split the manifest")
            raise _ReadingStoppedError
        if isinstance(event, yaml.AliasEvent):
            fix = "write the value out, or put what models share under `defaults`"
            self._add(location, path, f"aliases are not allowed: *{event.anchor}", fix)
            return Node(INVALID, location, path, key)
        if event.anchor is not None:
            fix = "remove it; put what models share under `defaults`"
            self._add(location, path, f"anchors are not allowed: &{event.anchor}", fix)
        if event.tag is not None:
            fix = "remove it; put text in quotes where it looks like a number"
            self._add(location, path, f"tags are not allowed: {shown(event.tag)}", fix)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, location, path, key)
        if depth > MAX_DEPTH:
            self._add(location, path, f"is nested deeper than {MAX_DEPTH} levels", "flatten the manifest")
            raise _ReadingStoppedError
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(self._sequence(path, depth), location, path, key)
        return Node(self._mapping(path, depth), location, path, key)

    def _scalar(self, event: Any, location: Location, path: str, key: Location | None) -> Node:
        text = event.value
        if not text.isprintable():
            self._add(location, path, "must be one line of printable text", "remove line breaks and control characters")
            return Node(INVALID, location, path, key)
        if event.style is not None:
            return Node(text, location, path, key, text)
        try:
            return Node(scalar_from_text(text), location, path, key, text)
        except ValueError as error:
            self._add(location, path, f"{shown(text)} {error}", "write a plain number, or put text in quotes")
            return Node(INVALID, location, path, key)

    def _sequence(self, path: str, depth: int) -> list[Node]:
        nodes: list[Node] = []
        while not self._events.check_event(yaml.SequenceEndEvent):
            nodes.append(self._node(path_of_item(path, len(nodes)), depth + 1, None))
        self._next()
        return nodes

    def _mapping(self, path: str, depth: int) -> dict[str, Node]:
        nodes: dict[str, Node] = {}
        while not self._events.check_event(yaml.MappingEndEvent):
            key = self._node(path, depth + 1, None)
            name = key.text
            value = self._node(path_of_key(path, name), depth + 1, key.location)
            if key.value is INVALID:
                continue
            if isinstance(key.value, dict | list):
                self._add(key.location, path, "a key must be text", "write `key: value`")
            elif name == "<<":
                fix = "put what models share under `defaults`"
                self._add(key.location, path, "merge keys (`<<`) are not allowed", fix)
            elif name in nodes:
                first = nodes[name].key
                line = first.line if first else 0
                fix = "keep one of the two"
                self._add(key.location, value.path, f"{shown(name)} is already given in line {line}", fix)
            else:
                nodes[name] = value
        self._next()
        return nodes

    def _next(self) -> Any:
        return self._events.get_event()

    def _location(self, mark: Any) -> Location:
        return Location(self._file, mark.line + 1, mark.column + 1)

    def _add(self, location: Location, path: str, what: str, fix: str) -> None:
        self.faults.append(fault_at(location, path, what, fix))
        if len(self.faults) >= MAX_FAULTS:
            raise _ReadingStoppedError

    def _stop_empty(self) -> None:
        self._add(Location(self._file, 1, 1), "", "is empty", "begin with `version: 1` and a list of `models:`")
        raise _ReadingStoppedError

    def _add_syntax_fault(self, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        location = self._location(mark) if mark else Location(self._file, 1, 1)
        line_start = self._text.rfind("\n", 0, mark.index) + 1 if mark else 0
        before = self._text[line_start : mark.index + 1] if mark else ""
        if "\t" in before and not before.strip():
            self._add(location, "", "a tab is used for indentation", "indent with spaces")
            return
        problem = error.problem or "it cannot be parsed"
        fixes = (fix for words, fix in _SYNTAX_FIXES if words in problem)
        fix = next(fixes, "check the indentation, the quotes and the brackets of this line")
        self._add(location, "", f"not valid YAML: {_one_line(problem)}", fix)


def _line_and_column(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)[:200]


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() in (".yaml", ".yml"))[:1000]
    except OSError:
        return []


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
