"""The messages of a native builder, kept in order and shown with the time since it started."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from pipeline.build.diagnosis import decisive_errors, diagnosis_from_errors
from pipeline.child.log import HARMLESS
from pipeline.errors import BuildError

if TYPE_CHECKING:
    from pipeline.build.diagnosis import Diagnosis

_KEPT = 10_000
_WARNINGS = 20


class BuilderLog:
    """Takes messages by severity (``ERROR``, ``WARNING``, ``INFO``) and writes each to stderr."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._errors: list[str] = []
        self._warnings: list[str] = []

    def take(self, severity: str, message: str) -> None:
        """Keep one message; ``INTERNAL_ERROR`` counts as an error."""
        print(f"[{time.monotonic() - self._started:9.3f} s] [{severity}] {message}", file=sys.stderr)
        kept = self._errors if "ERROR" in severity else self._warnings if severity == "WARNING" else None
        if kept is not None and len(kept) < _KEPT:
            kept.append(message)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the log began."""
        return time.monotonic() - self._started

    @property
    def errors(self) -> tuple[str, ...]:
        """Every error so far, as it was logged."""
        return tuple(self._errors)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The first warnings, each once."""
        return tuple(decisive_errors(text for text in self._warnings if not HARMLESS.search(text)))[:_WARNINGS]

    def diagnosis(self) -> Diagnosis:
        """What the errors so far point to."""
        return diagnosis_from_errors(self._errors)

    def refuse_errors(self, what: str) -> None:
        """Raise ``BuildError`` when an error was logged: some setters report a failure in no other way."""
        if any(not HARMLESS.search(message) for message in self._errors):
            diagnosis = self.diagnosis()
            raise BuildError(what, why=diagnosis.why, fix=diagnosis.fix)
