from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from pipeline.cache import turns as turns_module
from pipeline.cache.store import StoreFailed
from pipeline.cache.turns import Turns
from pipeline.keys import key_from_ingredients
from tests.support.leases import FakeLeases

if TYPE_CHECKING:
    from pipeline.cache.lease import Lease, Leases
    from pipeline.cache.turns import Turn
    from pipeline.digest import Digest

KEY = key_from_ingredients("engine", {"model": "m"})


class Made:
    """What others have made: there from the look number ``after`` on, of no use where it is ``useless``.

    With ``apart`` nothing can be had of them, with ``unheard`` they can have nothing from here.
    """

    def __init__(
        self, after: int = 1_000_000, *, useless: bool = False, apart: bool = False, unheard: bool = False
    ) -> None:
        self.left = after
        self.useless = useless
        self.apart = apart
        self.unheard = unheard

    def can_be_had(self) -> bool:
        return not self.apart

    def can_have_mine(self) -> bool:
        return not (self.apart or self.unheard)

    def is_there(self) -> bool:
        self.left -= 1
        return self.left < 0

    def get(self) -> str | None:
        return "theirs" if self.is_there() and not self.useless else None


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "_FIRST_POLL_S", 0.001)
    monkeypatch.setattr(turns_module, "_LONGEST_POLL_S", 0.001)


def obtain(
    leases: Leases | None, theirs: Made, *, patience_s: float = 1e9, cancel: threading.Event | None = None
) -> str:
    """What a run does that has a worker at once."""
    with Turns(leases, cancel or threading.Event()).of(KEY, patience_s=patience_s) as turn:
        return _obtained(turn, theirs)


def _obtained(turn: Turn, theirs: Made) -> str:
    found = turn.wait(theirs) if turn.is_elsewhere() else None
    while found is None:
        if turn.take(theirs):
            return "made"
        found = turn.wait(theirs)
    return found


def test_without_leases_everybody_makes_it() -> None:
    assert obtain(None, Made()) == "made"


def test_who_is_alone_takes_a_lease_and_gives_it_back() -> None:
    leases = FakeLeases()

    assert obtain(leases, Made()) == "made"
    assert leases.events == ["held", "take", "release"]


def test_who_comes_later_uses_what_has_appeared() -> None:
    leases = FakeLeases(refusals=100)

    assert obtain(leases, Made(after=3)) == "theirs"
    assert "take" not in leases.events


def test_who_takes_a_lease_looks_once_more_and_gives_it_back() -> None:
    leases = FakeLeases()

    assert obtain(leases, Made(after=0)) == "theirs"
    assert leases.events == ["held", "take", "release"]


def test_the_job_of_a_dead_runner_is_done_by_who_takes_its_lease_over() -> None:
    leases = FakeLeases(refusals=3)

    assert obtain(leases, Made()) == "made"
    assert leases.events == ["held"] * 4 + ["take", "release"]


def test_who_is_beaten_to_the_lease_waits_for_the_winner() -> None:
    leases = FakeLeases(refusals=3, seen_late=True)

    assert obtain(leases, Made(after=2)) == "theirs"
    assert leases.events.count("take") == 1


def test_what_could_not_be_fetched_is_not_waited_for() -> None:
    leases = FakeLeases(refusals=1_000_000)

    assert obtain(leases, Made(apart=True), patience_s=1e9) == "made"
    assert leases.events == ["held"]


def test_who_cannot_keep_what_it_makes_lets_nobody_wait_for_it() -> None:
    leases = FakeLeases(refusals=2)

    assert obtain(leases, Made(unheard=True)) == "made"
    assert leases.events == ["held"] * 3


def test_who_is_refused_again_and_again_while_nobody_is_at_work_makes_it_all_the_same() -> None:
    class Stuck(FakeLeases):
        def held(self, kind: str, key: Digest) -> bool:
            super().held(kind, key)
            return False

    leases = Stuck(refusals=1_000_000)

    assert obtain(leases, Made(), patience_s=30.0) == "made"
    assert leases.events.count("take") == 10


def test_patience_ends() -> None:
    assert obtain(FakeLeases(refusals=1_000_000), Made(), patience_s=0.01) == "made"


def test_without_patience_nobody_is_asked() -> None:
    leases = FakeLeases(refusals=1_000_000)

    assert obtain(leases, Made(), patience_s=0.0) == "made"
    assert leases.events == []


def test_a_cancel_ends_the_waiting() -> None:
    cancel = threading.Event()
    cancel.set()
    with Turns(FakeLeases(refusals=1_000_000), cancel).of(KEY, patience_s=1e9) as turn:
        assert turn.wait(Made()) is None


def test_leases_that_fail_let_everybody_make_it_and_are_not_asked_again() -> None:
    leases = FakeLeases(broken=True)
    turns = Turns(leases, threading.Event())

    for _ in range(3):
        with turns.of(KEY, patience_s=1e9) as turn:
            assert _obtained(turn, Made()) == "made"
    assert leases.events == ["held"]


def test_a_lease_is_renewed_while_the_work_goes_on() -> None:
    leases = FakeLeases(term_s=0.003)

    with Turns(leases, threading.Event()).of(KEY, patience_s=1e9) as turn:
        assert turn.take(Made())
        assert leases.renewed.wait(60)

    assert leases.events[-1] == "release"


def test_work_that_fails_gives_the_lease_back() -> None:
    leases = FakeLeases()

    def work() -> None:
        with Turns(leases, threading.Event()).of(KEY, patience_s=1e9) as turn:
            assert turn.take(Made())
            raise ValueError("the work failed")

    with pytest.raises(ValueError, match="the work failed"):
        work()
    assert leases.events == ["take", "release"]


def test_a_cancelled_run_gives_its_lease_back() -> None:
    leases, cancel = FakeLeases(), threading.Event()

    with Turns(leases, cancel).of(KEY, patience_s=1e9) as turn:
        assert turn.take(Made())
        cancel.set()

    assert leases.events == ["take", "release in haste"]


def test_a_lease_is_given_back_also_where_another_could_not_be_taken() -> None:
    leases = FakeLeases()
    turns = Turns(leases, threading.Event())

    def fail() -> None:
        raise StoreFailed("no answer")

    with turns.of(KEY, patience_s=5.0) as turn:
        assert turn.take(Made())
        with turns.working_leases():
            fail()

    assert leases.events == ["take", "release"]


def test_a_cancelled_run_does_not_wait_for_a_renewal_that_hangs() -> None:
    let_go, cancel = threading.Event(), threading.Event()

    class Hanging(FakeLeases):
        def renew(self, lease: Lease) -> bool:
            super().renew(lease)
            return let_go.wait(30)

    leases = Hanging(term_s=0.003)
    with Turns(leases, cancel).of(KEY, patience_s=5.0) as turn:
        assert turn.take(Made())
        assert leases.renewed.wait(10)
        cancel.set()
        started_s = time.monotonic()

    let_go.set()
    assert time.monotonic() - started_s < 4
    assert leases.events == ["take", "renew"]
