"""F21: the jobs of a matrix publish at the same moment."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from pipeline.cache.local import LocalStore
from pipeline.cache.store import StoreFailed
from pipeline.hosts.part_store import PartStore, Whole
from pipeline.hosts.place import HostKind, Place
from pipeline.hosts.publication import _published
from pipeline.hosts.sticky import Sticky
from pipeline.publish.details import Details
from pipeline.publish.job_report import Status
from pipeline.publish.parts import merged
from tests.support.conversations import HEAD, MemoryConversation, endless_patience
from tests.support.fake_github import FakeGitHub
from tests.support.publications import MANIFEST, github_environment, parts_of
from tests.support.reports import job_report, report_of, unbegun_report

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.publish.report import Report

ROOT = Path(__file__).parents[2]
WHOLE = Whole(project="team/models", manifest=MANIFEST, commit=HEAD)
PLACE = Place(
    kind=HostKind.GITHUB,
    api_url="",
    project="team/models",
    number=7,
    commit=HEAD,
    run_url="",
    fork=False,
    token=None,
)


def start(cache: Path, model: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.publish_process", str(cache), model, "2"]
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env={**kept, **environment}, stderr=subprocess.PIPE, text=True)


def test_processes_that_publish_at_once_leave_one_comment_with_all_their_jobs(tmp_path: Path) -> None:
    models = ("alpha", "beta", "gamma")
    with FakeGitHub() as host:
        environment = github_environment(host, tmp_path)
        jobs = [start(tmp_path / "cache", model, environment) for model in models]
        for job in jobs:
            _, told = job.communicate(timeout=120)
            assert job.returncode == 0, told
        (body,) = host.own_bodies
    for model in models:
        assert f"`{model}/sm_80/fp16`" in body
        assert f"`{model}/sm_81/fp16`" in body
    assert "6 jobs" in body


def job(cache: Path, model: str) -> Callable[[MemoryConversation], None]:
    """What one process does, to be run at any point of another's."""
    parts = PartStore(LocalStore(cache), WHOLE)

    def publish(conversation: MemoryConversation) -> None:
        parts.save(report_of(job_report(f"{model}/sm_89/fp16", Status.BUILT, "new")), Details(), only=f"{model}/*")
        _published(conversation, PLACE, Sticky(MANIFEST), lambda: parts.load() or parts_of(), endless_patience())

    return publish


@pytest.mark.parametrize("there", [False, True], ids=["created", "edited"])
def test_a_part_that_arrives_while_another_job_writes_is_in_the_comment(there: bool, tmp_path: Path) -> None:
    """The other job runs from its first to its last step between this one's reading and writing."""
    conversation = MemoryConversation()
    if there:
        conversation.say(f"{Sticky(MANIFEST).first_line(HEAD)}\nold")
    conversation.on_write = [lambda: job(tmp_path, "beta")(conversation)]
    job(tmp_path, "alpha")(conversation)
    (body,) = conversation.own_bodies
    assert "`alpha/sm_89/fp16`" in body
    assert "`beta/sm_89/fp16`" in body


def test_F40_a_job_that_runs_again_replaces_its_part(tmp_path: Path) -> None:
    parts = PartStore(LocalStore(tmp_path), WHOLE)
    for reason in ("first", "second"):
        parts.save(report_of(job_report("alpha/sm_89/fp16", Status.BUILT, reason)), Details(), only="*")
    found = parts.load()
    assert found is not None
    assert found.reports[0].jobs[0].reason == "second"


def test_F40_a_part_that_failed_before_its_jobs_is_replaced_by_the_next_attempt_and_by_no_other_job(
    tmp_path: Path,
) -> None:
    parts = PartStore(LocalStore(tmp_path), WHOLE)
    parts.save(unbegun_report(), Details(), only="alpha/*")
    parts.save(report_of(job_report("beta/sm_89/fp16", Status.BUILT, "new")), Details(), only="beta/*")
    found = parts.load()
    assert found is not None
    assert merged(found.reports).exit_code == 3
    parts.save(report_of(job_report("alpha/sm_89/fp16", Status.BUILT, "new")), Details(), only="alpha/*")
    found = parts.load()
    assert found is not None
    assert merged(found.reports).exit_code == 0
    assert len(merged(found.reports).jobs) == 2


def test_parts_of_another_commit_or_manifest_are_not_shown(tmp_path: Path) -> None:
    for whole in (
        Whole(project="team/models", manifest=MANIFEST, commit="b" * 40),
        Whole(project="team/models", manifest="other.yaml", commit=HEAD),
        Whole(project="team/others", manifest=MANIFEST, commit=HEAD),
    ):
        PartStore(LocalStore(tmp_path), whole).save(report_of(), Details(), only="*")
    assert PartStore(LocalStore(tmp_path), WHOLE).load() is None


