"""The soak itself: a few runs of it, and that each of its invariants can fail. ``scripts/soak`` does many."""

from __future__ import annotations

import json
import random
import shutil
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.digest import digest_from_bytes, digest_from_file
from pipeline.provenance.statement import bytes_from_statement
from tests.support.faulty_step import MANIFEST, run_step_in
from tests.support.soak import main
from tests.support.soak_cache import FORGED, FORGERIES, SECRET, SoakCache
from tests.support.soak_invariants import INVARIANTS, Aftermath, violations_of
from tests.support.soak_schedule import CHILD_FAULTS, DAMAGES, plan_of
from tests.support.statements import sample_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

JOB = "digits/sm_89/fp32"
CANARY = "canary-of-the-test"


def write_report(folder: Path, **parts: Any) -> None:
    report = {"exit_code": 0, "jobs": [job_report()], "failures": [], **parts}
    (folder / "engines/report.json").write_text(json.dumps(report))


def job_report(**parts: Any) -> dict[str, Any]:
    """A job that went well; without an engine where ``parts`` say how it failed."""
    engine = {"digest": str(digest_from_bytes(b"plan"))}
    return {"id": JOB, "status": "built", "engine": engine, "failure": None, **parts}


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
        handed_before=frozenset({"sha256:0"}),
        handed=(("/model.onnx", "sha256:0"),),
        damaged_before=set(),
        damaged=set(),
        staged_before={"old"},
        staged={"old"},
        processes=(),
        elapsed_s=1.0,
        patience_s=5.0,
        canaries=(CANARY,),
        comments=("passed",),
    )


def test_a_run_that_ended_well_violates_nothing(after: Aftermath) -> None:
    assert violations_of(after) == ()


def written(name: str, data: bytes) -> Callable[[Aftermath], Aftermath]:
    """A run that left such a file."""

    def spoil(after: Aftermath) -> Aftermath:
        path = after.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return after

    return spoil


def reported(**parts: Any) -> Callable[[Aftermath], Aftermath]:
    """A run with another report."""

    def spoil(after: Aftermath) -> Aftermath:
        write_report(after.folder, **parts)
        return after

    return spoil


def changed(**fields: Any) -> Callable[[Aftermath], Aftermath]:
    return lambda after: replace(after, **fields)


def _slow(after: Aftermath) -> Aftermath:
    return replace(after, plan=replace(after.plan, signals=(signal.SIGINT,)), elapsed_s=5.1)


def _without_a_word(after: Aftermath) -> Aftermath:
    """Cancelled in the middle, and no report."""
    (after.folder / "engines/report.json").unlink()
    return replace(after, exit_code=130, said="building", plan=replace(after.plan, signals=(signal.SIGINT,)))


def _cancelled_by_nobody(after: Aftermath) -> Aftermath:
    write_report(after.folder, exit_code=130, jobs=[job_report(status="cancelled")])
    return replace(after, exit_code=130)


FAILURE = {"exit_code": 6}
SPOILT: dict[str, dict[str, Callable[[Aftermath], Aftermath]]] = {
    "_only_genuine_engines": {
        "another engine": written(f"engines/{JOB}.engine", b"other"),
        "a forged engine in a log": written("engines/logs/engine.log", FORGED),
        "a forged engine in the temporary folder": written("tmp/plan", FORGED),
    },
    "_children_are_given_genuine_files": {"another model": changed(handed=(("/model.onnx", "sha256:1"),))},
    "_reported_engines_are_there": {
        "an engine that no report has": reported(jobs=[job_report(engine=None)]),
        "another digest": reported(jobs=[job_report(engine={"digest": "sha256:0"})]),
    },
    "_statements_are_whole": {
        "of another engine": written(
            f"engines/{JOB}.provenance.json", bytes_from_statement(sample_statement(b"other"))
        ),
    },
    "_no_receipt_is_partial": {
        "a new one": changed(damaged={"engine 0 sha256:0"}),
        "again": changed(damaged_before={"engine 0 sha256:0"}, damaged={"engine 0 sha256:1"}),
    },
    "_exit_code_matches_the_report": {
        "the report's": changed(exit_code=6),
        "no code of ours": changed(exit_code=1),
        "a signal's": changed(exit_code=-11),
        "its jobs failed": reported(jobs=[job_report(status="failed", failure=FAILURE)]),
        "it failed before its jobs": reported(jobs=[], failures=[FAILURE]),
        "its jobs were cancelled": reported(jobs=[job_report(status="cancelled")]),
        "no report of a cancelled run": _without_a_word,
        "cancelled by nobody": _cancelled_by_nobody,
    },
    "_a_cancel_is_done_in_time": {"slow": _slow},
    "_nothing_is_left_over": {
        "a process": changed(processes=("sleep",)),
        "a temporary file": written("tmp/plan", b""),
        "half a report": written("engines/.report.json.0123456789ab.tmp", b""),
        "half a file of the cache": changed(staged={"old", "new"}),
    },
    "_there_is_at_most_one_comment": {"two": changed(comments=("passed", "passed"))},
    "_no_secret_is_told": {
        "in a file": written("engines/engine.log", f"token={CANARY}".encode()),
        "in what it says": changed(said=CANARY),
        "in the comment": changed(comments=(CANARY,)),
        "a core file": written("tmp/core.1", b""),
    },
    "_no_traceback": {"a traceback": changed(said="Traceback (most recent call last):")},
}


