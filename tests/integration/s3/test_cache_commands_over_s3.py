"""The ``cache`` command over S3, as over a folder: every action on a real server."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from pipeline.cache.answers import Hit
from pipeline.cache.content import ContentCache
from pipeline.cache.pruning import prune
from pipeline.cache.s3_bucket import S3Bucket
from pipeline.cache_commands import dispatch
from pipeline.commands.cli import main
from pipeline.digest import digest_from_bytes
from pipeline.keys import key_from_ingredients
from tests.support.s3_places import BUCKET, S3Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pipeline.keys import Key
    from tests.support.ceph import Gateway

ENTRIES = 40
DAY_S = 86400.0

Item = TypeVar("Item")


class Cache:
    """A cache with ``ENTRIES`` engines, two of them with the same plan, and how the command is called on it."""

    def __init__(self, place: S3Place, endpoint_url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.place = place
        self.endpoint_url = endpoint_url
        self._url = f"s3://{BUCKET}/{place.prefix}?endpoint={endpoint_url}"
        self._capsys = capsys
        content = ContentCache(place.store)
        self.keys = [key_from_ingredients("engine", {"model": "m", "level": number}) for number in range(ENTRIES)]
        for number, key in enumerate(self.keys):
            plan = folder / "plan"
            plan.write_bytes(_plan(number))
            content.commit(key, _subject(number), {"engine.plan": plan}, {"duration_s": 1.0})

    def call(self, action: str, *arguments: str, code: int = 0) -> Any:
        """What the action told a program."""
        command = ["cache", action, *arguments, "--json", "--cache", self._url, "--cache-scope", "trusted"]
        self._capsys.readouterr()
        assert main(command, {}) == code
        return json.loads(self._capsys.readouterr().out)

    def last_use_s(self) -> float:
        return max(stored.used_s for _, _, stored in self.place.store.receipts())

    def use(self, *numbers: int) -> None:
        """Let a run find these entries, more than a second after all that was done before."""
        time.sleep(1.1)
        with S3Place(self.endpoint_url, prefix=self.place.prefix, renew_receipt_s=0) as run:
            for number in numbers:
                assert isinstance(ContentCache(run.store).lookup(self.keys[number], _subject(number)), Hit)

    def whole(self, folder: Path) -> list[int]:
        """The numbers of the entries that a run finds and fetches, file by file."""
        content = ContentCache(self.place.store)
        return [number for number, key in enumerate(self.keys) if fetched(content, key, _subject(number), folder)]

    def spoil(self, key: int) -> None:
        digest = digest_from_bytes(_plan(key))
        self.place.overwrite_blob(digest, _plan(key).swapcase())


def _plan(number: int) -> bytes:
    return b"plan" * max(number, 1)


def _subject(number: int) -> str:
    return f"digits/sm_89/{number}"


def fetched(content: ContentCache, key: Key, subject: str, folder: Path) -> bool:
    """Whether the entry is found with all of its files."""
    found = content.lookup(key, subject)
    return isinstance(found, Hit) and isinstance(content.fetch(found, folder / key.digest.hex), tuple)


def set_clock(monkeypatch: pytest.MonkeyPatch, now_s: float) -> None:
    """The command's own clock; the objects of a real server cannot be made older."""
    monkeypatch.setattr(dispatch, "time", SimpleNamespace(time=lambda: now_s))


