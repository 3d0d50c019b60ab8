"""Each fault of S3: what the run makes of it, what is left in the store and on disk, and what the user is told."""

from __future__ import annotations

import itertools
import os
import resource
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from pipeline.cache.answers import Commit, Hit, Miss, Off, Rejected
from pipeline.cache.content import ContentCache
from pipeline.cache.pruning import prune
from pipeline.cache.receipt import bytes_from_receipt
from pipeline.cache.s3_bucket import Deadline
from pipeline.cache.store import BlobDamaged, StoreFailed
from pipeline.cache.verifying import verify_entries
from pipeline.errors import CacheError
from pipeline.keys import key_from_ingredients
from tests.support.faulty_proxy import Fault, always, times
from tests.support.s3_places import BUCKET, S3Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.ceph import Gateway
    from tests.support.faulty_proxy import FaultyProxy, Request

KEY = key_from_ingredients("engine", {"model": "sha256:" + "a" * 64, "profile.opt": 8})
SUBJECT = "digits/sm_89/int8"
PLAN = bytes(range(256)) * 80_000
SLOW_DOWN = Fault(status=503, code="SlowDown")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """An engine that is sent in parts, and an outcome that is sent whole."""
    paths = {"engine.plan": tmp_path / "in" / "plan", "outcome.json": tmp_path / "in" / "outcome"}
    paths["engine.plan"].parent.mkdir()
    paths["engine.plan"].write_bytes(PLAN)
    paths["outcome.json"].write_bytes(b"{}")
    return paths


@pytest.fixture
def stored(place: S3Place, files: dict[str, Path]) -> Hit:
    """The entry of ``files``, stored without faults."""
    return Hit(ContentCache(place.store).commit(KEY, SUBJECT, files, {}).receipt)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def _left(out: Path) -> list[str]:
    return [path.name for path in out.iterdir()] if out.exists() else []


def _blob_words(hit: Hit) -> tuple[str, str]:
    return "GET", hit.receipt.blobs[0].digest.hex


def test_F1_a_server_that_is_busy_for_a_moment_is_asked_again(
    faulty: S3Place, proxy: FaultyProxy, stored: Hit, out: Path
) -> None:
    proxy.script = times(2, SLOW_DOWN, "/receipt/")
    cache = ContentCache(faulty.store)

    assert cache.lookup(KEY, SUBJECT) == stored
    assert proxy.count("GET", "/receipt/") == 3
    assert isinstance(cache.fetch(stored, out), tuple)
    assert cache.trouble == ""


def test_F2_a_server_that_stays_busy_is_left_alone_and_the_user_is_told_once(
    faulty: S3Place, proxy: FaultyProxy, stored: Hit, files: dict[str, Path]
) -> None:
    proxy.script = always(SLOW_DOWN)
    cache = ContentCache(faulty.store)

    found = [cache.lookup(KEY, SUBJECT) for _ in range(5)]

    assert [type(each) for each in found] == [Miss, Miss, Miss, Off, Off]
    assert proxy.count("GET") == 9
    assert cache.trouble.startswith("the cache failed 3 times and is left alone: it answered GetObject with SlowDown")
    assert cache.commit(KEY, SUBJECT, files, {}).outcome is Commit.UNSTORED
    assert proxy.count("PUT") == 0


def test_F3_a_closed_port_costs_little_and_is_not_tried_for_each_job(place: S3Place) -> None:
    with S3Place("http://127.0.0.1:9", prefix=place.prefix) as unreachable:
        cache = ContentCache(unreachable.store)

        found = [cache.lookup(KEY, SUBJECT) for _ in range(50)]

    assert [type(each) for each in found] == [Miss] * 3 + [Off] * 47
    assert "there is no connection to it" in cache.trouble


