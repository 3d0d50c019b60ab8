"""``--publish``: what ``run`` and ``report`` have, made the comment of their pull request.

Publishing never decides how a build ends, unless it is required. Without a comment the report is where it always is,
in the log, the files and the step's summary, which then says how to get one.
"""

from __future__ import annotations

import os
import posixpath
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cache.store import StoreError
from pipeline.errors import PipelineError, PublishError
from pipeline.hosts.part_store import PartStore, Whole
from pipeline.hosts.patience import Patience
from pipeline.hosts.publication import published
from pipeline.publish.escape import code_span, one_line
from pipeline.publish.github import add_to_summary
from pipeline.publish.parts import Parts

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from pipeline.hosts.place import Place
    from pipeline.publish.details import Details
    from pipeline.publish.report import Report
    from pipeline.settings import Settings


_UNWRITTEN = "the comment was not written"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publishing:
    """What was asked for. ``place`` is ``None`` outside of GitHub Actions and GitLab CI.

    ``summary`` is the file of the step's summary, where there is one.
    """

    place: Place | None
    required: bool
    summary: Path | None = None


def publish_run(settings: Settings, cancel: threading.Event, report: Report, details: Details) -> int:
    """Store the run's part beside the cache, and publish it with those of the other jobs of its commit.

    Without a cache the comment shows this run alone. A run that was cancelled stores and publishes nothing: its runner
    is about to kill it, and what it left undone says nothing of the change. Returns 10 where the comment is required
    and was not written, else 0.
    """
    assert settings.publishing is not None  # noqa: S101  the caller asks only then
    place = settings.publishing.place
    if place is not None and cancel.is_set():
        return _without_comment(
            settings.publishing, PublishError(_UNWRITTEN, why="the run was cancelled", fix="run again")
        )
    own = Parts((report,), details, {})
    read = _stored_parts(settings, cancel, place, own) if place is not None and place.commit else None
    return publish_parts(settings.publishing, read or (lambda: own), Patience(sleep=cancel.wait, say=say))


def publish_parts(publishing: Publishing, read: Callable[[], Parts], patience: Patience) -> int:
    """Publish what ``read`` gives, say on stderr what became of it, and in the summary how to get the comment.

    Returns 10 where it is required and was not written, else 0.
    """
    try:
        manifest = manifest_name(read().reports[0].manifest)
        print(published(publishing.place, manifest, read, patience).told, file=sys.stderr)
    except PublishError as error:
        return _without_comment(publishing, error)
    return 0


def say(text: str) -> None:
    """Tell the job's log what is waited for."""
    print(one_line(text, 500), file=sys.stderr, flush=True)


def manifest_name(manifest: str) -> str:
    """The manifest's path as a repository has it, however the command line put it."""
    path = manifest
    if Path(path).is_absolute() and Path(path).is_relative_to(Path.cwd()):
        path = os.fspath(Path(path).relative_to(Path.cwd()))
    return posixpath.normpath(path).encode("utf-8", "replace").decode()


def _without_comment(publishing: Publishing, error: PublishError) -> int:
    level = "error" if publishing.required else "warning"
    print(f"{level}: {one_line(str(error), 2000)}", file=sys.stderr)
    if publishing.summary is not None:
        _tell(publishing.summary, error)
    return PublishError.exit_code if publishing.required else 0


def _stored_parts(settings: Settings, cancel: threading.Event, place: Place, own: Parts) -> Callable[[], Parts] | None:
    """Store the part, and say how to read all of them; ``None`` where there is no cache, or it fails."""
    from pipeline.stores import store_from_settings

    # Past any folder in front of the bucket, whose copy of a part that was replaced meanwhile would be an old one.
    try:
        store = store_from_settings(settings, cancel, upkeep=True)
    except PipelineError:
        return None  # what ended the run, whose comment then shows it alone
    if store is None:
        return None
    whole = Whole(project=place.project, manifest=manifest_name(own.reports[0].manifest), commit=place.commit)
    parts = PartStore(store, whole)

    def read() -> Parts:
        try:
            return parts.load() or own
        except StoreError as error:
            raise PublishError("the other parts of the report cannot be read", why=error.reason) from error

    try:
        parts.save(own.reports[0], own.details, only=settings.only)
    except (StoreError, OSError, ValueError) as error:
        why = one_line(str(error))
        print(f"warning: the comment shows this job alone, for its part was not kept: {why}", file=sys.stderr)
        return None
    return read


def _tell(summary: Path, error: PublishError) -> None:
    parts = (f"{name} {code_span(text, 500)}" for name, text in (("Why:", error.why), ("Fix:", error.fix)) if text)
    try:
        add_to_summary(summary, " ".join((f"**No comment**: {code_span(error.what)}.", *parts)))
    except PublishError as unwritable:
        print(f"warning: {one_line(str(unwritable))}", file=sys.stderr)
