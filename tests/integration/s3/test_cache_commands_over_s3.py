"""The ``cache`` command over S3, as over a folder: every action on a real server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.cache.content import ContentCache
from pipeline.cli import main
from pipeline.digest import digest_from_bytes
from pipeline.keys import key_from_ingredients
from tests.support.s3_places import BUCKET, S3Place

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.ceph import Gateway

ENTRIES = 40


class Cache:
    """A cache with ``ENTRIES`` engines, two of them with the same plan, and how the command is called on it."""

    def __init__(self, place: S3Place, endpoint_url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.place = place
        self._url = f"s3://{BUCKET}/{place.prefix}?endpoint={endpoint_url}"
        self._capsys = capsys
        content = ContentCache(place.store)
        self.keys = [key_from_ingredients("engine", {"model": "m", "level": number}) for number in range(ENTRIES)]
        for number, key in enumerate(self.keys):
            plan = folder / "plan"
            plan.write_bytes(_plan(number))
            content.commit(key, f"digits/sm_89/{number}", {"engine.plan": plan}, {"duration_s": 1.0})

    def call(self, action: str, *arguments: str, code: int = 0) -> Any:
        """What the action told a program."""
        command = ["cache", action, *arguments, "--json", "--cache", self._url, "--cache-scope", "trusted"]
        self._capsys.readouterr()
        assert main(command, {}) == code
        return json.loads(self._capsys.readouterr().out)

    def spoil(self, key: int) -> None:
        digest = digest_from_bytes(_plan(key))
        self.place.overwrite_blob(digest, _plan(key).swapcase())


def _plan(number: int) -> bytes:
    return b"plan" * max(number, 1)


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
