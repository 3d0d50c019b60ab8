"""The front door: signals before and after the work that asks for them in its own way."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from entrypoint import start
from pipeline.commands.signals import signals_set

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_code_is_that_of_the_work() -> None:
    assert start(lambda: 7) == 7


@pytest.mark.parametrize("number", SIGNALS)
def test_F22_a_signal_before_the_work_has_its_own_way_ends_it_as_cancelled(number: signal.Signals) -> None:
    def load() -> int:
        signal.raise_signal(number)
        return 0

    assert start(load) == 130


@pytest.mark.parametrize("number", SIGNALS)
def test_F22_a_signal_after_the_work_changes_nothing(number: signal.Signals) -> None:
    assert start(lambda: 6) == 6
    signal.raise_signal(number)


@pytest.mark.parametrize("number", SIGNALS)
def test_F22_a_signal_that_python_drops_before_the_work_has_its_own_way_cancels_it(number: signal.Signals) -> None:
    """What a finalizer raises goes nowhere, as in each import."""

    class Dropped:
        def __del__(self) -> None:
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(number)

    def work() -> int:
        Dropped()
        cancel = threading.Event()
        with signals_set(cancel):
            assert cancel.wait(60)
        return 130

    assert start(work) == 130


@pytest.mark.parametrize("number", SIGNALS)
def test_F22_a_signal_while_the_work_has_its_own_way_cancels_it_and_one_after_it_changes_nothing(
    number: signal.Signals,
) -> None:
    def work() -> int:
        cancel = threading.Event()
        with signals_set(cancel):
            assert not cancel.is_set()
            signal.raise_signal(number)
            assert cancel.wait(60)
        signal.raise_signal(number)
        return 7

    assert start(work) == 7


def test_F22_a_signal_is_heard_while_the_main_thread_waits_in_one_call() -> None:
    """The signal goes to another thread, so that nothing wakes the main one to run a handler of Python."""
    cancel = threading.Event()
    heard = []

    def signal_and_wait() -> None:
        signal.raise_signal(signal.SIGTERM)
        heard.append(cancel.wait(60))

    with signals_set(cancel):
        other = threading.Thread(target=signal_and_wait)
        other.start()
        other.join()
    assert heard == [True]
