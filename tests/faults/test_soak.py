"""The soak itself: a few runs of it, and that each of its invariants can fail. ``scripts/soak`` does many."""

from __future__ import annotations

import json
import random
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.digest import digest_from_bytes, digest_from_file
from pipeline.provenance.statement import bytes_from_statement
from tests.support.faulty_step import MANIFEST, run_step_in
from tests.support.soak import main
from tests.support.soak_cache import FORGED, SECRET, SoakCache
from tests.support.soak_invariants import INVARIANTS, Aftermath, violations_of
from tests.support.soak_schedule import CHILD_FAULTS, DAMAGES, plan_of
from tests.support.statements import sample_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

JOB = "digits/sm_89/fp32"
CANARY = "canary-of-the-test"


def write_report(folder: Path, **parts: Any) -> None:
    job = {"id": JOB, "engine": {"digest": str(digest_from_bytes(b"plan"))}}
    (folder / "engines/report.json").write_text(json.dumps({"exit_code": 0, "jobs": [job], **parts}))


@pytest.fixture
def after(tmp_path: Path) -> Aftermath:
    """A run that ended well."""
    (tmp_path / "tmp").mkdir()
    engine = tmp_path / f"engines/{JOB}.engine"
    engine.parent.mkdir(parents=True)
    engine.write_bytes(b"plan")
    engine.with_suffix(".provenance.json").write_bytes(bytes_from_statement(sample_statement(b"plan")))
    write_report(tmp_path)
    plan = replace(plan_of(1, 1, with_bucket=False), signals=(), time_limit_s=None)
    return Aftermath(
        plan=plan,
        exit_code=0,
        said="passed",
        folder=tmp_path,
        cache_folder=None,
        genuine={JOB: digest_from_bytes(b"plan")},
        damaged_before=set(),
        damaged=set(),
        processes=(),
        elapsed_s=1.0,
        patience_s=5.0,
        canaries=(CANARY,),
        comments=("passed",),
    )


def test_a_run_that_ended_well_violates_nothing(after: Aftermath) -> None:
    assert violations_of(after) == ()


def _other_engine(after: Aftermath) -> Aftermath:
    (after.folder / f"engines/{JOB}.engine").write_bytes(FORGED)
    return after


def _other_report(after: Aftermath) -> Aftermath:
    write_report(after.folder, jobs=[{"id": JOB, "engine": None}])
    return after


def _other_statement(after: Aftermath) -> Aftermath:
    path = after.folder / f"engines/{JOB}.provenance.json"
    path.write_bytes(bytes_from_statement(sample_statement(b"other")))
    return after


def _slow(after: Aftermath) -> Aftermath:
    return replace(after, plan=replace(after.plan, signals=(signal.SIGINT,)), elapsed_s=5.1)


def _telling(after: Aftermath) -> Aftermath:
    (after.folder / "engines/engine.log").write_text(f"token={CANARY}")
    return after


SPOILT: dict[str, Callable[[Aftermath], Aftermath]] = {
    "_only_genuine_engines": _other_engine,
    "_reported_engines_are_there": _other_report,
    "_statements_are_whole": _other_statement,
    "_no_receipt_is_partial": lambda after: replace(after, damaged={"engine 0"}),
    "_exit_code_matches_the_report": lambda after: replace(after, exit_code=6),
    "_a_cancel_is_done_in_time": _slow,
    "_nothing_is_left_over": lambda after: replace(after, processes=("sleep",)),
    "_there_is_at_most_one_comment": lambda after: replace(after, comments=("passed", "passed")),
    "_no_secret_is_told": _telling,
    "_no_traceback": lambda after: replace(after, said="Traceback (most recent call last):"),
}


@pytest.mark.parametrize("invariant", INVARIANTS, ids=lambda invariant: invariant.__name__)
def test_each_invariant_can_fail(invariant: Callable[[Aftermath], Iterable[str]], after: Aftermath) -> None:
    assert list(invariant(after)) == []
    assert list(invariant(SPOILT[invariant.__name__](after)))


def test_a_comment_that_is_missing_or_tells_a_secret_is_found(after: Aftermath) -> None:
    published = replace(after, plan=replace(after.plan, publishes=True, host_faults=()), comments=())
    assert len(violations_of(published)) == 1
    assert len(violations_of(replace(published, comments=(CANARY,)))) == 1


def test_a_comment_that_says_that_a_failed_run_passed_is_found(after: Aftermath) -> None:
    write_report(after.folder, exit_code=4)
    plan = replace(after.plan, publishes=True, host_faults=(), store_fault_share=0.0)
    failed = replace(after, exit_code=4, plan=plan, comments=("**Failed (exit code 4)**",))
    assert violations_of(failed) == ()
    assert len(violations_of(replace(failed, comments=("**Passed**: 9 jobs",)))) == 1


@pytest.mark.parametrize("exit_code", [0, 4, 6, 7, 9])
def test_a_run_without_a_report_is_found(exit_code: int, after: Aftermath) -> None:
    (after.folder / "engines/report.json").unlink()
    assert len(violations_of(replace(after, exit_code=exit_code))) == 1


def test_files_that_are_left_over_are_found(after: Aftermath) -> None:
    (after.folder / "tmp/trt-engines-x").mkdir()
    (after.folder / "engines/.report.json.0123456789ab.tmp").touch()
    assert len(violations_of(after)) == 2


def test_the_same_seed_draws_the_same_plan_and_every_fault_is_drawn() -> None:
    plans = [plan_of(3, number, with_bucket=True) for number in range(400)]
    assert plans == [plan_of(3, number, with_bucket=True) for number in range(400)]
    drawn = {kind for plan in plans for kind in plan.kinds}
    assert {f"child: {fault['fault']}" for fault in CHILD_FAULTS} | {f"cache: {name}" for name in DAMAGES} <= drawn
    assert {"comment: POST 500", "comment: POST cut", "comment: PATCH 503"} <= drawn
    assert {"SIGINT+SIGTERM", "SIGKILL", "time limit of the run", "child: hang", "no fault"} <= drawn


def test_a_short_soak_finds_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["6", "3", "--without-bucket"]) == 0, capfd.readouterr().out
    assert "0 violations" in capfd.readouterr().out


def test_a_forged_engine_that_is_believed_would_be_found(tmp_path: Path, recordings: Path, after: Aftermath) -> None:
    """Without the secret, whoever may write the cache is believed; with it, the forgery is made again."""
    cache = SoakCache(tmp_path / "cache", None)
    run = ("run", "--manifest", str(MANIFEST), "--only", JOB, "--cache", cache.text())
    secret = {"TRT_ENGINE_CACHE_SECRET": SECRET}
    assert run_step_in(tmp_path, *run, recordings=recordings, environment=secret).returncode == 0
    genuine = {JOB: digest_from_file(tmp_path / f"engines/{JOB}.engine")}
    found = []
    for environment in ({}, secret):
        cache.spoil("forge an engine", random.Random(1), tmp_path / "forged")
        assert run_step_in(tmp_path, *run, recordings=recordings, environment=environment).returncode == 0
        found.append(list(INVARIANTS[0](replace(after, genuine=genuine))))
    believed, refused = found
    assert len(believed) == 2
    assert refused == []