def test_every_invariant_is_spoilt() -> None:
    assert [invariant.__name__ for invariant in INVARIANTS] == list(SPOILT)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [pytest.param(name, spoil, id=f"{name} {how}") for name, ways in SPOILT.items() for how, spoil in ways.items()],
)
def test_each_invariant_can_fail_in_each_way(
    name: str, spoil: Callable[[Aftermath], Aftermath], after: Aftermath
) -> None:
    (invariant,) = (each for each in INVARIANTS if each.__name__ == name)
    assert list(invariant(after)) == []
    found = list(invariant(spoil(after)))
    for core in after.folder.rglob("core*"):
        core.unlink()  # or it fails the whole session
    assert found


def test_a_comment_that_is_missing_or_tells_a_secret_is_found(after: Aftermath) -> None:
    published = replace(after, plan=replace(after.plan, publishes=True, host_faults=()), comments=())
    assert len(violations_of(published)) == 1
    assert len(violations_of(replace(published, comments=(CANARY,)))) == 1


def test_a_comment_that_says_that_a_failed_run_passed_is_found(after: Aftermath) -> None:
    write_report(after.folder, exit_code=4, jobs=[job_report(status="failed", failure={"exit_code": 4})])
    plan = replace(after.plan, publishes=True, host_faults=(), store_fault_share=0.0)
    failed = replace(after, exit_code=4, plan=plan, comments=("**Failed (exit code 4)**",))
    assert violations_of(failed) == ()
    assert len(violations_of(replace(failed, comments=("**Passed**: 9 jobs",)))) == 1


@pytest.mark.parametrize("exit_code", [0, 4, 6, 7, 9])
def test_a_run_without_a_report_is_found(exit_code: int, after: Aftermath) -> None:
    (after.folder / "engines/report.json").unlink()
    assert len(violations_of(replace(after, exit_code=exit_code))) == 1


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


def test_what_is_forged_and_believed_would_be_found(tmp_path: Path, recordings: Path, after: Aftermath) -> None:
    """Without the secret, whoever may write the cache is believed; with it, the forgery is made again."""
    cache, job, handed = SoakCache(tmp_path / "cache", None), "digits/sm_89/int8", tmp_path / "handed"
    run = ("run", "--manifest", str(MANIFEST), "--only", job, "--cache", cache.text())
    secret = {"TRT_ENGINE_CACHE_SECRET": SECRET}

    def ran(environment: Mapping[str, str]) -> list[tuple[str, str]]:
        """What the children of a run were given."""
        done = run_step_in(tmp_path, *run, recordings=recordings, handed=handed, environment=environment)
        assert done.returncode == 0, done.stderr
        lines = handed.read_text().splitlines() if handed.exists() else []
        handed.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    genuine_files = frozenset(digest for _, digest in ran(secret))
    genuine = {**after.genuine, job: digest_from_file(tmp_path / f"engines/{job}.engine")}
    found: dict[str, list[list[str]]] = {}
    for number, (forgery, kind) in enumerate(FORGERIES.items()):
        for environment in ({}, secret):
            cache.spoil(forgery, random.Random(1), tmp_path / "forged")
            for made_of_it in list(FORGERIES.values())[:number]:  # or what is forged is not asked for
                shutil.rmtree(tmp_path / f"cache/v1/receipt/{made_of_it}")
            given = tuple((path, digest) for path, digest in ran(environment))
            run_after = replace(after, genuine=genuine, handed_before=genuine_files, handed=given)
            found.setdefault(kind, []).append([text for each in INVARIANTS[:2] for text in each(run_after)])
    assert [[bool(texts) for texts in pair] for pair in found.values()] == [[True, False]] * len(FORGERIES), found
