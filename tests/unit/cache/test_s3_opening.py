from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pipeline.cache.s3_address import S3Address
from pipeline.cache.s3_opening import CachePlace, opened_for_upkeep, opened_store, place_from_text
from pipeline.cache.scope import Scope
from pipeline.errors import SettingsError

BUCKET = S3Address(bucket="engines", prefix="team")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("/mnt/cache", CachePlace(Path("/mnt/cache"), None)),
        ("cache", CachePlace(Path("cache").absolute(), None)),
        ("a,b", CachePlace(Path("a,b").absolute(), None)),
        ("s3://engines/team", CachePlace(None, BUCKET)),
        ("/mnt/cache,s3://engines/team", CachePlace(Path("/mnt/cache"), BUCKET)),
    ],
)
def test_a_cache_is_a_folder_a_bucket_or_both(text: str, place: CachePlace) -> None:
    assert place_from_text(text) == place


@pytest.mark.parametrize("text", ["", ",s3://engines", "gs://engines", "https://engines", "S3://engines"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="cannot be used"):
        place_from_text(text)


@pytest.mark.parametrize(
    ("place", "scope", "name", "far"),
    [
        (CachePlace(Path("/c"), None), "pr/1/2", "/c", False),
        (CachePlace(None, BUCKET), "trusted", "s3://engines/team/v1/trusted", True),
        (CachePlace(None, BUCKET), "pr/1/2", "s3://engines/team/v1/pr/1/2", True),
        (CachePlace(Path("/c"), BUCKET), "trusted", "s3://engines/team/v1/trusted (kept in /c/scopes/trusted)", True),
    ],
)
def test_a_store_is_opened_without_asking_anybody(place: CachePlace, scope: str, name: str, far: bool) -> None:
    store = opened_store(place, Scope(scope), seal=None, cancel=threading.Event())

    assert str(store) == name
    assert store.far is far


def test_upkeep_is_of_one_scope_alone() -> None:
    place = CachePlace(Path("/c"), BUCKET)

    assert str(opened_for_upkeep(place, Scope("pr/1/2"), seal=None, cancel=threading.Event())).endswith("v1/pr/1/2")
