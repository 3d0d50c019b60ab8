"""``report``: shows again what one or several runs have written, in any form. Nothing is built, and nobody is asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PublishError
from pipeline.publish.json_output import print_json
from pipeline.publish.parts import merged, read_parts
from pipeline.publish.report import report_to_json

if TYPE_CHECKING:
    import argparse


def run_report(options: argparse.Namespace) -> int:
    """Print the merged report of the folder ``options.source`` in ``options.format``.

    Returns 0, or the exit code of the runs together where ``options.exit_code`` asks for it, so that a last job of a
    pipeline passes or fails for all of them. Raises ``SettingsError`` for what cannot be read, ``PublishError`` for
    what cannot be written.
    """
    parts = read_parts(Path(options.source))
    report = merged(parts.reports)
    if options.format == "json":
        print_json(report_to_json(report))
    elif options.format == "terminal":
        from pipeline.publish.terminal import print_report

        print_report(report, sys.stdout, details=parts.details)
    elif options.format == "markdown":
        from pipeline.publish.markdown import markdown_from_report

        _write(markdown_from_report(report, details=parts.details))
    else:
        from pipeline.publish.html.page import html_from_report

        _write(html_from_report(report, parts.details, parts.layers))
    return report.exit_code if options.exit_code else 0


def _write(text: str) -> None:
    """UTF-8 whatever the terminal's encoding, since files are made of it. ``BrokenPipeError`` is the caller's."""
    try:
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise PublishError(
            "the report cannot be written", why=error.strerror or str(error), fix="make space"
        ) from error
