from __future__ import annotations

import threading

from pipeline.time_limits import JobBudget, RunLimit


def test_what_children_took_is_taken_from_the_budget_of_their_job() -> None:
    budget = JobBudget(10)
    budget.spend(4)
    assert budget.left_s == 6
    budget.spend(7)
    assert budget.left_s == 0


def test_a_job_without_a_limit_has_time_for_ever() -> None:
    budget = JobBudget()
    budget.spend(1e9)
    assert budget.left_s == float("inf")


def test_a_run_is_cancelled_when_its_time_is_up() -> None:
    cancel = threading.Event()
    with RunLimit(cancel, 0.01).watched() as limit:
        assert cancel.wait(60)
    assert limit.reached


def test_a_run_that_ends_in_time_is_not_cancelled() -> None:
    cancel = threading.Event()
    with RunLimit(cancel, 60).watched() as limit:
        pass
    assert not limit.reached
    assert not cancel.is_set()


def test_a_run_that_the_user_cancelled_did_not_reach_its_limit() -> None:
    cancel = threading.Event()
    cancel.set()
    limit = RunLimit(cancel, 60)
    limit._reach()
    assert not limit.reached


def test_no_limit_watches_nothing() -> None:
    before = threading.active_count()
    with RunLimit(threading.Event(), None).watched():
        assert threading.active_count() == before


def test_what_is_told_of_a_run_after_its_limit_is_not_cancelled_too() -> None:
    cancel = threading.Event()
    with RunLimit(cancel, 0.01).watched() as limit:
        assert cancel.wait(60)
    assert limit.reached
    assert not cancel.is_set()


def test_a_run_that_the_user_cancelled_stays_cancelled() -> None:
    cancel = threading.Event()
    with RunLimit(cancel, 60).watched():
        cancel.set()
    assert cancel.is_set()
