"""What tests publish, and the time in which they do it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipeline.hosts.patience import Patience
from pipeline.hosts.place import Place, place_from_environment
from pipeline.hosts.publication import Published, published
from pipeline.publish.details import Details
from pipeline.publish.parts import Parts
from tests.support.reports import sample_report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pipeline.publish.report import Report
    from tests.support.fake_github import FakeGitHub

MANIFEST = "examples/digits/trt-engines.yaml"


@dataclass(slots=True)
class Clock:
    """Time that passes by sleeping alone; ``slept`` are the waits longer than those between two writes."""

    now_s: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, wait_s: float) -> None:
        if wait_s > 1.0:
            self.slept.append(wait_s)
        self.now_s += wait_s

    def patience(self, budget_s: float = 180.0) -> Patience:
        return Patience(budget_s, clock=self, sleep=self.sleep)


def github_environment(host: FakeGitHub, folder: Path, *, head_repository: str | None = None) -> dict[str, str]:
    """What a runner sets for a pull request of ``host``; the event's file lies in ``folder``."""
    path = folder / "event.json"
    event = host.event() if head_repository is None else host.event(head_repository=head_repository)
    path.write_text(json.dumps(event))
    return host.environment(str(path))


def github_place(host: FakeGitHub, folder: Path, *, head_repository: str | None = None) -> Place:
    """The place that a runner's environment names."""
    place = place_from_environment(github_environment(host, folder, head_repository=head_repository))
    assert place is not None
    return place


def publish(place: Place, read: Callable[[], Sequence[Report]] | None = None, clock: Clock | None = None) -> Published:
    """Publish a sample, or what ``read`` gives, in no time."""
    reports = read or (lambda: (sample_report(),))
    return published(place, MANIFEST, lambda: parts_of(*reports()), (clock or Clock()).patience())


def parts_of(*reports: Report) -> Parts:
    """These reports, of which nothing more is known."""
    return Parts(reports, Details(), {})


def elapsed(elapsed_s: float) -> Report:
    """A sample that can be told from others by how long it took."""
    return replace(sample_report(), elapsed_s=elapsed_s)
