from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from pipeline.cache import lease as lease_module
from pipeline.cache.lease import Lease, building_alone
from pipeline.cache.store import StoreFailed
from pipeline.keys import key_from_ingredients

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.digest import Digest

KEY = key_from_ingredients("engine", {"model": "m"})


class FakeLeases:
    """Leases of which another runner holds the first ``refusals``; ``broken`` makes every call fail."""

    def __init__(self, refusals: int = 0, broken: bool = False) -> None:
        self.refusals = refusals
        self.broken = broken
        self.events: list[str] = []
        self.renewed = threading.Event()

    def take(self, kind: str, key: Digest) -> Lease | None:
        self._note("take")
        self.refusals -= 1
        return Lease("name", "1") if self.refusals < 0 else None

    def renew(self, lease: Lease) -> bool:
        self.renewed.set()
        self._note("renew")
        return True

    def release(self, lease: Lease) -> None:
        self._note("release")

    def _note(self, event: str) -> None:
        self.events.append(event)
        if self.broken:
            raise StoreFailed("no answer")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "_FIRST_POLL_S", 0.001)
    monkeypatch.setattr(lease_module, "_LONGEST_POLL_S", 0.001)


def _builds(
    leases: FakeLeases | None, appeared: Callable[[], bool] = lambda: False, *, patience_s: float = 5.0
) -> bool:
    with building_alone(leases, KEY, appeared=appeared, cancel=threading.Event(), patience_s=patience_s) as mine:
        return mine


def test_without_leases_everybody_builds() -> None:
    assert _builds(None)


def test_the_first_one_builds_and_gives_its_lease_up() -> None:
    leases = FakeLeases()

    assert _builds(leases)
    assert leases.events == ["take", "release"]


def test_who_comes_later_uses_what_has_appeared() -> None:
    answers = iter([False, False, True])
    leases = FakeLeases(refusals=100)

    assert not _builds(leases, lambda: next(answers))
    assert "release" not in leases.events


def test_who_takes_a_lease_over_looks_once_more() -> None:
    leases = FakeLeases()

    assert not _builds(leases, lambda: True)
    assert leases.events == ["take", "release"]


def test_a_dead_runners_job_is_built_by_who_takes_its_lease_over() -> None:
    leases = FakeLeases(refusals=3)

    assert _builds(leases)
    assert leases.events == ["take"] * 4 + ["release"]


def test_patience_ends() -> None:
    assert _builds(FakeLeases(refusals=10_000), patience_s=0.01)


def test_a_cancel_ends_the_waiting() -> None:
    cancel = threading.Event()
    cancel.set()

    with building_alone(
        FakeLeases(refusals=10_000), KEY, appeared=lambda: False, cancel=cancel, patience_s=1e9
    ) as mine:
        assert mine


def test_a_failing_server_lets_everybody_build() -> None:
    assert _builds(FakeLeases(broken=True))


def test_the_lease_is_renewed_while_the_work_goes_on() -> None:
    leases = FakeLeases()

    with building_alone(
        leases, KEY, appeared=lambda: False, cancel=threading.Event(), patience_s=1, term_s=0.003
    ) as mine:
        assert mine
        assert leases.renewed.wait(10)

    assert leases.events[-1] == "release"


def test_work_that_fails_gives_the_lease_up() -> None:
    leases = FakeLeases()

    def work() -> None:
        with building_alone(leases, KEY, appeared=lambda: False, cancel=threading.Event(), patience_s=1):
            raise StoreFailed("the work failed")

    with pytest.raises(StoreFailed, match="the work failed"):
        work()
    assert leases.events == ["take", "release"]
