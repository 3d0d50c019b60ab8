"""An error or a warning as it is printed: one line for each fault, whatever foreign text it quotes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import ManifestError
from pipeline.publish.escape import one_line

if TYPE_CHECKING:
    from pipeline.errors import PipelineError

_LIMIT_CHARS = 4000


def complaint(error: PipelineError, level: str = "error") -> str:
    """``error`` for a terminal or a job's log, after ``level``; a manifest's faults begin with their places instead."""
    if isinstance(error, ManifestError):
        return "\n".join(one_line(str(fault), _LIMIT_CHARS) for fault in error.faults)
    return one_line(f"{level}: {error}", _LIMIT_CHARS)
