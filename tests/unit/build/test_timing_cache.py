"""The timing cache's file, with an object in place of TensorRT's that is a set of words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.build.builder_log import BuilderLog
from pipeline.build.timing_cache import load_timing_cache, save_timing_cache, timing_cache_name

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


def test_the_name_changes_with_version_gpu_and_driver() -> None:
    names = {
        timing_cache_name(*parts)
        for parts in (("8.6.0", "L4", "1"), ("8.6.1", "L4", "1"), ("8.6.0", "T4", "1"), ("8.6.0", "L4", "2"))
    }
    assert len(names) == 4


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path, config = tmp_path / "timing/a.timing", Config()
    cache = load_timing_cache(config, path, BuilderLog())
    cache.words.add(b"conv")
    save_timing_cache(config, cache, path)
    assert load_timing_cache(Config(), path, BuilderLog()).words == {b"conv"}


def test_what_another_build_saved_meanwhile_is_kept(tmp_path: Path) -> None:
    path, ours, theirs = tmp_path / "a.timing", Config(), Config()
    our_cache, their_cache = (load_timing_cache(each, path, BuilderLog()) for each in (ours, theirs))
    our_cache.words.add(b"ours")
    their_cache.words.add(b"theirs")
    save_timing_cache(theirs, their_cache, path)
    save_timing_cache(ours, our_cache, path)
    assert path.read_bytes() == b"ours theirs"


def test_a_cache_that_does_not_fit_is_left_out_aloud(tmp_path: Path) -> None:
    path, config, log = tmp_path / "a.timing", Config(), BuilderLog()
    path.write_bytes(b"foreign")
    assert load_timing_cache(config, path, log).words == set()
    assert any("does not fit" in warning for warning in log.warnings)


def test_without_a_file_nothing_is_written(tmp_path: Path) -> None:
    config = Config()
    save_timing_cache(config, load_timing_cache(config, None, BuilderLog()), None)
    assert list(tmp_path.iterdir()) == []
