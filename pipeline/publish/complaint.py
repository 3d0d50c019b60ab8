"""An error or a warning as it is printed: one line for each fault, whatever foreign text it quotes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import ManifestError
from pipeline.publish.escape import one_line, plain_lines

if TYPE_CHECKING:
    from pipeline.errors import PipelineError

_LIMIT_CHARS = 4000


def complaint(error: PipelineError, level: str = "error") -> str:
    """``error`` for a terminal or a job's log, after ``level``; a manifest's faults begin with their places instead.

    A reason that begins with a line end is a list, whose entries keep their lines.
    """
    if isinstance(error, ManifestError):
        return "\n".join(one_line(str(fault), _LIMIT_CHARS) for fault in error.faults)
    if error.why.startswith("\n") and (entries := [line for line in plain_lines(error.why) if line.strip()]):
        head = f"{level}: {error.where}: {error.what}" if error.where else f"{level}: {error.what}"
        fix = [f"  fix: {one_line(error.fix, _LIMIT_CHARS)}"] if error.fix else []
        return "\n".join((f"{one_line(head, _LIMIT_CHARS)}:", *entries, *fix))
    return one_line(f"{level}: {error}", _LIMIT_CHARS)
