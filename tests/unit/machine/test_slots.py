from __future__ import annotations

import threading

import pytest

from pipeline.errors import Cancelled
from pipeline.machine.slots import Slots, available_memory_bytes


def admitted_within(slots: Slots, memory_bytes: int, seconds: float) -> bool:
    """Whether another thread gets in while the caller holds what it holds."""
    got_in, cancel = threading.Event(), threading.Event()

    def work() -> None:
        try:
            with slots.taken(memory_bytes, cancel):
                got_in.set()
        except Cancelled:
            pass

    thread = threading.Thread(target=work)
    thread.start()
    admitted = got_in.wait(seconds)
    cancel.set()
    thread.join()
    return admitted


def test_no_more_work_than_workers_is_admitted() -> None:
    slots = Slots(1, 100)
    with slots.taken(1, threading.Event()):
        assert not admitted_within(slots, 1, 0.3)
    assert admitted_within(slots, 1, 60)


def test_work_waits_until_its_memory_fits() -> None:
    slots = Slots(4, 100)
    with slots.taken(60, threading.Event()):
        assert admitted_within(slots, 40, 60)
        assert not admitted_within(slots, 41, 0.3)


def test_work_larger_than_the_machine_is_admitted_alone() -> None:
    slots = Slots(4, 100)
    with slots.taken(1000, threading.Event()):
        assert not admitted_within(slots, 1, 0.3)


def test_waiting_work_can_be_cancelled() -> None:
    slots, cancel = Slots(1, 100), threading.Event()
    cancel.set()
    with slots.taken(1, threading.Event()), pytest.raises(Cancelled), slots.taken(1, cancel):
        pass


def test_the_machine_has_memory() -> None:
    assert available_memory_bytes() > 1 << 20