def test_a_part_that_a_failing_place_does_not_give_is_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the comment would lose the section of another job, and each of a hundred parts would be waited for."""
    parts = PartStore(LocalStore(tmp_path), WHOLE)
    for model in ("alpha", "beta"):
        parts.save(report_of(job_report(f"{model}/sm_89/fp16", Status.BUILT, "new")), Details(), only=f"{model}/*")
    asked: list[object] = []

    def refused(*details: object) -> NoReturn:
        asked.append(details)
        raise StoreFailed("no answer")

    monkeypatch.setattr(LocalStore, "fetch_blob", refused)

    with pytest.raises(StoreFailed, match="no answer"):
        parts.load()
    assert len(asked) == 1


def test_a_damaged_part_is_left_out(tmp_path: Path) -> None:
    parts = PartStore(LocalStore(tmp_path), WHOLE)
    parts.save(report_of(job_report("alpha/sm_89/fp16", Status.BUILT, "good")), Details(), only="alpha/*")
    parts.save(report_of(job_report("beta/sm_89/fp16", Status.BUILT, "bad")), Details(), only="beta/*")
    blobs = sorted((tmp_path / "v1/blob").rglob("*"), key=lambda path: (path.is_dir(), path.name))
    damaged = next(path for path in blobs if path.is_file() and b"beta" in path.read_bytes())
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes().replace(b"beta", b"evil"))
    found = parts.load()
    assert found is not None
    assert [report.jobs[0].id for report in found.reports] == ["alpha/sm_89/fp16"]


def test_jobs_that_name_the_manifest_in_different_ways_share_the_comment(tmp_path: Path) -> None:
    parts = PartStore(LocalStore(tmp_path), WHOLE)
    for model, manifest in (
        ("alpha", MANIFEST),
        ("beta", f"examples/../{MANIFEST}"),
        ("gamma", str(Path(MANIFEST).absolute())),
    ):
        report = report_of(job_report(f"{model}/sm_89/fp16", Status.BUILT, "new"))
        parts.save(replace(report, manifest=manifest), Details(), only=f"{model}/*")
    loaded = parts.load()
    assert loaded is not None
    assert {report.manifest for report in loaded.reports} == {MANIFEST}
    assert len(merged(loaded.reports).jobs) == 3


GPUS = ("l4", "h200")


def half(gpu: str, *, reason: str = "", minute: int = 0) -> Report:
    """What a runner with one GPU says of the whole manifest: it did its own jobs, and names the others."""
    statuses = ((each, Status.BUILT if each == gpu else Status.NEEDS_RUNNER) for each in GPUS)
    jobs = (job_report(f"alpha/{target}/fp16", status, reason) for target, status in statuses)
    return replace(report_of(*jobs), started=f"2030-01-31T12:{minute:02}:00Z")


def test_runners_that_were_given_the_same_selection_keep_a_part_each(tmp_path: Path) -> None:
    parts = PartStore(LocalStore(tmp_path), WHOLE)
    for gpu in GPUS:
        parts.save(half(gpu), Details(), only="*")
    found = parts.load()
    assert found is not None
    assert [job.status for job in merged(found.reports).jobs] == [Status.BUILT, Status.BUILT]
    parts.save(half("l4", reason="again", minute=1), Details(), only="*")
    found = parts.load()
    assert found is not None
    assert len(found.reports) == len(GPUS)
    assert [job.reason for job in merged(found.reports).jobs] == ["again", ""]


def test_F40_an_attempt_that_could_not_begin_all_of_its_jobs_is_replaced_by_one_that_did(tmp_path: Path) -> None:
    parts = PartStore(LocalStore(tmp_path), WHOLE)
    begun = half("l4")
    parts.save(replace(begun, failures=unbegun_report().failures, exit_code=3), Details(), only="*")
    jobs = (*begun.jobs, job_report("beta/l4/fp16", Status.BUILT, "new"))
    parts.save(replace(begun, jobs=jobs, started="2030-01-31T12:01:00Z"), Details(), only="*")
    found = parts.load()
    assert found is not None
    assert merged(found.reports).exit_code == 0
    assert merged(found.reports).failures == ()


def test_a_part_of_an_attempt_that_did_less_later_is_shown_beside_the_earlier(tmp_path: Path) -> None:
    parts = PartStore(LocalStore(tmp_path), WHOLE)
    parts.save(half("l4"), Details(), only="*")
    parts.save(replace(unbegun_report(), started="2030-01-31T12:01:00Z"), Details(), only="*")
    found = parts.load()
    assert found is not None
    assert merged(found.reports).exit_code == 3
    assert len(merged(found.reports).jobs) == 2
