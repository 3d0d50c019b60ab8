"""The timing cache's file, with an object in place of TensorRT's that is a set of words."""

from __future__ import annotations

from pathlib import Path

from pipeline.build.builder_log import BuilderLog
from pipeline.build.timing_cache import (
    TACTICS_FILE,
    keep_timing_cache,
    kept_tactics,
    load_timing_cache,
    timing_caches_name,
)


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
        timing_caches_name(*parts)
        for parts in (("8.6.0", "L4", "1"), ("8.6.1", "L4", "1"), ("8.6.0", "T4", "1"), ("8.6.0", "L4", "2"))
    }
    assert len(names) == 4


def kept(folder: Path, caches: Path, gpu: str, word: bytes) -> None:
    """A build on ``gpu`` that adds ``word`` to what it loads."""
    folder.mkdir(exist_ok=True)
    cache = load_timing_cache(Config(), caches, BuilderLog())
    cache.words.add(word)
    kept_tactics(cache, folder)
    keep_timing_cache(folder, caches, gpu)


def test_what_is_kept_is_loaded(tmp_path: Path) -> None:
    kept(tmp_path, tmp_path / "timing", "GPU-1", b"conv")
    assert load_timing_cache(Config(), tmp_path / "timing", BuilderLog()).words == {b"conv"}


def test_what_builds_on_several_gpus_kept_is_merged(tmp_path: Path) -> None:
    for gpu, word in (("GPU-1", b"conv"), ("GPU-2", b"pool"), ("GPU-1", b"gemm")):
        kept(tmp_path / word.decode(), tmp_path / "timing", gpu, word)
    assert load_timing_cache(Config(), tmp_path / "timing", BuilderLog()).words == {b"conv", b"pool", b"gemm"}
    assert sorted(path.name for path in (tmp_path / "timing").iterdir()) == ["GPU-1.timing", "GPU-2.timing"]


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


def test_without_a_place_nothing_is_kept(tmp_path: Path) -> None:
    kept_tactics(Words(b"conv"), tmp_path)
    keep_timing_cache(tmp_path, None, "GPU-1")
    assert [path.name for path in tmp_path.iterdir()] == [TACTICS_FILE]


def test_a_place_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    kept_tactics(Words(b"conv"), tmp_path)
    keep_timing_cache(tmp_path, Path("/proc/nowhere"), "GPU-1")
