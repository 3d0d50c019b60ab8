"""What a job's log can hold beside text: sections that fold, and annotations at a file's lines.

GitHub's runner obeys any line of the output that looks like a workflow command, whoever wrote it
(docs.github.com/actions/reference/workflows-and-actions/workflow-commands). So it is told at once to stop obeying,
by a word that nobody can guess, and listens again for our own commands alone. GitLab folds what stands between two
marks (docs.gitlab.com/ci/jobs/job_logs, custom collapsible sections). All of it goes to stderr: results are on stdout.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.publish.escape import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

ERRORS = 10
"""How many errors GitHub shows for one step."""
_SECRETS = (
    "GITHUB_TOKEN", "INPUT_GITHUB-TOKEN", "GITLAB_TOKEN", "TRT_ENGINE_CACHE_SECRET", "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)  # fmt: skip
_SHORTEST_SECRET = 4
"""Stars for a shorter word would hide half of the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One thing wrong at a place of the manifest; ``line`` and ``column`` count from 1."""

    file: str
    line: int
    column: int
    title: str
    text: str


class JobLog:
    """The log of any place that knows neither sections nor annotations: a terminal, a file."""

    def mask(self, words: Iterable[str]) -> None:
        """Let the runner show stars wherever one of these secrets is printed, whoever prints it."""

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """While the block runs, nothing that is printed is a command."""
        yield

    @contextlib.contextmanager
    def section(self, title: str) -> Iterator[None]:  # noqa: ARG002  for those that have sections
        """What is printed while the block runs can be folded away."""
        yield

    def annotate(self, annotations: Sequence[Annotation]) -> None:
        """Show these at their lines."""


class GitHubLog(JobLog):
    """The log of a step of GitHub Actions. ``word`` starts and ends the time in which no command is obeyed."""

    def __init__(self, word: str | None = None) -> None:
        self._word = word or f"stop-{secrets.token_hex(16)}"
        self._guarded = False

    def mask(self, words: Iterable[str]) -> None:
        """See ``JobLog``. The runner masks line by line, and what it is told to mask it does not show."""
        lines = sorted({line.strip() for word in words for line in word.splitlines()})
        commands = [f"::add-mask::{_escaped(line)}" for line in lines if len(line) >= _SHORTEST_SECRET]
        if commands:
            self._command(*commands)

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """See ``JobLog``."""
        _write(f"::stop-commands::{self._word}")
        self._guarded = True
        try:
            yield
        finally:
            self._guarded = False
            _write(f"::{self._word}::")

    @contextlib.contextmanager
    def section(self, title: str) -> Iterator[None]:
        """See ``JobLog``."""
        self._command(f"::group::{_data(title)}")
        try:
            yield
        finally:
            self._command("::endgroup::")

    def annotate(self, annotations: Sequence[Annotation]) -> None:
        """At most ten errors are shown, so the tenth of more counts the rest."""
        shown = annotations if len(annotations) <= ERRORS else annotations[: ERRORS - 1]
        commands = [
            f"::error file={_property(each.file)},line={each.line},col={each.column},"
            f"title={_property(each.title)}::{_data(each.text)}"
            for each in shown
        ]
        if len(shown) < len(annotations):
            commands.append(f"::error::and {len(annotations) - len(shown)} more errors, which are in the log")
        if commands:
            self._command(*commands)

    def _command(self, *commands: str) -> None:
        around = (f"::{self._word}::", *commands, f"::stop-commands::{self._word}") if self._guarded else commands
        _write(*around)


class GitLabLog(JobLog):
    """The log of a job of GitLab CI."""

    @contextlib.contextmanager
    def section(self, title: str) -> Iterator[None]:
        """See ``JobLog``."""
        name = re.sub(r"[^a-z0-9]+", "_", title.lower())[:40]
        _write(f"\x1b[0Ksection_start:{time.time():.0f}:trt_engines_{name}\r\x1b[0K{one_line(title)}")
        try:
            yield
        finally:
            _write(f"\x1b[0Ksection_end:{time.time():.0f}:trt_engines_{name}\r\x1b[0K")


def job_log_from_environment(environment: Mapping[str, str]) -> JobLog:
    """The log of the runner that started this."""
    if environment.get("GITHUB_ACTIONS") == "true":
        return GitHubLog()
    return GitLabLog() if environment.get("GITLAB_CI") == "true" else JobLog()


def secrets_from_environment(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values of the variables that hold a secret."""
    return tuple(environment[name] for name in _SECRETS if environment.get(name))


def _write(*lines: str) -> None:
    """What was printed before stays before."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        print("\n".join(lines), file=sys.stderr, flush=True)


def _data(text: str) -> str:
    """Text of a command: the three characters that end or escape it are written as numbers."""
    return _escaped(one_line(text, 2000))


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
