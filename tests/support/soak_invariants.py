"""What must hold after every run of a soak, whatever happened to it. A new one is a function and a line."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.digest import digest_from_file
from pipeline.provenance.statement import statement_from_bytes
from tests.support.soak_cache import FORGED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pipeline.digest import Digest
    from tests.support.soak_schedule import Plan

_CANCELLED = 130
_EXIT_CODES = {0, 4, 6, 7, 9, _CANCELLED}
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """A run after its end. ``folder`` is where it ran, with ``engines`` and ``tmp``; ``said`` is all that it printed.

    ``genuine`` is job id -> digest of the only engine that a builder made for it. ``handed`` are the files that its
    children were given, each with its digest, and ``handed_before`` the digests of all that there were when everything
    was made without a fault. ``damaged`` and ``damaged_before`` are the unsound entries of its cache, ``staged`` and
    ``staged_before`` what had no name there yet, ``processes`` what still runs of it, ``elapsed_s`` how long it lived
    after the first signal, and ``patience_s`` how long it may, on this machine. ``comments`` are those of the pull
    request, which all runs of a soak share.
    """

    plan: Plan
    exit_code: int
    said: str
    folder: Path
    cache_folder: Path | None
    genuine: Mapping[str, Digest]
    handed_before: frozenset[str]
    handed: tuple[tuple[str, str], ...]
    damaged_before: set[str]
    damaged: set[str]
    staged_before: set[str]
    staged: set[str]
    processes: tuple[str, ...]
    elapsed_s: float
    patience_s: float
    canaries: tuple[str, ...]
    comments: tuple[str, ...]

    @property
    def killed(self) -> bool:
        """Whether it had no time for anything."""
        return self.plan.signals == (signal.SIGKILL,) and self.exit_code == -signal.SIGKILL

    @property
    def report(self) -> dict[str, Any] | None:
        """Its report, where it wrote one."""
        path = self.folder / "engines/report.json"
        found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
        return found


def _only_genuine_engines(run: Aftermath) -> Iterator[str]:
    """No engine is delivered but the one that a builder made: one that is forged or damaged is never taken for one."""
    for path in (run.folder / "engines").glob("*/*/*.engine"):
        job = "/".join(path.relative_to(run.folder / "engines").with_suffix("").parts)
        if digest_from_file(path) != run.genuine[job]:
            yield f"{path} is not the engine that was built for it"
    for path in (*(run.folder / "engines").rglob("*"), *(run.folder / "tmp").rglob("*")):
        if path.is_file() and FORGED in path.read_bytes():
            yield f"{path} holds the forged engine"


def _children_are_given_genuine_files(run: Aftermath) -> Iterator[str]:
    """No child loads anything but what a team or a child without a fault wrote, such as a planted model or table."""
    for path, digest in run.handed:
        if digest not in run.handed_before:
            yield f"a child was given {path}, which nobody made"


def _reported_engines_are_there(run: Aftermath) -> Iterator[str]:
    for job in (run.report or {"jobs": ()})["jobs"]:
        path = run.folder / f"engines/{job['id']}.engine"
        if (job["engine"] is not None) != path.exists():
            yield f"{job['id']}: the report and the folder disagree about its engine"
        if job["engine"] is not None and job["engine"]["digest"] != str(digest_from_file(path)):
            yield f"{job['id']}: the report names another engine"


def _statements_are_whole(run: Aftermath) -> Iterator[str]:
    for path in (run.folder / "engines").rglob("*.provenance.json"):
        engine = path.with_name(path.name.replace(".provenance.json", ".engine"))
        if statement_from_bytes(path.read_bytes()).engine != digest_from_file(engine):
            yield f"{path} is about another engine"


def _no_receipt_is_partial(run: Aftermath) -> Iterator[str]:
    yield from (f"the entry {entry} is damaged since" for entry in sorted(run.damaged - run.damaged_before))


def _exit_code_matches_the_report(run: Aftermath) -> Iterator[str]:
    report = run.report
    if run.killed:
        return
    if run.exit_code not in _EXIT_CODES:
        yield f"it ended with {run.exit_code}"
    if report is not None and {report["exit_code"], _code_of_jobs(report)} != {run.exit_code}:
        told = f"its report says {report['exit_code']}, its jobs {_code_of_jobs(report)}"
        yield f"it ended with {run.exit_code}, {told}"
    if report is None and run.exit_code in _EXIT_CODES - {_CANCELLED}:
        yield f"it ended with {run.exit_code} and wrote no report"
    if run.exit_code == _CANCELLED and report is None and run.said.strip() not in ("", "error: cancelled"):
        yield "it had begun, was cancelled, and wrote no report"
    if run.plan.time_limit_s is None and not run.plan.signals and run.exit_code == _CANCELLED:
        yield "it says that it was cancelled, and was not"


def _code_of_jobs(report: Mapping[str, Any]) -> int:
    """The exit code that the failures in a report ask for."""
    failures = [each["failure"] for each in report["jobs"] if each["failure"] is not None] + report["failures"]
    codes = {failure["exit_code"] for failure in failures}
    cancelled = any(job["status"] == "cancelled" for job in report["jobs"])
    return _CANCELLED if cancelled or _CANCELLED in codes else min(codes, default=0)


def _a_cancel_is_done_in_time(run: Aftermath) -> Iterator[str]:
    if run.plan.signals and not run.killed and run.elapsed_s > run.patience_s:
        yield f"it took {run.elapsed_s:.1f} s to end"


def _nothing_is_left_over(run: Aftermath) -> Iterator[str]:
    yield from (f"a process is left: {process}" for process in run.processes)
    if run.killed:
        return
    yield from (f"left in the temporary folder: {path}" for path in (run.folder / "tmp").iterdir())
    places = [run.folder, *([run.cache_folder] if run.cache_folder else [])]
    unfinished = (path for place in places for path in place.rglob("*.tmp") if _UNFINISHED.fullmatch(path.name))
    yield from (f"half-written: {path}" for path in unfinished)
    yield from (f"half-written in the cache: {name}" for name in sorted(run.staged - run.staged_before))


def _there_is_at_most_one_comment(run: Aftermath) -> Iterator[str]:
    if len(run.comments) > 1:
        yield f"there are {len(run.comments)} comments"
    undisturbed = not (run.plan.host_faults or run.plan.signals or run.plan.time_limit_s is not None)
    if run.plan.publishes and undisturbed and not run.comments:
        yield "it wrote no comment"
    told = run.plan.publishes and undisturbed and not run.plan.store_fault_share
    if told and run.exit_code != 0 and any("**Passed" in comment for comment in run.comments):
        yield f"it ended with {run.exit_code}, and the comment says that all passed"


def _no_secret_is_told(run: Aftermath) -> Iterator[str]:
    places = [run.folder, *([run.cache_folder] if run.cache_folder else [])]
    # What is told to the runner as a secret is how the runner masks it.
    said = "".join(line for line in run.said.splitlines(keepends=True) if not line.startswith("::add-mask::"))
    texts = {"its output": said.encode(), "the comment": "".join(run.comments).encode()} | {
        str(path): path.read_bytes() for place in places for path in place.rglob("*") if path.is_file()
    }
    for where, data in texts.items():
        for canary in run.canaries:
            if canary.encode() in data:
                yield f"{where} holds the secret {canary[:12]}..."
        if where.rpartition("/")[2].startswith("core"):
            yield f"{where} is a core file"


def _no_traceback(run: Aftermath) -> Iterator[str]:
    if re.search("^Traceback", run.said, re.MULTILINE):  # a child's own, in the tail of its log, is indented
        yield "it printed a traceback"


INVARIANTS = (
    _only_genuine_engines,
    _children_are_given_genuine_files,
    _reported_engines_are_there,
    _statements_are_whole,
    _no_receipt_is_partial,
    _exit_code_matches_the_report,
    _a_cancel_is_done_in_time,
    _nothing_is_left_over,
    _there_is_at_most_one_comment,
    _no_secret_is_told,
    _no_traceback,
)


def violations_of(run: Aftermath) -> tuple[str, ...]:
    """What does not hold after ``run``."""
    return tuple(text for invariant in INVARIANTS for text in invariant(run))
