"""The child that makes one artefact, or the many that do it one after another on what their run holds meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

Child = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Does a task once, in a fresh process, for a request."""
InTurn = Callable[[Mapping[str, Any], Child], dict[str, Any]]
"""Gets a request and a child that can be called again and again, and gives the outcome."""


class Children:
    """Children for one task. ``run`` takes a request and an empty folder; ``told`` says how far they are."""

    def __init__(self, run: Callable[[Mapping[str, Any], Path], dict[str, Any]], folder: Path) -> None:
        self.told = ""
        self._run = run
        self._folder = folder
        self._count = 0

    def outcome(self, request: Mapping[str, Any], in_turn: InTurn | None) -> dict[str, Any]:
        """What one child answers, or what ``in_turn`` makes of the answers of many. Raises what the task raises."""
        return self._run(request, self._folder) if in_turn is None else in_turn(request, self._next)

    def _next(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._count += 1
        self.told = f"process {self._count}"
        folder = self._folder / str(self._count)
        folder.mkdir()
        try:
            return self._run(request, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
