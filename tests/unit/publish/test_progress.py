from __future__ import annotations

import io
import re
import threading

import pytest

from pipeline.publish.progress import Progress
from tests.support.clocks import Clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_a_task_that_ends_gives_one_line(stream: io.StringIO, clock: Clock) -> None:
    progress = Progress(stream, clock=clock)
    progress.started("t", "building digits/sm_89/int8", 12.34)
    assert stream.getvalue() == ""
    progress.finished("t", "done", 10.0)
    assert stream.getvalue() == "[1] building digits/sm_89/int8: done in 10.0 s, last time 12.3 s\n"


def test_tasks_are_counted(stream: io.StringIO, clock: Clock) -> None:
    progress = Progress(stream, clock=clock)
    for number in range(2):
        progress.started(f"t{number}", f"task {number}")
        progress.finished(f"t{number}", "done", 0.5)
    assert stream.getvalue().splitlines() == ["[1] task 0: done in 0.50 s", "[2] task 1: done in 0.50 s"]


def test_a_long_task_gives_a_sign_of_life_every_30_seconds(stream: io.StringIO, clock: Clock) -> None:
    progress = Progress(stream, clock=clock)
    progress.started("t", "building digits/sm_89/int8", 83.0)
    for _second in range(95):
        clock.now_s += 1
        progress.beat()
    assert stream.getvalue().splitlines() == [
        "building digits/sm_89/int8 for 30 s, last time 83.0 s",
        "building digits/sm_89/int8 for 60 s, last time 83.0 s",
        "building digits/sm_89/int8 for 90 s, last time 83.0 s",
    ]


def test_missed_signs_of_life_are_not_made_up_for(stream: io.StringIO, clock: Clock) -> None:
    progress = Progress(stream, clock=clock)
    progress.started("t", "building x")
    clock.now_s += 100
    progress.beat()
    progress.beat()
    clock.now_s += 25
    progress.beat()
    assert stream.getvalue().splitlines() == ["building x for 100 s", "building x for 125 s"]


def test_a_task_that_ended_gives_no_sign_of_life(stream: io.StringIO, clock: Clock) -> None:
    progress = Progress(stream, clock=clock)
    progress.started("t", "building x")
    progress.finished("t", "done", 1.0)
    clock.now_s += 100
    progress.beat()
    assert len(stream.getvalue().splitlines()) == 1


def test_the_end_of_an_unknown_task_is_told_all_the_same(stream: io.StringIO, clock: Clock) -> None:
    Progress(stream, clock=clock).finished("stranger", "failed", 1.0)
    assert stream.getvalue() == "[1] stranger: failed in 1.00 s\n"


def test_foreign_text_is_neutralised(stream: io.StringIO, clock: Clock) -> None:
    progress = Progress(stream, clock=clock)
    progress.started("t", "building \x1b[31mx\n::error::y")
    progress.finished("t", "done\r\n", 1.0)
    progress.note("a\x07\nb [red]c[/red]")
    assert stream.getvalue() == "[1] building x : :error::y: done in 1.00 s\na\ufffd b [red]c[/red]\n"


def test_the_context_beats_by_itself_and_ends_its_thread(stream: io.StringIO, clock: Clock) -> None:
    beaten = threading.Event()

    class Watched(Progress):
        def beat(self) -> None:
            super().beat()
            if stream.getvalue():
                beaten.set()

    with Watched(stream, clock=clock) as progress:
        progress.started("t", "building x")
        clock.now_s += 31
        assert beaten.wait(60)
    assert stream.getvalue() == "building x for 31 s\n"
    assert "progress" not in {thread.name for thread in threading.enumerate()}


def test_many_threads_may_tell_at_once(stream: io.StringIO, clock: Clock) -> None:
    progress = Progress(stream, clock=clock)

    def work(number: int) -> None:
        for step in range(50):
            progress.started(f"{number}/{step}", f"task {number}/{step}")
            progress.beat()
            progress.finished(f"{number}/{step}", "done", 0.1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 400
    assert {line.split("]")[0] for line in lines} == {f"[{number}" for number in range(1, 401)}


def test_a_terminal_lists_what_runs(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    with Progress(stream, clock=clock) as progress:
        progress.started("t", "building digits/sm_89/int8", 12.34)
        clock.now_s += 5
        progress.beat()
        progress.finished("t", "done", 5.0)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "0 done, 1 running" in shown
    assert "building digits/sm_89/int8 for 5.00 s, last time 12.3 s" in shown
    assert "[1] building digits/sm_89/int8: done in 5.00 s, last time 12.3 s" in shown


def test_a_terminal_is_free_for_others_between_tasks(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    with Progress(stream, clock=clock) as progress:
        assert stream.getvalue() == ""
        for _task in range(2):
            progress.started("t", "building x")
            progress.finished("t", "done", 1.0)
            assert stream.getvalue().count("\x1b[?25h") == stream.getvalue().count("\x1b[?25l")
        length = len(stream.getvalue())
        progress.beat()
        assert len(stream.getvalue()) == length


def test_a_terminal_gets_its_cursor_back(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()

    def interrupted() -> None:
        with Progress(stream, clock=clock) as progress:
            progress.started("t", "building x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


@pytest.mark.parametrize("live", [True, False])
def test_a_stream_that_is_gone_changes_nothing(live: bool, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    closed = Terminal() if live else io.StringIO()
    with Progress(closed, clock=clock, live=live) as progress:
        closed.close()
        progress.started("t", "building x")
        clock.now_s += 31
        progress.beat()
        progress.note("note")
        progress.finished("t", "done", 1.0)


def test_there_may_be_no_stream(clock: Clock) -> None:
    with Progress(None, clock=clock) as progress:
        progress.started("t", "building x")
        progress.finished("t", "done", 1.0)
