from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from pipeline.cache.answers import Commit, Hit, Miss
from pipeline.cache.content import ContentCache
from pipeline.cache.verifying import verify_entries
from tests.support.s3_processes import entry_key, outcome, start, write_files

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.s3_places import S3Place

_DEATHS = 200


def test_F12_F13_of_two_hundred_processes_killed_while_they_store_none_leaves_anything_broken(
    place: S3Place, tmp_path: Path
) -> None:
    processes = [start("die_often", place.prefix, first, _DEATHS // 2) for first in (0, _DEATHS // 2)]
    ends = [end for process in processes for end in outcome(process)["ends"]]
    assert len(ends) == _DEATHS
    assert ends.count(-signal.SIGKILL) > _DEATHS // 2

    cache = ContentCache(place.store)
    found = [cache.lookup(entry_key(number), "subject") for number in range(_DEATHS)]
    hits = [number for number, each in enumerate(found) if isinstance(each, Hit)]
    assert all(isinstance(each, Hit | Miss) for each in found)
    assert 0 < len(hits) < _DEATHS
    assert cache.trouble == ""
    verified = list(verify_entries(place.store, now_s=time.time()))
    assert len(verified) == len(hits)
    assert [entry for entry in verified if entry.damage] == []
    assert len(place.uploads()) > 0

    missed = next(number for number, each in enumerate(found) if isinstance(each, Miss))
    committed = cache.commit(entry_key(missed), "subject", write_files(tmp_path, missed), {})
    assert committed.outcome is Commit.STORED
    assert isinstance(cache.fetch(Hit(committed.receipt), tmp_path / "out"), tuple)
    place.store.sweep(0)
    assert place.uploads() == []


def test_F11_of_many_processes_that_store_one_key_one_wins(place: S3Place, tmp_path: Path) -> None:
    go = tmp_path / "go"
    processes = [start("commit_at_once", place.prefix, go, name) for name in "abcd"]
    time.sleep(3)
    go.touch()
    results = [outcome(process) for process in processes]

    assert sorted(result["outcome"] for result in results) == ["adopted"] * 3 + ["stored"]
    assert len({result["digest"] for result in results}) == 1