def test_F3_a_name_that_does_not_resolve_is_told_as_no_connection(
    place: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(host: str, *_details: object, **_more: object) -> NoReturn:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    asked: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with S3Place("http://s3.invalid", prefix=place.prefix) as nowhere:
        cache = ContentCache(nowhere.store)

        found = [cache.lookup(KEY, SUBJECT) for _ in range(50)]

    assert [type(each) for each in found] == [Miss] * 3 + [Off] * 47
    assert "there is no connection to it" in cache.trouble
    assert set(asked) == {"s3.invalid"} or set(asked) == {"engine-cache.s3.invalid"}
    assert len(asked) == 9


def test_F4_a_server_that_hangs_is_given_up_in_time(proxy: FaultyProxy, place: S3Place) -> None:
    proxy.script = always(Fault(delay_s=600))
    with S3Place(proxy.endpoint_url, prefix=place.prefix, read_timeout_s=0.5) as hanging:
        cache, started_s = ContentCache(hanging.store), time.monotonic()

        found = cache.lookup(KEY, SUBJECT)
        took_s = time.monotonic() - started_s

    assert found == Miss("the cache failed: it did not answer GetObject in time")
    assert took_s < 60
    assert proxy.count("GET") == 3


@pytest.mark.parametrize("what", ["/receipt/", "/blob/"])
def test_F4_a_server_that_trickles_is_given_up_in_time(
    faulty: S3Place, proxy: FaultyProxy, stored: Hit, out: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(Deadline, "_GRACE_S", 1.0)
    monkeypatch.setattr(Deadline, "_SLOWEST_BYTES_PER_S", 1 << 30)
    proxy.script = always(Fault(trickle_s=0.5), "GET", what)
    cache, started_s = ContentCache(faulty.store), time.monotonic()

    found = cache.lookup(KEY, SUBJECT) if what == "/receipt/" else cache.fetch(stored, out)

    assert isinstance(found, Miss)
    assert time.monotonic() - started_s < 60
    assert _left(out) == []


def test_F4_a_server_that_takes_a_file_in_drops_is_given_up_in_time(
    faulty: S3Place, proxy: FaultyProxy, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Deadline, "_GRACE_S", 1.0)
    monkeypatch.setattr(Deadline, "_SLOWEST_BYTES_PER_S", 1 << 30)
    proxy.script = always(Fault(sip_s=0.1), "PUT", "/blob/")
    cache, started_s = ContentCache(faulty.store), time.monotonic()

    committed = cache.commit(KEY, SUBJECT, files, {})

    assert committed.warnings == ("the cache failed: a transfer was not done after 1 s",)
    assert time.monotonic() - started_s < 6


def test_a_small_file_is_fetched_while_all_threads_fetch_large_ones(place: S3Place, stored: Hit, out: Path) -> None:
    done = threading.Event()
    busy = [place.store._pool.submit(done.wait, 20) for _ in range(8)]
    started_s = time.monotonic()

    fetched = ContentCache(place.store).fetch(stored, out, only=("outcome.json",))

    done.set()
    assert [future.result() for future in busy] == [True] * 8
    assert isinstance(fetched, tuple)
    assert time.monotonic() - started_s < 10


def test_the_time_of_a_large_file_does_not_pass_while_others_are_fetched(
    place: S3Place, stored: Hit, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Deadline, "_GRACE_S", 1.0)
    monkeypatch.setattr(Deadline, "_SLOWEST_BYTES_PER_S", 1 << 30)
    busy = [place.store._pool.submit(time.sleep, 2.5) for _ in range(8)]

    fetched = ContentCache(place.store).fetch(stored, out)

    assert [future.result() for future in busy] == [None] * 8
    assert isinstance(fetched, tuple)


def test_F4_time_lost_in_vain_is_bounded_whatever_the_number_of_failures(proxy: FaultyProxy, place: S3Place) -> None:
    proxy.script = always(SLOW_DOWN)
    clock_s = iter([0.0, 61.0])
    with S3Place(proxy.endpoint_url, prefix=place.prefix) as slow:
        cache = ContentCache(slow.store, monotonic=lambda: next(clock_s))

        cache.lookup(KEY, SUBJECT)

        assert isinstance(cache.lookup(KEY, SUBJECT), Off)
        assert cache.trouble.startswith("the cache cost 61 s in vain and is left alone")


@pytest.mark.parametrize("cut_after", [0, 100_000])
def test_F5_a_body_that_is_cut_is_asked_for_from_where_it_broke(
    faulty: S3Place, proxy: FaultyProxy, stored: Hit, out: Path, cut_after: int
) -> None:
    proxy.script = times(2, Fault(cut_after=cut_after), *_blob_words(stored))

    fetched = ContentCache(faulty.store).fetch(stored, out)

    assert isinstance(fetched, tuple)
    assert (out / "engine.plan").read_bytes() == PLAN
    ranges = [request.headers.get("Range") for request in proxy.requests if request.is_for(*_blob_words(stored))]
    assert len(ranges) == 5
    assert cut_after == 0 or f"bytes={cut_after}-8388607" in ranges


def test_F5_a_body_that_is_always_cut_is_a_failure_that_leaves_nothing(
    faulty: S3Place, proxy: FaultyProxy, stored: Hit, out: Path
) -> None:
    proxy.script = always(Fault(cut_after=10), *_blob_words(stored))

    fetched = ContentCache(faulty.store).fetch(stored, out)

    assert isinstance(fetched, Miss)
    assert "the cache failed" in fetched.reason
    assert _left(out) == []


def test_F5_a_receipt_that_is_cut_is_asked_for_again(faulty: S3Place, proxy: FaultyProxy, stored: Hit) -> None:
    proxy.script = times(2, Fault(cut_after=20), "/receipt/")

    assert ContentCache(faulty.store).lookup(KEY, SUBJECT) == stored


@pytest.mark.parametrize("flip_at", [0, 4_000_000, 8_388_607])
def test_F6_a_flipped_bit_is_rejected_and_the_blob_is_sent_again(
    faulty: S3Place, proxy: FaultyProxy, stored: Hit, files: dict[str, Path], out: Path, flip_at: int
) -> None:
    proxy.script = times(1, Fault(flip_at=flip_at), *_blob_words(stored))
    cache = ContentCache(faulty.store)

    fetched = cache.fetch(stored, out)

    assert isinstance(fetched, Rejected)
    assert "have changed" in fetched.reason
    assert _left(out) == []
    cache.commit(KEY, SUBJECT, files, {})
    assert proxy.count("POST", "uploadId=") == 1
    assert isinstance(cache.fetch(stored, out), tuple)


def test_F6_a_flipped_bit_in_a_receipt_is_rejected(faulty: S3Place, proxy: FaultyProxy, stored: Hit) -> None:
    proxy.script = times(1, Fault(flip_at=200), "/receipt/")

    assert isinstance(ContentCache(faulty.store).lookup(KEY, SUBJECT), Rejected)


def test_F7_a_blob_that_is_stored_anew_while_it_is_read_is_read_anew(
    faulty: S3Place, place: S3Place, proxy: FaultyProxy, stored: Hit, out: Path
) -> None:
    def replace() -> None:
        place.overwrite_blob(stored.receipt.blobs[0].digest, PLAN)

    # The second range of the first version is the one before which the object is replaced.
    seen = iter(range(100))
    proxy.script = lambda request: (
        Fault(before=replace) if request.is_for(*_blob_words(stored)) and next(seen) == 1 else None
    )

    assert isinstance(ContentCache(faulty.store).fetch(stored, out), tuple)
    assert (out / "engine.plan").read_bytes() == PLAN


def test_F7_of_two_versions_of_a_blob_no_parts_are_mixed(
    faulty: S3Place, place: S3Place, proxy: FaultyProxy, stored: Hit, out: Path
) -> None:
    """The first version is damaged; the second, which is there before the second range is asked for, is sound."""
    digest = stored.receipt.blobs[0].digest
    place.overwrite_blob(digest, bytes(len(PLAN)))
    seen = iter(range(100))
    proxy.script = lambda request: (
        Fault(before=lambda: place.overwrite_blob(digest, PLAN))
        if request.is_for(*_blob_words(stored)) and next(seen) == 1
        else None
    )

    assert isinstance(ContentCache(faulty.store).fetch(stored, out), tuple)
    assert (out / "engine.plan").read_bytes() == PLAN


def test_F7_a_blob_that_is_replaced_by_something_else_is_rejected(
    faulty: S3Place, place: S3Place, proxy: FaultyProxy, stored: Hit, out: Path
) -> None:
    seen = iter(range(100))

    def replace() -> None:
        place.overwrite_blob(stored.receipt.blobs[0].digest, bytes(len(PLAN)))

    proxy.script = lambda request: (
        Fault(before=replace) if request.is_for(*_blob_words(stored)) and next(seen) == 1 else None
    )

    assert isinstance(ContentCache(faulty.store).fetch(stored, out), Rejected)
    assert _left(out) == []


def test_F8_reading_that_is_denied_closes_the_cache_at_once_and_says_how_to_mend_it(
    faulty: S3Place, proxy: FaultyProxy, stored: Hit
) -> None:
    proxy.script = always(Fault(status=403, code="AccessDenied"))
    cache = ContentCache(faulty.store)

    found = [cache.lookup(KEY, SUBJECT) for _ in range(3)]

    assert [type(each) for each in found] == [Miss, Off, Off]
    assert proxy.count("GET") == 1
    assert "this job may not read it" in cache.trouble
    assert "s3:ListBucket" in cache.trouble


def test_F8_writing_that_is_denied_leaves_a_cache_that_is_read(
    faulty: S3Place, proxy: FaultyProxy, stored: Hit, files: dict[str, Path], out: Path
) -> None:
    other = key_from_ingredients("engine", {"model": "another"})
    files["engine.plan"].write_bytes(PLAN[::-1])
    proxy.script = lambda request: Fault(status=403, code="AccessDenied") if request.method in ("PUT", "POST") else None
    cache = ContentCache(faulty.store)

    committed = [cache.commit(other, SUBJECT, files, {}) for _ in range(5)]

    assert {each.outcome for each in committed} == {Commit.UNSTORED}
    assert [len(each.warnings) for each in committed] == [1, 0, 0, 0, 0]
    assert cache.trouble.startswith("the cache is only read: this job may only read it")
    assert sum(request.method in ("PUT", "POST") for request in proxy.requests) == 1
    assert isinstance(cache.lookup(KEY, SUBJECT), Hit)
    assert isinstance(cache.fetch(stored, out), tuple)


def test_F9_expired_credentials_are_renewed_once_by_asking_the_chain_anew(
    faulty: S3Place, proxy: FaultyProxy, stored: Hit
) -> None:
    proxy.script = times(1, Fault(status=400, code="ExpiredToken"))

    assert ContentCache(faulty.store).lookup(KEY, SUBJECT) == stored
    assert len(faulty.clients) == 2


def test_F9_credentials_that_expire_while_a_file_is_sent_are_renewed_and_the_file_is_whole(
    faulty: S3Place, proxy: FaultyProxy, place: S3Place, files: dict[str, Path], out: Path
) -> None:
    proxy.script = times(1, Fault(status=400, code="ExpiredToken"), "PUT", "partNumber=2")

    committed = ContentCache(faulty.store).commit(KEY, SUBJECT, files, {})

    assert committed.outcome is Commit.STORED
    assert proxy.count("PUT", "partNumber=2") == 2
    assert isinstance(ContentCache(place.store).fetch(Hit(committed.receipt), out), tuple)


def test_F9_credentials_that_stay_expired_close_the_cache(faulty: S3Place, proxy: FaultyProxy) -> None:
    proxy.script = always(Fault(status=400, code="ExpiredToken"))
    cache = ContentCache(faulty.store)

    cache.lookup(KEY, SUBJECT)

    assert isinstance(cache.lookup(KEY, SUBJECT), Off)
    assert "the credentials have expired" in cache.trouble
    assert proxy.count("GET") == 2


def test_F10_a_receipt_whose_blob_is_gone_is_a_miss_and_is_replaced(
    place: S3Place, stored: Hit, files: dict[str, Path], out: Path
) -> None:
    place.remove_blob(stored.receipt.blobs[0].digest)
    files["engine.plan"].write_bytes(PLAN[::-1])
    cache = ContentCache(place.store)

    found = cache.lookup(KEY, SUBJECT)
    assert isinstance(found, Hit)
    assert cache.fetch(found, out) == Miss("a file of it is gone from the cache", stored.receipt)
    assert _left(out) == []
    committed = cache.commit(KEY, SUBJECT, files, {})

    assert committed.outcome is Commit.REPLACED
    assert isinstance(cache.fetch(Hit(committed.receipt), out), tuple)


def test_F10_a_blob_without_a_receipt_is_invisible_and_is_not_sent_again(
    faulty: S3Place, place: S3Place, proxy: FaultyProxy, files: dict[str, Path]
) -> None:
    place.store.put_blob(files["engine.plan"])

    assert isinstance(ContentCache(faulty.store).lookup(KEY, SUBJECT), Miss)
    ContentCache(faulty.store).commit(KEY, SUBJECT, files, {})

    assert proxy.count("POST") == 0
    assert proxy.count("PUT", "/blob/") == 1


def test_F11_of_many_writers_one_wins_and_all_use_its_files(place: S3Place, tmp_path: Path) -> None:
    barrier, results = threading.Barrier(8), []

    def work(number: int) -> None:
        path = tmp_path / f"plan{number}"
        path.write_bytes(f"plan {number} ".encode() * 1000)
        barrier.wait(30)
        cache = ContentCache(place.store)
        committed = cache.commit(KEY, SUBJECT, {"engine.plan": path}, {})
        fetched = cache.fetch(Hit(committed.receipt), tmp_path / f"out{number}")
        assert isinstance(fetched, tuple)
        results.append((committed.outcome, bytes_from_receipt(committed.receipt), fetched[0].read_bytes()))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcome.value for outcome, _, _ in results) == ["adopted"] * 7 + ["stored"]
    assert len({receipt for _, receipt, _ in results}) == 1
    assert len({data for _, _, data in results}) == 1


def test_F11_a_conflict_of_two_writers_is_tried_again(
    faulty: S3Place, proxy: FaultyProxy, files: dict[str, Path]
) -> None:
    proxy.script = times(2, Fault(status=409, code="ConditionalRequestConflict"), "PUT", "/receipt/")

    assert ContentCache(faulty.store).commit(KEY, SUBJECT, files, {}).outcome is Commit.STORED
    assert proxy.count("PUT", "/receipt/") == 3


def test_F11_a_writer_that_lost_to_a_receipt_that_is_gone_again_writes_its_own(
    faulty: S3Place, proxy: FaultyProxy, files: dict[str, Path]
) -> None:
    proxy.script = times(1, Fault(status=412, code="PreconditionFailed"), "PUT", "/receipt/")

    assert ContentCache(faulty.store).commit(KEY, SUBJECT, files, {}).outcome is Commit.STORED


def test_F11_a_writer_whose_answer_was_lost_knows_its_own_receipt(
    faulty: S3Place, proxy: FaultyProxy, files: dict[str, Path]
) -> None:
    proxy.script = times(1, Fault(lose=True), "PUT", "/receipt/")

    assert ContentCache(faulty.store).commit(KEY, SUBJECT, files, {}).outcome is Commit.STORED
    assert proxy.count("PUT", "/receipt/") == 2


@pytest.mark.parametrize("words", [("POST", "uploads"), ("PUT", "partNumber=2"), ("POST", "uploadId=")])
def test_F12_an_upload_whose_answers_are_lost_is_completed(
    faulty: S3Place, place: S3Place, proxy: FaultyProxy, files: dict[str, Path], words: tuple[str, ...]
) -> None:
    proxy.script = times(1, Fault(lose=True), *words)

    digest, size_bytes = faulty.store.put_blob(files["engine.plan"])

    place.store.check_blob(digest, size_bytes)


@pytest.mark.parametrize("done", [True, False], ids=["done", "aborted"])
def test_F12_an_upload_that_the_server_does_not_know_any_more_was_done_if_the_file_is_there(
    faulty: S3Place, place: S3Place, proxy: FaultyProxy, files: dict[str, Path], done: bool
) -> None:
    """As Amazon S3 answers to a second completion, and to one of an upload that somebody aborted."""
    unknown = Fault(status=404, code="NoSuchUpload")
    answers = iter([Fault(lose=True), unknown] if done else [unknown])
    proxy.script = lambda request: next(answers, None) if request.is_for("POST", "uploadId=") else None

    committed = ContentCache(faulty.store).commit(KEY, SUBJECT, files, {})

    assert committed.outcome is (Commit.STORED if done else Commit.UNSTORED)
    assert done == (committed.warnings == ())
    assert bool(place.keys()) == done


@pytest.mark.parametrize("words", [("PUT", "partNumber=2"), ("POST", "uploadId=")])
def test_F12_an_upload_that_fails_leaves_no_parts(
    faulty: S3Place, place: S3Place, proxy: FaultyProxy, files: dict[str, Path], words: tuple[str, ...]
) -> None:
    proxy.script = always(SLOW_DOWN, *words)

    committed = ContentCache(faulty.store).commit(KEY, SUBJECT, files, {})

    assert committed.outcome is Commit.UNSTORED
    assert "SlowDown" in committed.warnings[0]
    assert place.uploads() == []
    assert place.keys() == []


def test_F12_what_a_dead_upload_left_is_swept_by_age(place: S3Place) -> None:
    name = f"{place.store.root}blob/sha256/ab/{'ab' * 32}"
    place.client.create_multipart_upload(Bucket=BUCKET, Key=name)

    place.store.sweep(3600)
    assert len(place.uploads()) == 1
    place.store.sweep(0)
    assert place.uploads() == []


def test_F14_a_disk_that_takes_no_more_costs_the_fetch_and_leaves_nothing(
    place: S3Place, stored: Hit, out: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        fetched = ContentCache(place.store).fetch(stored, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert isinstance(fetched, Miss)
    assert "File too large" in fetched.reason
    assert _left(out) == []


def test_F14_no_space_while_a_blob_arrives_costs_the_fetch_and_leaves_nothing(
    place: S3Place, stored: Hit, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> int:
        raise OSError(28, os.strerror(28))

    cache = ContentCache(place.store)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        fetched = cache.fetch(stored, out)

    assert isinstance(fetched, Miss)
    assert "No space left on device" in fetched.reason
    assert _left(out) == []
    assert cache.trouble == ""


def test_F34_a_corrupt_calibration_table_is_rejected(place: S3Place, tmp_path: Path, out: Path) -> None:
    key = key_from_ingredients("calibration", {"model": "m"})
    (tmp_path / "table").write_bytes(b"TRT-8000-EntropyCalibration2\ninput: 3c010a14\n")
    hit = Hit(ContentCache(place.store).commit(key, "digits", {"calibration.table": tmp_path / "table"}, {}).receipt)
    place.overwrite_blob(hit.receipt.blobs[0].digest, b"TRT-8000-EntropyCalibration2\ninput: 3c010a15\n")

    assert isinstance(ContentCache(place.store).fetch(hit, out), Rejected)
    assert _left(out) == []


def test_F36_a_file_that_changes_while_it_is_stored_is_not_committed(
    faulty: S3Place, place: S3Place, proxy: FaultyProxy, files: dict[str, Path], out: Path
) -> None:
    def change() -> None:
        with files["engine.plan"].open("r+b") as file:
            file.seek(10_000_000)
            file.write(b"changed")

    proxy.script = times(1, Fault(before=change), "POST", "uploads")
    cache = ContentCache(faulty.store)

    committed = cache.commit(KEY, SUBJECT, files, {})

    assert committed.outcome is Commit.UNSTORED
    assert "changed while it was being stored" in committed.warnings[0]
    assert place.store.get_receipt(KEY.kind, KEY.digest) is None
    assert not isinstance(ContentCache(place.store).fetch(Hit(committed.receipt), out), tuple)


def test_F37_a_wrong_clock_closes_the_cache_and_is_named(faulty: S3Place, proxy: FaultyProxy) -> None:
    proxy.script = always(Fault(status=403, code="RequestTimeTooSkewed"))
    cache = ContentCache(faulty.store)

    cache.lookup(KEY, SUBJECT)

    assert cache.trouble.startswith("the cache is left alone: the clock of this machine is wrong")


def test_F37_a_clock_that_jumps_makes_no_deadline_pass(
    faulty: S3Place, proxy: FaultyProxy, stored: Hit, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the clock that is set: what S3 is told in signatures comes from elsewhere."""
    jumps = itertools.cycle((0.0, 1e6, -1e6))
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0 + next(jumps))
    proxy.script = times(2, SLOW_DOWN)
    cache = ContentCache(faulty.store)

    assert cache.lookup(KEY, SUBJECT) == stored
    assert isinstance(cache.fetch(stored, out), tuple)
    assert cache.trouble == ""


def test_F40_a_commit_that_is_done_again_changes_nothing(place: S3Place, stored: Hit, files: dict[str, Path]) -> None:
    before = place.keys()
    time.sleep(1.1)

    again = ContentCache(place.store).commit(KEY, SUBJECT, files, {})

    assert again.outcome is Commit.ADOPTED
    assert again.own_files
    assert again.receipt == stored.receipt
    assert place.keys() == before


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(status=404, code="NoSuchBucket"), "there is no such bucket"),
        (Fault(status=403, code="InvalidAccessKeyId"), "its access key is not known"),
        (Fault(status=403, code="SignatureDoesNotMatch"), "the secret key or the address of the endpoint is wrong"),
        (Fault(status=500, code="InternalError"), "it answered GetObject with InternalError"),
        (Fault(status=200, code="Nonsense"), "is not usable"),
    ],
)
def test_a_cache_that_is_required_ends_the_run_with_exit_9(
    faulty: S3Place, proxy: FaultyProxy, fault: Fault, told: str
) -> None:
    proxy.script = always(fault)
    cache = ContentCache(faulty.store, required=True)

    with pytest.raises(CacheError, match=told) as error:
        cache.lookup(KEY, SUBJECT)

    assert error.value.exit_code == 9


def test_missing_credentials_close_the_cache_and_are_named(place: S3Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with S3Place(place.address.endpoint_url or "", prefix=place.prefix) as anonymous:
        cache = ContentCache(anonymous.store)

        cache.lookup(KEY, SUBJECT)

        assert "Unable to locate credentials" in cache.trouble
        assert isinstance(cache.lookup(KEY, SUBJECT), Off)


def test_a_cancelled_run_waits_for_no_server(proxy: FaultyProxy, place: S3Place) -> None:
    cancel = threading.Event()
    proxy.script = always(Fault(status=503, code="SlowDown", delay_s=0.2))
    with S3Place(proxy.endpoint_url, prefix=place.prefix, cancel=cancel) as cancelled:
        cancel.set()
        with pytest.raises(StoreFailed, match="cancelled"):
            cancelled.store.get_receipt("engine", KEY.digest)

    assert proxy.requests == []


def test_a_blob_of_another_length_is_refused_before_it_is_read(
    faulty: S3Place, place: S3Place, proxy: FaultyProxy, stored: Hit, out: Path
) -> None:
    place.overwrite_blob(stored.receipt.blobs[0].digest, PLAN * 2)

    with pytest.raises(BlobDamaged, match="longer"):
        faulty.store.fetch_blob(stored.receipt.blobs[0].digest, len(PLAN), out / "copy")

    assert proxy.count("GET") == 1


def test_a_look_up_is_one_request(faulty: S3Place, proxy: FaultyProxy, stored: Hit) -> None:
    assert ContentCache(faulty.store).lookup(KEY, SUBJECT) == stored
    assert len(proxy.requests) == 1


def test_a_blob_that_is_stored_again_late_starts_its_age_anew_so_that_nobody_prunes_it(
    place: S3Place, files: dict[str, Path]
) -> None:
    digest, size_bytes = place.store.put_blob(files["engine.plan"])
    listed = next(found for _, found in place.store.blobs())
    time.sleep(1.1)
    with S3Place(place.address.endpoint_url or "", prefix=place.prefix, renew_blob_s=0) as late:
        late.store.put_blob(files["engine.plan"])

    assert not place.store.delete_blob(digest, if_written_s=listed.used_s)
    place.store.check_blob(digest, size_bytes)


@pytest.mark.parametrize(("status", "code"), [(405, "MethodNotAllowed"), (403, "AccessDenied"), (503, "SlowDown")])
def test_a_blob_that_the_server_does_not_copy_is_sent_again(
    proxy: FaultyProxy, place: S3Place, stored: Hit, files: dict[str, Path], status: int, code: str
) -> None:
    proxy.script = lambda request: Fault(status=status, code=code) if "x-amz-copy-source" in request.headers else None
    with S3Place(proxy.endpoint_url, prefix=place.prefix, renew_blob_s=0) as opened:
        committed = ContentCache(opened.store).commit(KEY, SUBJECT, files, {})

    assert (committed.outcome, committed.warnings) == (Commit.ADOPTED, ())
    assert committed.receipt == stored.receipt


def test_receipts_that_cannot_be_renewed_are_tried_once_and_found_all_the_same(
    proxy: FaultyProxy, place: S3Place, stored: Hit
) -> None:
    copies = []

    def script(request: Request) -> Fault | None:
        if "x-amz-copy-source" not in request.headers:
            return None
        copies.append(request)
        return Fault(status=403, code="AccessDenied")

    proxy.script = script
    with S3Place(proxy.endpoint_url, prefix=place.prefix, renew_receipt_s=0) as opened:
        cache = ContentCache(opened.store)
        found = [cache.lookup(KEY, SUBJECT) for _ in range(5)]

    assert found == [stored] * 5
    assert len(copies) == 1


def test_a_receipt_that_is_used_late_starts_its_age_anew(place: S3Place, stored: Hit) -> None:
    before = next(found for _, _, found in place.store.receipts())
    time.sleep(1.1)
    with S3Place(place.address.endpoint_url or "", prefix=place.prefix, renew_receipt_s=0) as late:
        assert ContentCache(late.store).lookup(KEY, SUBJECT) == stored

    after = next(found for _, _, found in place.store.receipts())
    assert after.used_s > before.used_s
    assert ContentCache(place.store).lookup(KEY, SUBJECT) == stored


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A folder in memory, so that nothing is left on the disk."""
    folder = Path("/dev/shm") / f"s3-{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def test_upkeep_works_as_over_a_folder(place: S3Place, stored: Hit, files: dict[str, Path], small_disk: Path) -> None:
    other = key_from_ingredients("engine", {"model": "another"})
    files["engine.plan"].write_bytes(PLAN[::-1])
    ContentCache(place.store).commit(other, SUBJECT, files, {})
    place.overwrite_blob(stored.receipt.blobs[0].digest, b"x" * len(PLAN))

    verified = verify_entries(place.store, now_s=time.time())
    assert [entry.key for entry in verified if entry.damage] == [KEY.digest]
    dry = prune(place.store, now_s=time.time(), damaged=True, grace_s=0, dry_run=True)
    assert ContentCache(place.store).lookup(KEY, SUBJECT) == stored
    done = prune(place.store, now_s=time.time(), damaged=True, grace_s=0)

    assert [entry.key for entry in dry.entries] == [KEY.digest]
    assert dry.blobs == done.blobs
    assert [entry.key for entry in done.entries] == [KEY.digest]
    kept = ContentCache(place.store).lookup(other, SUBJECT)
    assert isinstance(kept, Hit)
    assert isinstance(ContentCache(place.store).fetch(kept, small_disk), tuple)


def test_what_a_run_in_progress_has_stored_is_not_pruned(place: S3Place, stored: Hit, out: Path) -> None:
    pruned = prune(place.store, now_s=time.time(), keep_bytes=0)

    assert pruned.entries == ()
    assert pruned.blobs == ()
    assert isinstance(ContentCache(place.store).fetch(stored, out), tuple)


def test_the_server_of_the_tests_honours_conditions(gateway: Gateway, place: S3Place) -> None:
    assert gateway.endpoint_url == place.address.endpoint_url
    name = f"{place.prefix}/condition"
    first = place.client.put_object(Bucket=BUCKET, Key=name, Body=b"1", IfNoneMatch="*")
    with pytest.raises(place.client.exceptions.ClientError, match="PreconditionFailed"):
        place.client.put_object(Bucket=BUCKET, Key=name, Body=b"2", IfNoneMatch="*")
    place.client.put_object(Bucket=BUCKET, Key=name, Body=b"2", IfMatch=first["ETag"].strip('"'))
    with pytest.raises(place.client.exceptions.ClientError, match="PreconditionFailed"):
        place.client.put_object(Bucket=BUCKET, Key=name, Body=b"3", IfMatch=first["ETag"].strip('"'))
