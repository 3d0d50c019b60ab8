"""``report``: shows again what one or several runs have written, in any form, and publishes it. Nothing is built."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PublishError
from pipeline.publish.github import write_step_summary
from pipeline.publish.json_output import print_json
from pipeline.publish.parts import merged, read_parts
from pipeline.publish.whole import whole_to_json
from pipeline.settings import publishing_from_mapping

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from pipeline.publish.parts import Parts


def run_report(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print the merged report of the folder ``options.source`` in ``options.format``; publish it where that is asked.

    Returns 0, or the exit code of the runs together where ``options.exit_code`` asks for it, so that a last job of a
    pipeline passes or fails for all of them; 10 where a comment is required and was not written. Raises
    ``SettingsError`` for what cannot be read, ``PublishError`` for what cannot be written.
    """
    parts = read_parts(Path(options.source))
    report = merged(parts.reports)
    if options.format == "json":
        print_json(whole_to_json(report, parts.details))
    elif options.format == "terminal":
        from pipeline.publish.terminal import print_report

        print_report(report, sys.stdout, details=parts.details)
    elif options.format == "markdown":
        from pipeline.publish.markdown import markdown_from_report

        _write(markdown_from_report(report, details=parts.details))
    elif options.format == "code-quality":
        from pipeline.hosts.annotations import annotations_from_report
        from pipeline.hosts.gitlab_reports import code_quality_from_annotations

        print_json(code_quality_from_annotations(annotations_from_report(report)))
    elif options.format == "metrics":
        from pipeline.hosts.gitlab_reports import metrics_from_report

        _write(metrics_from_report(report))
    else:
        from pipeline.publish.html.page import html_from_report

        _write(html_from_report(report, parts.details, parts.layers))
    unpublished = _published(options, environment, parts) if options.publish or options.publish_required else 0
    return (report.exit_code if options.exit_code else 0) or unpublished


def _published(options: argparse.Namespace, environment: Mapping[str, str], parts: Parts) -> int:
    from pipeline.hosts.patience import Patience
    from pipeline.hosts.publishing import publish_parts, say

    publishing = publishing_from_mapping(environment, required=options.publish_required)
    if publishing.summary is not None:
        try:
            write_step_summary(publishing.summary, merged(parts.reports), parts.details)
        except PublishError as error:
            print(f"warning: {error}", file=sys.stderr)
    return publish_parts(publishing, lambda: parts, Patience(say=say))


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
