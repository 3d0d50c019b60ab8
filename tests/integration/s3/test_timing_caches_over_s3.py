"""Timing caches in a bucket: runners without a disk begin with what others timed, each scope with what it may read."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.build.timing_cache import TACTICS_FILE
from pipeline.cache.s3_opening import CachePlace, opened_scopes
from pipeline.cache.scope import Scope
from pipeline.digest import digest_from_bytes
from pipeline.machine.devices import GpuDevice
from pipeline.recipes.timing_caches import TimingCaches
from tests.support.fake_gpu_machine import FakeMachine
from tests.support.faulty_proxy import Fault
from tests.support.s3_places import BUCKET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.faulty_proxy import FaultyProxy
    from tests.support.s3_places import S3Place

GPU = GpuDevice(
    uuid="GPU-1", name="NVIDIA H200", compute_capability=(9, 0), memory_bytes=1, driver="580.1", cuda="13.0"
)
RACERS = 4
TIMING = "/receipt/timing/"


@pytest.fixture(autouse=True)
def _sockets_closed() -> Iterator[None]:
    """Runs have clients of their own, which are closed when they are forgotten."""
    import gc
    import warnings

    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class Runners:
    """Runners of one team, each with an empty disk, that share a bucket."""

    def __init__(self, folder: Path, place: S3Place, patch: pytest.MonkeyPatch) -> None:
        self.loaded: list[set[str]] = []
        self.environment: dict[str, str] = {}
        self._folder = folder
        self._place = place
        self._patch = patch
        self._count = 0

    def main(self, level: int, *, endpoint_url: str = "", near: str = "") -> dict[str, Any]:
        """The branch ``main``, whose engine is built at ``level``, on a runner of its own."""
        return self._fresh().run_main(**self._parts(level, endpoint_url, near))

    def change(self, level: int, *, endpoint_url: str = "", near: str = "") -> dict[str, Any]:
        """A pull request against it."""
        return self._fresh().run_change(**self._parts(level, endpoint_url, near))

    def _fresh(self) -> FakeMachine:
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        return FakeMachine(folder, loaded=self.loaded).install(self._patch)

    def _parts(self, level: int, endpoint_url: str, near: str) -> dict[str, Any]:
        url = f"s3://{BUCKET}/{self._place.prefix}?endpoint={endpoint_url or self._place.address.endpoint_url}"
        command = ("run", "--cache", f"{near},{url}" if near else url)
        return {"level": level, "more": "", "command": command, **self.environment}


@pytest.fixture
def runners(tmp_path: Path, place: S3Place, monkeypatch: pytest.MonkeyPatch) -> Runners:
    return Runners(tmp_path, place, monkeypatch)


def timing_keys(place: S3Place) -> list[str]:
    """The scopes that have a timing cache."""
    return sorted(key.partition(TIMING)[0] for key in place.keys() if TIMING in key)


def asked(proxy: FaultyProxy) -> list[str]:
    """What was asked of the receipts of timing caches, in order, and of which scope."""
    found = [request for request in proxy.requests if TIMING in request.path]
    return [f"{request.method} {'pr' if '/pr/' in request.path else 'trusted'}" for request in found]


def test_a_runner_with_an_empty_disk_begins_with_what_another_timed(runners: Runners) -> None:
    runners.main(1)
    runners.main(2)
    runners.main(3)
    assert runners.loaded == [set(), {"level-1"}, {"level-1", "level-2"}]


def test_a_pull_request_reads_the_trusted_one_and_its_own_and_writes_its_own(runners: Runners, place: S3Place) -> None:
    runners.main(1)
    runners.change(2)
    runners.change(3)
    assert runners.loaded == [set(), {"level-1"}, {"level-1", "level-2"}]
    assert timing_keys(place) == ["v1/pr/42/7", "v1/trusted"]


def test_T2_the_trusted_scope_never_reads_a_pull_requests(runners: Runners, place: S3Place) -> None:
    runners.change(1)
    runners.main(2)
    assert runners.loaded == [set(), set()]
    assert timing_keys(place) == ["v1/pr/42/7", "v1/trusted"]


def test_T2_a_pull_requests_that_is_copied_to_the_trusted_scope_is_rejected_where_receipts_are_sealed(
    runners: Runners, place: S3Place
) -> None:
    runners.environment = {"TRT_ENGINE_CACHE_SECRET": "s" * 32}
    runners.change(1)
    for name in place.keys():
        source = {"Bucket": BUCKET, "Key": f"{place.prefix}/{name}"}
        place.client.copy_object(
            Bucket=BUCKET, Key=f"{place.prefix}/{name.replace('pr/42/7', 'trusted')}", CopySource=source
        )
    report = runners.main(2)
    assert (report["returncode"], runners.loaded) == (0, [set(), set()])
    assert any("its seal is wrong" in note for note in report["notes"])


def test_one_that_was_damaged_is_left_out_with_a_note_and_the_build_goes_on(runners: Runners, place: S3Place) -> None:
    runners.main(1)
    place.overwrite_blob(digest_from_bytes(b"level-1"), b"LEVEL-1")
    report = runners.main(2)
    assert (report["returncode"], runners.loaded) == (0, [set(), set()])
    (note,) = report["notes"]
    assert note.startswith("a timing cache of TensorRT was not used")
    assert runners.main(3)["notes"] == []
    assert runners.loaded[-1] == {"level-2"}


def test_a_run_whose_engines_are_all_cached_asks_for_none(runners: Runners, proxy: FaultyProxy) -> None:
    runners.main(1)
    report = runners.change(1, endpoint_url=proxy.endpoint_url)
    assert [job["status"] for job in report["jobs"]] == ["cached"]
    assert proxy.count("/receipt/engine/") > 0
    assert proxy.count(TIMING) == 0


def test_reading_and_storing_them_takes_a_few_requests(runners: Runners, proxy: FaultyProxy) -> None:
    runners.main(1)
    runners.change(2, endpoint_url=proxy.endpoint_url)
    assert asked(proxy) == ["GET trusted", "GET pr", "GET pr", "PUT pr"]
    proxy.requests.clear()
    runners.change(3, endpoint_url=proxy.endpoint_url)
    assert asked(proxy) == ["GET trusted", "GET pr", "GET pr", "PUT pr"]
    (written,) = [request for request in proxy.requests if request.is_for("PUT", TIMING)]
    assert "If-Match" in written.headers


def test_a_server_that_fails_costs_a_note_and_a_cold_build(runners: Runners, proxy: FaultyProxy) -> None:
    runners.main(1)
    proxy.script = lambda request: Fault(status=503, code="SlowDown") if TIMING in request.path else None
    report = runners.main(2, endpoint_url=proxy.endpoint_url)
    assert (report["returncode"], runners.loaded) == (0, [set(), set()])
    (note,) = report["notes"]
    assert note.startswith("a timing cache of TensorRT was not used")
    assert proxy.count("PUT", TIMING) == 0


def test_what_another_runner_stored_since_is_read_past_the_folder_in_front(runners: Runners, tmp_path: Path) -> None:
    first, second = (str(tmp_path / name) for name in ("near-1", "near-2"))
    runners.main(1, near=first)
    runners.main(2, near=second)
    runners.main(3, near=first)
    assert runners.loaded[-1] == {"level-1", "level-2"}


def test_runners_that_store_theirs_at_once_lose_nothing_and_complain_of_nothing(place: S3Place, tmp_path: Path) -> None:
    def opened(name: str) -> TimingCaches:
        where, cancel = CachePlace(None, place.address), threading.Event()
        return TimingCaches(opened_scopes(where, Scope("trusted"), seal=None, cancel=cancel), tmp_path / name)

    def raced(name: str) -> str:
        caches = opened(name)
        cache = caches.of("10.16.1", GPU)
        cache.folder()
        (tmp_path / f"built-{name}").mkdir()
        (tmp_path / f"built-{name}" / TACTICS_FILE).write_text(name)
        start.wait()
        cache.keep(tmp_path / f"built-{name}", f"GPU-{name}")
        return caches.trouble

    start, names = threading.Barrier(RACERS), [f"runner-{number}" for number in range(RACERS)]
    with ThreadPoolExecutor(RACERS) as pool:
        assert list(pool.map(raced, names)) == [""] * RACERS
    files = opened("after").of("10.16.1", GPU).folder().iterdir()
    assert sorted(file.read_text() for file in files) == names
