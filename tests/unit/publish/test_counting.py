from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from pipeline.publish.counting import Counting
from pipeline.publish.progress import Progress
from tests.support.clocks import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(stream: io.StringIO, clock: Clock) -> Progress:
    return Progress(stream, clock=clock)


def test_every_item_is_handed_on(progress: Progress, clock: Clock) -> None:
    assert list(Counting(progress, clock=clock)("reading receipts", range(250))) == list(range(250))


def test_a_long_count_says_how_many_there_were(stream: io.StringIO, progress: Progress, clock: Clock) -> None:
    for number in Counting(progress, clock=clock)("reading receipts", range(250)):
        clock.now_s = number / 100
    assert stream.getvalue() == "[1] reading receipts, 250: done in 2.49 s\n"


def test_a_count_gives_a_sign_of_life_with_how_far_it_is(stream: io.StringIO, progress: Progress, clock: Clock) -> None:
    for _ in Counting(progress, clock=clock)("reading receipts", range(250)):
        clock.now_s += 0.25
        progress.beat()
    assert stream.getvalue().splitlines()[0] == "reading receipts, 100 so far, for 30 s"


def test_a_short_count_leaves_no_line(stream: io.StringIO, progress: Progress, clock: Clock) -> None:
    list(Counting(progress, clock=clock)("reading receipts", range(250)))
    assert stream.getvalue() == ""


def test_a_count_that_fails_is_told_as_stopped(stream: io.StringIO, progress: Progress, clock: Clock) -> None:
    def fail_at_the_third() -> Iterator[int]:
        yield from (1, 2)
        clock.now_s = 5.0
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(Counting(progress, clock=clock)("reading receipts", fail_at_the_third()))
    assert stream.getvalue() == "[1] reading receipts, 2: stopped in 5.00 s\n"
