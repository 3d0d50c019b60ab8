from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.cli import main
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
    assert "1 more were used within the last hour" in capsys.readouterr().out
    assert list((cache / "v1/receipt").rglob("*.json"))
