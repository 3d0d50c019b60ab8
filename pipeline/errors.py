"""Every error that the step reports on purpose, in one file so that exit codes stay unique.

=============  ====  =======================================================================
error          code  meaning
=============  ====  =======================================================================
SettingsError     2  the command line or the environment is wrong
ManifestError     3  the manifest is wrong; carries every fault with its line
ModelError        4  a model, or the data that belongs to it, is wrong
DeviceError       5  no machine here can do what was asked
BuildError        6  the builder refused, crashed or ran out of time
AccuracyError     7  a tolerance was missed
RegressionError   8  a budget was exceeded
CacheError        9  the cache failed where the user required it
PublishError     10  the report could not be published where that was required
Cancelled       130  a signal ended the run
=============  ====  =======================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pathlib import Path


class PipelineError(Exception):
    """What happened, why, how to mend it, and where.

    ``where`` is ``file:line:column`` or a file or a job id; every part but ``what`` may be empty. ``log`` is the file
    that has what the failed task printed, where a task of this run failed.
    """

    exit_code: ClassVar[int] = 1
    log: Path | None = None

    def __init__(self, what: str, *, why: str = "", fix: str = "", where: str = "") -> None:
        super().__init__(what, why, fix, where)
        self.what = what
        self.why = why
        self.fix = fix
        self.where = where

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.why:
            text += f": {self.why}"
        return f"{text}; {self.fix}" if self.fix else text


class SettingsError(PipelineError):
    """The command line or the environment is wrong."""

    exit_code = 2


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing wrong with a manifest. ``line`` and ``column`` count from 1; ``path`` is like ``models[0].onnx``."""

    file: str
    line: int
    column: int
    path: str
    what: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        subject = f"{self.path}: " if self.path else ""
        return f"{place}: {subject}{self.what}; {self.fix}"


class ManifestError(PipelineError):
    """The manifest is wrong; ``faults`` holds every fault found, in the order of the file."""

    exit_code = 3

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        count = len(faults)
        super().__init__(f"{count} fault{'s' if count != 1 else ''} in the manifest")
        self.faults = tuple(sorted(faults))

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)


class ModelError(PipelineError):
    """A model, or the data that belongs to it, is wrong; ``faults`` say so of each at its line of the manifest."""

    exit_code = 4
    faults: tuple[Fault, ...] = ()

    def fault_at(self, file: str, line: int, column: int, model: str) -> Fault:
        """The same as a fault of the manifest, at the place that names ``model``."""
        where = "" if self.where == f"{file}:{line}:{column}" else self.where
        text = ": ".join(filter(None, (where, self.what, self.why.strip())))
        return Fault(file, line, column, f"models.{model}", text, self.fix)


class DeviceError(PipelineError):
    """No machine here can do what was asked."""

    exit_code = 5


class BuildError(PipelineError):
    """The builder refused, crashed or ran out of time."""

    exit_code = 6


class AccuracyError(PipelineError):
    """A tolerance was missed."""

    exit_code = 7


class RegressionError(PipelineError):
    """A budget was exceeded."""

    exit_code = 8


class CacheError(PipelineError):
    """The cache failed where the user required it."""

    exit_code = 9


class PublishError(PipelineError):
    """The report could not be published where that was required."""

    exit_code = 10


class Cancelled(PipelineError):  # noqa: N818  a decision of the user, not an error
    """A signal ended the run."""

    exit_code = 130
