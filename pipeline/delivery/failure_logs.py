"""The logs that say more of the jobs that failed."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from pipeline.delivery.assemble import Log
from pipeline.errors import ModelError
from pipeline.paths import OutsideFolderError, contained

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pipeline.outcome.job import JobOutcome

_TAIL_BYTES = 16384
_TAIL_LINES = 40


def logs_from_outcomes(out: Path, outcomes: Iterable[JobOutcome]) -> dict[str, Log]:
    """Job id -> the log below ``out`` of the task that failed it: of no other step, and of no earlier run.

    What is wrong with a model or its data is told in full by the error, and its task's log has nothing to add.
    """
    logs = {}
    for outcome in outcomes:
        error = outcome.error
        if error is None or error.log is None or isinstance(error, ModelError):
            continue
        with contextlib.suppress(OSError, ValueError, OutsideFolderError):
            path = error.log.relative_to(out).as_posix()
            # The checkout may hold anything of that name.
            if not (log := contained(out, path)).is_file():
                continue
            with log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
            logs[outcome.planned.job.id] = Log(path, tuple(lines[-_TAIL_LINES:]))
    return logs
