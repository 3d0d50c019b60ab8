"""JSON for a program that reads stdout."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from pipeline.publish.stream import ForgivingStream

if TYPE_CHECKING:
    from collections.abc import Iterable


def print_json_array(values: Iterable[Any]) -> int:
    """Print one JSON array, each value as soon as it is there; returns how many there were."""
    stream, count = ForgivingStream(sys.stdout), 0
    for count, value in enumerate(values, start=1):
        stream.write(("[" if count == 1 else ",") + "\n  " + json.dumps(value))
    stream.write("\n]\n" if count else "[]\n")
    return count


def print_json(value: Any) -> None:
    """Print one JSON document. A reader that went away is no error: the exit code still tells how it ended."""
    ForgivingStream(sys.stdout).write(json_text(value, indent=2) + "\n")


def json_text(value: Any, *, indent: int | None = None) -> str:
    """``value`` as JSON in which no string is a command to GitHub's runner, ``##[command]``; it reads the same."""
    return json.dumps(value, indent=indent).replace("##[", r"##\u005b")
