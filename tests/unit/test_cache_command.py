from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, NoReturn

import pytest

from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.cache.store import StoreFailed
from pipeline.cache_commands import dispatch
from pipeline.commands.cli import main
from pipeline.keys import key_from_ingredients

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with one engine."""
    (tmp_path / "plan").write_bytes(b"plan")
    content = ContentCache(LocalStore(tmp_path / "cache"))
    key = key_from_ingredients("engine", {"model": "m"})
    content.commit(key, "digits/sm_89/fp16", {"engine.plan": tmp_path / "plan"}, {"duration_s": 2.0})
    return tmp_path / "cache"


def grow_old(cache: Path, days: float) -> None:
    """Let everything in the cache be so old, as if nobody had used it since."""
    then = time.time() - days * 86400
    for path in (path for path in cache.rglob("*") if path.is_file()):
        os.utime(path, (then, then))


def files_of(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_list_names_each_entry(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "list", "--cache", str(cache)], {}) == 0
    said = capsys.readouterr().out
    assert "digits/sm_89/fp16" in said
    assert "1 entries" in said


def test_list_can_be_read_by_a_program(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["cache", "list", "--json", "--cache", str(cache)], {})
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["kind"], entry["subject"], entry["duration_s"]) == ("engine", "digits/sm_89/fp16", 2.0)


def test_verify_finds_a_damaged_blob_and_ends_with_9(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (blob,) = (path for path in (cache / "v1/blob").rglob("*") if path.is_file())
    blob.chmod(0o644)
    blob.write_bytes(b"nalp")
    assert main(["cache", "verify", "--cache", str(cache)], {}) == 9
    assert "1 damaged" in capsys.readouterr().out


def test_verify_of_a_sound_cache_ends_with_0(cache: Path) -> None:
    assert main(["cache", "verify", "--cache", str(cache)], {}) == 0


def test_prune_is_a_dry_run_unless_told_otherwise(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "prune", "--older-than-days", "0", "--cache", str(cache)], {}) == 0
    assert "nothing was removed" in capsys.readouterr().out
    assert list((cache / "v1/receipt").rglob("*.json"))


def test_prune_spares_what_a_run_in_progress_may_need(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "prune", "--older-than-days", "0", "--yes", "--cache", str(cache)], {}) == 0
    assert "1 more were used within the last 1 h 0 min" in capsys.readouterr().out
    assert list((cache / "v1/receipt").rglob("*.json"))


def test_prune_removes_what_was_unused_for_so_long(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grow_old(cache, days=31)
    assert main(["cache", "prune", "--older-than-days", "30", "--yes", "--cache", str(cache)], {}) == 0
    assert "removed 1 entries and 1 blobs" in capsys.readouterr().out
    assert files_of(cache) == []


def test_prune_keeps_what_was_used_since(cache: Path) -> None:
    grow_old(cache, days=29)
    before = files_of(cache)
    main(["cache", "prune", "--older-than-days", "30", "--yes", "--cache", str(cache)], {})
    assert files_of(cache) == before


def test_prune_to_a_size_removes_what_does_not_fit(cache: Path) -> None:
    grow_old(cache, days=1)
    assert main(["cache", "prune", "--keep-mib", "0", "--yes", "--cache", str(cache)], {}) == 0
    assert files_of(cache) == []


@pytest.mark.parametrize(("options", "left"), [([], 1), (["--damaged"], 0)])
def test_prune_reads_blobs_and_removes_damaged_entries_only_where_it_is_told_to(
    cache: Path, options: list[str], left: int
) -> None:
    (blob,) = (path for path in (cache / "v1/blob").rglob("*") if path.is_file())
    blob.chmod(0o644)
    blob.write_bytes(b"nalp")
    assert main(["cache", "prune", *options, "--yes", "--cache", str(cache)], {}) == 0
    assert len(list((cache / "v1/receipt").rglob("*.json"))) == left


def test_prune_says_to_a_program_what_it_would_free(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grow_old(cache, days=31)
    size_bytes = sum(path.stat().st_size for path in files_of(cache))
    main(["cache", "prune", "--older-than-days", "30", "--json", "--cache", str(cache)], {})
    told = json.loads(capsys.readouterr().out)
    assert (told["dry_run"], told["freed_bytes"], told["kept_bytes"]) == (True, size_bytes, 0)


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "list", "--cache", str(tmp_path / "typo")], {}) == 2
    assert "is no cache folder" in capsys.readouterr().err
    assert not (tmp_path / "typo").exists()


def test_a_bucket_is_looked_after_from_a_machine_without_the_folder_in_front(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dispatch, "store_from_settings", lambda *_, **__: LocalStore(cache))
    assert main(["cache", "list", "--cache", f"{tmp_path}/new,s3://bucket/prefix"], {}) == 0
    assert "1 entries" in capsys.readouterr().out


def test_a_cache_that_is_switched_off_cannot_be_looked_after(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "verify", "--cache", "none"], {}) == 2
    assert "there is no cache" in capsys.readouterr().err


def test_a_cache_that_cannot_be_read_ends_with_9_and_how_to_mend_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing(LocalStore):
        def receipts(self, kind: str | None = None) -> NoReturn:
            raise StoreFailed("it gives no answer", fix="set the clock")

    monkeypatch.setattr(dispatch, "store_from_settings", lambda *_, **__: Failing(cache))
    assert main(["cache", "list", "--cache", str(cache)], {}) == 9
    assert "it gives no answer; set the clock" in capsys.readouterr().err


def test_what_verify_found_can_be_read_by_a_program(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (receipt,) = (cache / "v1/receipt").rglob("*.json")
    receipt.chmod(0o644)
    receipt.write_bytes(b"{}")
    assert main(["cache", "verify", "--json", "--cache", str(cache)], {}) == 9
    told = json.loads(capsys.readouterr().out)
    assert [entry["subject"] for entry in told["damaged"]] == [None]
    assert len(told["orphans"]) == 1


def commit(cache: Path, tmp_path: Path, **ingredients: str) -> str:
    """One more engine, made from ``ingredients``; the first digits of its key."""
    key = key_from_ingredients("engine", ingredients)
    (tmp_path / "plan").write_bytes(json.dumps(ingredients).encode())
    ContentCache(LocalStore(cache)).commit(key, "digits/sm_89/int8", {"engine.plan": tmp_path / "plan"}, {})
    return key.digest.hex[:12]


def test_stats_count_entries_bytes_and_the_seconds_saved(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "stats", "--json", "--cache", str(cache)], {}) == 0
    told = json.loads(capsys.readouterr().out)
    (kind,) = told["kinds"]
    assert (kind["kind"], kind["entries"], kind["made_in_s"]) == ("engine", 1, 2.0)


def test_stats_can_be_read_by_a_person(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "stats", "--cache", str(cache)], {}) == 0
    assert "engine" in capsys.readouterr().out


def test_explain_names_what_an_entry_was_made_from(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = commit(cache, tmp_path, model="m", level="3")
    assert main(["cache", "explain", key, "--cache", str(cache)], {}) == 0
    said = capsys.readouterr().out
    assert "made from 2 ingredients" in said
    assert "digits/sm_89/int8" in said


def test_explain_of_two_keys_tells_what_differs(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [commit(cache, tmp_path, model="m", level=level) for level in ("3", "5")]
    assert main(["cache", "explain", *keys, "--cache", str(cache)], {}) == 0
    said = capsys.readouterr().out
    assert "1 of 2 ingredients differ" in said
    assert "3 -> 5" in said


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (["abc"], "is no key"),
        (["000000"], "no key begins with 000000"),
        (["000000", "000000", "000000"], "three keys cannot be compared"),
    ],
)
def test_a_key_that_cannot_be_explained_is_a_wrong_call(
    cache: Path, capsys: pytest.CaptureFixture[str], keys: list[str], told: str
) -> None:
    assert main(["cache", "explain", *keys, "--cache", str(cache)], {}) == 2
    assert told in capsys.readouterr().err


def test_a_damaged_entry_cannot_be_explained(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = commit(cache, tmp_path, model="m2")
    (receipt,) = (cache / "v1/receipt").rglob(f"{key}*.json")
    receipt.chmod(0o644)
    receipt.write_bytes(b"{}")
    assert main(["cache", "explain", key, "--cache", str(cache)], {}) == 9
    assert "cannot be explained" in capsys.readouterr().err
