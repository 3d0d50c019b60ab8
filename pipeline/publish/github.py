"""The two files that a GitHub workflow step may fill: its summary and its outputs.

docs.github.com/actions/reference/workflows-and-actions/workflow-commands gives the formats: the summary is
Markdown of at most 1 MiB per step; an output of any text is ``name<<delimiter``, the text, ``delimiter``.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from pipeline.errors import PublishError
from pipeline.publish.job_report import Status
from pipeline.publish.markdown import LIMIT_BYTES, MINIMUM_BYTES, markdown_from_report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.publish.details import Details
    from pipeline.publish.report import Report

_MOUNTED_WORKSPACE = "/github/workspace"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def write_step_summary(path: Path, report: Report, details: Details | None = None) -> None:
    """Append the report to the step's summary, cut to the room that is left there.

    Raises ``PublishError`` where the file cannot be written or is full.
    """
    try:
        used_bytes = path.stat().st_size if path.exists() else 0
        room_bytes = LIMIT_BYTES - used_bytes - 1
        if room_bytes < MINIMUM_BYTES:
            raise PublishError(
                f"the step summary has no room for the report: {used_bytes} of {LIMIT_BYTES} bytes are used",
                fix="write less to GITHUB_STEP_SUMMARY earlier in this step",
                where=str(path),
            )
        _append(path, markdown_from_report(report, room_bytes, details=details))
    except OSError as error:
        raise _unwritable(path, "GITHUB_STEP_SUMMARY", error) from error


def add_to_summary(path: Path, text: str) -> None:
    """Append a paragraph of Markdown to the step's summary, where it still has room. Raises ``PublishError``."""
    try:
        used_bytes = path.stat().st_size if path.exists() else 0
        if used_bytes + len(text.encode()) + 2 <= LIMIT_BYTES:
            _append(path, f"\n{text}\n")
    except OSError as error:
        raise _unwritable(path, "GITHUB_STEP_SUMMARY", error) from error


def write_outputs(path: Path, outputs: Mapping[str, str]) -> None:
    """Append step outputs; a value may hold any text. Raises ``PublishError`` where the file cannot be written.

    Each value stands between two lines that hold a random delimiter, so no value can end early or add an output.
    """
    lines = []
    for name, value in outputs.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"not the name of an output: {name!r}")
        delimiter = f"end-{secrets.token_hex(16)}"
        lines.append(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")
    try:
        _append(path, "".join(lines))
    except OSError as error:
        raise _unwritable(path, "GITHUB_OUTPUT", error) from error


def outputs_from_report(report: Report, *, report_path: Path, engines_path: Path) -> dict[str, str]:
    """What later steps of the workflow may read: verdict, exit code, the two paths, and the counts of jobs."""
    return {
        "verdict": str(report.verdict),
        "exit-code": str(report.exit_code),
        "report": str(_seen_by_later_steps(report_path)),
        "engines": str(_seen_by_later_steps(engines_path)),
        "built": str(len(report.with_status(Status.BUILT))),
        "cached": str(len(report.with_status(Status.CACHED))),
        "delivered": str(sum(job.engine is not None and job.engine.path is not None for job in report.jobs)),
        "failed": str(len(report.with_status(Status.FAILED))),
    }


def _seen_by_later_steps(path: Path) -> Path:
    """A path in the workspace as GitHub mounts it for a container action alone, from wherever that lies for the others.

    They begin there (docs.github.com/actions/reference/workflows-and-actions/dockerfile-support, WORKDIR).
    """
    return path.relative_to(_MOUNTED_WORKSPACE) if path.is_relative_to(_MOUNTED_WORKSPACE) else path


def _append(path: Path, text: str) -> None:
    """Append in one write, on a line of its own."""
    with path.open("a+b") as file:
        if file.tell() > 0:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                text = "\n" + text
        file.write(text.encode("utf-8", "replace"))


def _unwritable(path: Path, variable: str, error: OSError) -> PublishError:
    return PublishError(
        f"{variable} cannot be written",
        why=error.strerror or str(error),
        fix="check that the file and its folder are there, writable and not full",
        where=str(path),
    )
