"""The timing cache's file, with an object in place of TensorRT's that is a set of words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.build.builder_log import BuilderLog
from pipeline.build.timing_cache import TACTICS_FILE, kept_tactics, load_timing_cache

if TYPE_CHECKING:
    from pathlib import Path


class Words:
    """Stands for ``ITimingCache``."""

    def __init__(self, data: bytes) -> None:
        self.words = set(data.split())

    def combine(self, other: Words, *, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.words |= other.words
        return True

    def serialize(self) -> bytes:
        return b" ".join(sorted(self.words))


class Config:
    """Stands for ``IBuilderConfig``: refuses a cache that holds ``foreign``."""

    def __init__(self) -> None:
        self.cache: Words | None = None

    def create_timing_cache(self, data: bytes) -> Words:
        return Words(data)

    def set_timing_cache(self, cache: Words, *, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if b"foreign" in cache.words:
            return False
        self.cache = cache
        return True


def test_the_files_of_a_folder_are_merged_and_the_record_has_them_all(tmp_path: Path) -> None:
    for name, word in (("0-a", b"conv"), ("1-b", b"pool")):
        (tmp_path / f"{name}.timing").write_bytes(word)
    cache = load_timing_cache(Config(), tmp_path, BuilderLog())
    cache.words.add(b"gemm")
    built = tmp_path / "built"
    built.mkdir()
    assert kept_tactics(cache, built) == TACTICS_FILE
    assert (built / TACTICS_FILE).read_bytes() == b"conv gemm pool"


def test_the_tactics_of_one_engine_are_loaded_from_their_file(tmp_path: Path) -> None:
    (tmp_path / "tactics.timing").write_bytes(b"conv")
    assert load_timing_cache(Config(), tmp_path / "tactics.timing", BuilderLog()).words == {b"conv"}


def test_a_cache_that_cannot_be_read_is_left_out_aloud(tmp_path: Path) -> None:
    (tmp_path / "GPU-1.timing").mkdir()
    log = BuilderLog()
    assert load_timing_cache(Config(), tmp_path, log).words == set()
    assert log.warnings


def test_a_cache_that_does_not_fit_is_left_out_aloud(tmp_path: Path) -> None:
    path, config, log = tmp_path / "a.timing", Config(), BuilderLog()
    path.write_bytes(b"foreign")
    assert load_timing_cache(config, path, log).words == set()
    assert any("does not fit" in warning for warning in log.warnings)


def test_without_a_place_the_cache_is_empty(tmp_path: Path) -> None:
    assert load_timing_cache(Config(), None, BuilderLog()).words == set()
    assert load_timing_cache(Config(), tmp_path / "nowhere", BuilderLog()).words == set()