@pytest.fixture
def cache(place: S3Place, gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cache:
    return Cache(place, gateway.endpoint_url, tmp_path, capsys)


def test_list_names_every_entry_once(cache: Cache) -> None:
    listed = cache.call("list")
    assert sorted(entry["key"] for entry in listed) == sorted(str(key.digest) for key in cache.keys)


def test_stats_count_a_shared_blob_once(cache: Cache) -> None:
    told = cache.call("stats")
    (kind,) = told["kinds"]
    assert (kind["entries"], kind["blobs"], kind["made_in_s"]) == (ENTRIES, ENTRIES - 1, float(ENTRIES))


def test_explain_tells_what_two_keys_do_not_have_in_common(cache: Cache) -> None:
    told = cache.call("explain", *(key.digest.hex for key in cache.keys[3:5]))
    assert told["differences"] == [{"name": "level", "before": 3, "after": 4}]


def test_verify_reads_every_blob_and_finds_the_damaged_one(cache: Cache) -> None:
    assert cache.call("verify")["damaged"] == []
    cache.spoil(7)
    (damaged,) = cache.call("verify", code=9)["damaged"]
    assert damaged["subject"] == "digits/sm_89/7"


def test_prune_says_what_would_go_and_removes_nothing_that_was_written_lately(cache: Cache) -> None:
    before = cache.place.keys()
    assert cache.call("prune", "--older-than-days", "0")["dry_run"]
    assert cache.call("prune", "--older-than-days", "0", "--yes")["entries"] == []
    assert cache.place.keys() == before


def test_a_listing_goes_on_where_a_page_ends(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    pages, more = [], S3Bucket.pages

    def small(self: S3Bucket, operation: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        limit = {"MaxKeys": 7} if operation == "ListObjectsV2" else {}
        for page in more(self, operation, **parameters, **limit):
            pages.append(page)
            yield page

    monkeypatch.setattr(S3Bucket, "pages", small)
    assert len({entry["key"] for entry in cache.call("list")}) == ENTRIES
    assert [page["KeyCount"] for page in pages] == [7, 7, 7, 7, 7, 5]


def test_prune_by_age_removes_what_nobody_used_and_no_blob_that_another_entry_needs(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unused_s = cache.last_use_s()
    cache.use(0, 5, 6)  # The first has its plan in common with the second.
    set_clock(monkeypatch, unused_s + 30 * DAY_S)

    dry = cache.call("prune", "--older-than-days", "30")
    assert cache.whole(tmp_path / "before") == list(range(ENTRIES))
    done = cache.call("prune", "--older-than-days", "30", "--yes")

    assert (len(done["entries"]), len(done["blobs"])) == (ENTRIES - 3, ENTRIES - 4)
    assert {**dry, "dry_run": False} == done
    assert cache.whole(tmp_path / "after") == [0, 5, 6]
    assert len(cache.place.keys()) == 6


def test_prune_to_a_size_keeps_what_was_used_last(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache.use(7, 8)
    size_bytes = sum(entry["size_bytes"] for entry in cache.call("list") if entry["subject"][-2:] in ("/7", "/8"))
    set_clock(monkeypatch, time.time() + 2 * DAY_S)

    told = cache.call("prune", "--keep-mib", str((size_bytes + 1) / (1 << 20)), "--yes")

    assert told["kept_bytes"] == size_bytes
    assert cache.whole(tmp_path) == [7, 8]
    assert len(cache.place.keys()) == 4


def test_prune_removes_what_no_entry_names_once_no_run_can_be_storing_it(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lonely").write_bytes(b"lonely")
    digest, _ = cache.place.store.put_blob(tmp_path / "lonely")

    assert cache.call("stats")["unreachable"] == {"blobs": 1, "size_bytes": 6, "new": 1}
    assert cache.call("prune", "--yes")["blobs"] == []
    set_clock(monkeypatch, time.time() + DAY_S)
    assert cache.call("prune")["blobs"] == [str(digest)]
    assert cache.place.store.blob_size(digest) == 6
    assert cache.call("prune", "--yes")["blobs"] == [str(digest)]

    assert cache.place.store.blob_size(digest) is None
    assert cache.whole(tmp_path) == list(range(ENTRIES))


def test_prune_takes_nothing_from_a_run_that_works_meanwhile(cache: Cache, tmp_path: Path) -> None:
    """The run finds one entry while receipts are read, and stores two of known plans while receipts go."""
    again = [key_from_ingredients("engine", {"model": "again", "level": number}) for number in (20, 30)]

    def store(number: int, place: S3Place) -> None:
        (tmp_path / "plan").write_bytes(_plan(number))
        key = again[0] if number == 20 else again[1]
        ContentCache(place.store).commit(key, "digits/again", {"engine.plan": tmp_path / "plan"}, {})

    with S3Place(cache.endpoint_url, prefix=cache.place.prefix, renew_receipt_s=0, renew_blob_s=0) as run:

        def watch(label: str, items: Iterable[Item], /) -> Iterator[Item]:
            yield from items
            if label == "reading receipts":
                cache.use(3)
                store(20, run)
            if label == "removing entries":
                store(30, run)

        pruned = prune(cache.place.store, now_s=time.time() + 30 * DAY_S, keep_bytes=0, watch=watch)

        assert len(pruned.entries) == ENTRIES - 1
        assert cache.whole(tmp_path / "left") == [3]
        assert [fetched(ContentCache(run.store), key, "digits/again", tmp_path / "again") for key in again] == [
            True
        ] * 2
    assert len(cache.place.keys()) == 6
