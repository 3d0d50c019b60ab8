"""Leases over a real server: one holder at a time, and runs of the main job that share their work by them."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.cache.lease import S3Leases
from pipeline.keys import key_from_ingredients
from tests.support.faulty_proxy import Fault, always, times
from tests.support.paced_runs import PacedRun
from tests.support.s3_places import BUCKET, S3Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.ceph import Gateway
    from tests.support.faulty_proxy import FaultyProxy

KEY = key_from_ingredients("engine", {"model": "m"})
MANIFEST = Path(__file__).parents[3] / "examples/digits/trt-engines.yaml"


@pytest.fixture
def leases(place: S3Place) -> S3Leases:
    return S3Leases(place.bucket, place.store.root, term_s=120)


def arguments(endpoint_url: str, prefix: str, only: str, **options: object) -> list[str]:
    """The main job's, for jobs of the digits example and a cache in the test's bucket."""
    more = "".join(f"&{name}={value}" for name, value in options.items())
    cache = f"s3://{BUCKET}/{prefix}?endpoint={endpoint_url}&addressing=path{more}"
    return ["--manifest", str(MANIFEST), "--cache", cache, "--cache-scope", "trusted", "--only", only]


def statuses(run: PacedRun) -> dict[str, str]:
    """Job id -> how it ended."""
    report = json.loads((run.folder / "engines/report.json").read_text())
    assert report["notes"] == []
    return {job["id"]: job["status"] for job in report["jobs"]}


def engine(run: PacedRun, job: str) -> bytes:
    return (run.folder / f"engines/{job}.engine").read_bytes()


def test_there_is_one_holder_at_a_time(leases: S3Leases) -> None:
    lease = leases.take("engine", KEY.digest)
    assert lease is not None
    assert leases.held("engine", KEY.digest)

    assert leases.take("engine", KEY.digest) is None
    assert leases.renew(lease)
    leases.release(lease)
    assert not leases.held("engine", KEY.digest)
    assert leases.take("engine", KEY.digest) is not None


def test_the_lease_of_a_dead_runner_passes_to_one_of_many(place: S3Place, leases: S3Leases) -> None:
    dead = leases.take("engine", KEY.digest)
    assert dead is not None
    time.sleep(2.1)
    barrier, taken = threading.Barrier(8), []

    class Hasty(S3Leases):
        def _alive(self, found: Mapping[str, Any]) -> bool:
            alive = super()._alive(found)
            barrier.wait(60)  # none takes it before all have seen that it expired
            return alive

    hasty = Hasty(place.bucket, place.store.root, term_s=2)

    def take() -> None:
        lease = hasty.take("engine", KEY.digest)
        if lease is not None:
            taken.append(lease)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == 1
    assert not leases.renew(dead)
    leases.release(dead)
    assert hasty.renew(taken[0])


def test_a_holder_whose_answer_was_lost_knows_its_own_lease(faulty: S3Place, proxy: FaultyProxy) -> None:
    proxy.script = times(1, Fault(lose=True), "PUT", "/lease/")
    leases = S3Leases(faulty.bucket, faulty.store.root, term_s=120)

    lease = leases.take("engine", KEY.digest)

    assert lease is not None
    assert proxy.count("PUT", "/lease/") == 2
    assert leases.renew(lease)


def test_what_dead_runners_left_is_swept_by_age(place: S3Place, leases: S3Leases) -> None:
    leases.take("engine", KEY.digest)

    place.store.sweep(3600)
    assert leases.held("engine", KEY.digest)
    place.store.sweep(0)
    assert place.keys() == []


def test_of_two_runs_that_miss_at_the_same_moment_one_builds_and_both_have_the_engine(
    tmp_path: Path, gateway: Gateway, place: S3Place
) -> None:
    job = "digits/sm_89/fp32"
    wanted = arguments(gateway.endpoint_url, place.prefix, job)
    runs = [PacedRun(tmp_path / name, *wanted, build_s=6.0, go=False) for name in "ab"]
    for run in runs:
        run.wait_until("planned")
    for run in runs:
        run.go()
    told = [run.finished() for run in runs]

    assert sorted(statuses(run)[job] for run in runs) == ["built", "cached"]
    assert engine(runs[0], job) == engine(runs[1], job)
    assert sum("waiting for another runner, building" in text for text in told) == 1
    assert [key for key in place.keys() if "/lease/" in key] == []


def test_two_runs_share_their_jobs_out(tmp_path: Path, gateway: Gateway, place: S3Place) -> None:
    wanted = [*arguments(gateway.endpoint_url, place.prefix, "digits/sm_89/*"), "--workers", "1"]
    runs = [PacedRun(tmp_path / name, *wanted, build_s=2.0, go=False) for name in "ab"]
    for run in runs:
        run.wait_until("planned")
    for run in runs:
        run.go()
    for run in runs:
        run.finished()

    ended = [statuses(run) for run in runs]
    assert all(sorted(each[job] for each in ended) == ["built", "cached"] for job in ended[0])
    assert all("built" in each.values() for each in ended)


def test_the_job_of_a_run_that_was_killed_is_built_by_another_when_its_lease_has_expired(
    tmp_path: Path, gateway: Gateway, place: S3Place
) -> None:
    job = "digits/sm_89/fp32"
    wanted = arguments(gateway.endpoint_url, place.prefix, job, lease=8)
    victim = PacedRun(tmp_path / "victim", *wanted, build_s=100.0)
    victim.wait_until("building")
    heir = PacedRun(tmp_path / "heir", *wanted)
    heir.wait_until("planned")
    time.sleep(10)
    assert not (heir.folder / "building").exists(), "a lease that is renewed does not expire"
    victim.kill()
    told = heir.finished()

    assert statuses(heir) == {job: "built"}
    assert "it did not make it" in told


def test_the_work_of_a_run_that_was_cancelled_is_taken_up_at_once(
    tmp_path: Path, gateway: Gateway, place: S3Place
) -> None:
    job = "digits/sm_89/fp32"
    wanted = arguments(gateway.endpoint_url, place.prefix, job)
    cancelled = PacedRun(tmp_path / "cancelled", *wanted, build_s=3.0)
    cancelled.wait_until("building")
    cancelled.process.terminate()
    cancelled.process.communicate(timeout=60)
    assert cancelled.process.returncode == 130

    assert [key for key in place.keys() if "/lease/" in key] == []
    heir = PacedRun(tmp_path / "heir", *wanted)
    heir.finished()
    assert statuses(heir) == {job: "built"}


def test_F22_a_cancelled_run_ends_in_time_where_the_server_hangs(
    tmp_path: Path, proxy: FaultyProxy, place: S3Place
) -> None:
    wanted = arguments(proxy.endpoint_url, place.prefix, "digits/sm_89/fp32", lease=3)
    cancelled = PacedRun(tmp_path / "cancelled", *wanted, build_s=3.0)
    cancelled.wait_until("building")
    proxy.script = always(Fault(delay_s=60), "/lease/")
    time.sleep(2)
    started_s = time.monotonic()
    cancelled.process.terminate()
    cancelled.process.communicate(timeout=60)

    assert cancelled.process.returncode == 130
    assert time.monotonic() - started_s < 5


def test_F22_a_run_that_is_cancelled_while_the_server_keeps_an_answer_back_ends_in_time(
    tmp_path: Path, proxy: FaultyProxy, place: S3Place
) -> None:
    proxy.script = always(Fault(delay_s=60), "/receipt/")
    cancelled = PacedRun(tmp_path / "cancelled", *arguments(proxy.endpoint_url, place.prefix, "digits/sm_89/fp32"))
    deadline_s = time.monotonic() + 60
    while not proxy.count("/receipt/") and time.monotonic() < deadline_s:
        time.sleep(0.02)
    started_s = time.monotonic()
    cancelled.process.terminate()
    cancelled.process.communicate(timeout=60)

    assert cancelled.process.returncode == 130
    assert time.monotonic() - started_s < 5


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (500, "InternalError")])
def test_a_server_that_refuses_leases_lets_everybody_build(
    tmp_path: Path, proxy: FaultyProxy, place: S3Place, status: int, code: str
) -> None:
    proxy.script = always(Fault(status=status, code=code), "/lease/")
    run = PacedRun(tmp_path / "run", *arguments(proxy.endpoint_url, place.prefix, "digits/sm_89/*"))
    run.finished()

    assert set(statuses(run).values()) == {"built"}
    assert 1 <= proxy.count("/lease/") <= 12, "they are left alone after the first failure"
    assert len([key for key in place.keys() if "/receipt/engine/" in key]) == 3


def test_a_run_without_leases_asks_for_none(tmp_path: Path, proxy: FaultyProxy, place: S3Place) -> None:
    run = PacedRun(tmp_path / "run", *arguments(proxy.endpoint_url, place.prefix, "digits/sm_89/fp32", lease=0))
    run.finished()

    assert proxy.count("/lease/") == 0
