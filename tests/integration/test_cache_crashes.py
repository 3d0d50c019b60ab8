from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from pipeline.cache.answers import Commit, Hit, Miss
from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.cache.pruning import prune
from tests.support.aged_entries import damaged_entries
from tests.support.cache_processes import entry_key, outcome, start, write_files

if TYPE_CHECKING:
    from pathlib import Path


def test_F13_a_process_killed_at_any_step_of_a_commit_leaves_a_valid_store(tmp_path: Path) -> None:
    steps = outcome(start("commit_and_die", tmp_path / "whole", tmp_path / "scratch", 10_000))["steps"]
    assert steps > 15

    hits = 0
    for step in range(1, steps + 1):
        cache = tmp_path / f"cache{step}"
        process = start("commit_and_die", cache, tmp_path / f"scratch{step}", step)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        hits += _check_and_mend(cache, tmp_path / f"mend{step}")

    assert 0 < hits < steps


def test_F13_a_process_killed_at_any_step_of_a_repair_leaves_a_store_that_can_be_repaired(tmp_path: Path) -> None:
    def damaged_cache(name: str) -> Path:
        store = LocalStore(tmp_path / name)
        receipt = ContentCache(store).commit(entry_key(), "subject", write_files(tmp_path / "in", "old"), {}).receipt
        path = store._blob_path(receipt.blobs[0].digest)
        path.chmod(0o644)
        path.write_bytes(b"damaged")
        return tmp_path / name

    result = outcome(start("commit_and_die", damaged_cache("whole"), tmp_path / "scratch", 10_000))
    assert result["outcome"] == "replaced"

    for step in range(1, result["steps"] + 1, 2):
        cache = damaged_cache(f"cache{step}")
        process = start("commit_and_die", cache, tmp_path / f"scratch{step}", step)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        content = ContentCache(LocalStore(cache))
        mended = content.commit(entry_key(), "subject", write_files(tmp_path / f"mend{step}", "new"), {})
        assert mended.outcome in (Commit.REPLACED, Commit.ADOPTED)
        assert damaged_entries(LocalStore(cache)) == []


def _check_and_mend(cache: Path, scratch: Path) -> bool:
    """Whether the entry was there; in any case it is afterwards, and nothing else is once the cache was pruned."""
    store = LocalStore(cache)
    content = ContentCache(store)
    found = content.lookup(entry_key(), "subject")
    assert isinstance(found, Hit | Miss)
    if isinstance(found, Hit):
        assert isinstance(content.fetch(found, scratch / "out"), tuple)
    committed = content.commit(entry_key(), "subject", write_files(scratch / "in", "mend"), {})
    assert committed.outcome is (Commit.ADOPTED if isinstance(found, Hit) else Commit.STORED)
    assert damaged_entries(store) == []

    for path in cache.rglob("*"):
        if path.is_file() and path.suffix != ".json":
            os.utime(path, (0, 0))
    prune(store, now_s=time.time(), grace_s=0)
    assert list((cache / "v1" / "tmp").iterdir()) == []
    assert len(list(store.blobs())) == len(committed.receipt.blobs)
    assert isinstance(content.fetch(Hit(committed.receipt), scratch / "again"), tuple)
    return isinstance(found, Hit)
