from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from pipeline.cache.answers import Hit
from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from tests.support.aged_entries import damaged_entries
from tests.support.cache_processes import entry_key, outcome, start

if TYPE_CHECKING:
    from pathlib import Path

_THREADS = 8


def test_F11_of_sixteen_writers_in_two_processes_one_wins_and_all_use_its_files(tmp_path: Path) -> None:
    for attempt in range(3):
        cache, go = tmp_path / f"cache{attempt}", tmp_path / f"go{attempt}"
        processes = [start("commit_at_once", cache, go, name, _THREADS) for name in ("a", "b")]
        time.sleep(0.5)
        go.touch()
        results = [result for process in processes for result in outcome(process)["results"]]
        stored = [result for result in results if result["outcome"] == "stored"]

        assert len(results) == 2 * _THREADS
        assert len(stored) == 1
        assert {result["outcome"] for result in results} == {"stored", "adopted"}
        assert [result["own_files"] for result in results].count(True) == 1
        assert {result["receipt"] for result in results} == {stored[0]["receipt"]}
        assert [result["warnings"] for result in results] == [[]] * len(results)
        winner = json.loads(stored[0]["receipt"])["metadata"]["writer"]
        expected = [f"{name} {winner} " * 2000 for name in ("engine.plan", "outcome.json")]
        assert all(result["fetched"] == expected for result in results)
        assert isinstance(ContentCache(LocalStore(cache)).lookup(entry_key(), "subject"), Hit)
        assert damaged_entries(LocalStore(cache)) == []


def test_F11_readers_writers_and_pruners_never_see_a_damaged_entry(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    processes = [start("churn", cache, seed, 2.0) for seed in (0, 1000, 2000)]
    counts = [outcome(process) for process in processes]

    assert all(count["hits"] > 0 and count["misses"] > 0 for count in counts)
    assert [count["rejected"] for count in counts] == [0, 0, 0]
    assert [count["failed"] for count in counts] == [0, 0, 0]
    # A pruner without a grace period may take a file from under a commit; that is a miss, and never wrong bytes.
    damaged = damaged_entries(LocalStore(cache))
    assert all(entry.damage.endswith("is gone") for entry in damaged)
