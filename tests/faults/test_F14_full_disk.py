"""F14: no space in the workspace, in the temporary folder, in the cache, or behind stdout."""

from __future__ import annotations

import resource
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.cache.answers import Hit, Miss
from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.keys import key_from_ingredients
from tests.support.faulty_step import MANIFEST, report_in, run_step_in, start_step, statuses_in
from tests.support.leftovers import assert_nothing_left, half_written

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = ("run", "--manifest", str(MANIFEST))


@contextmanager
def small_disk(folder: Path, size_kib: int) -> Iterator[Path]:
    """A file system of its own with ``size_kib``, where this user may mount one; else a limit stands for it."""
    folder.mkdir(exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(folder)]
    mounted = subprocess.run(["mount", *options], check=False, capture_output=True).returncode == 0
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def is_mounted(folder: Path) -> bool:
    return str(folder) in Path("/proc/mounts").read_text()


def limit_files_to(size_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))


def test_F14_a_builder_that_finds_no_space_fails_alone(tmp_path: Path, recordings: Path) -> None:
    faults = [{"name": "build-int8-8.9", "fault": "full_disk"}]
    result = run_step_in(tmp_path, *RUN, faults=faults, recordings=recordings)
    assert result.returncode == report_in(tmp_path)["exit_code"] == 6
    assert sorted(statuses_in(tmp_path).values()) == ["built"] * 8 + ["failed"]
    assert "the disk is full" in result.stdout
    assert not (tmp_path / "engines/digits/sm_89/int8.engine").exists()
    assert_nothing_left(tmp_path, 0)


def test_F14_an_engine_that_does_not_fit_where_it_is_fetched_to_is_missed_and_leaves_nothing(tmp_path: Path) -> None:
    key = key_from_ingredients("engine", {"model": "m"})
    (tmp_path / "plan").write_bytes(bytes(2 << 20))
    cache = ContentCache(LocalStore(tmp_path / "cache"))
    cache.commit(key, "digits", {"engine.plan": tmp_path / "plan"}, {})
    found = cache.lookup(key, "digits")
    assert isinstance(found, Hit)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        fetched = cache.fetch(found, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(fetched, Miss)
    assert "File too large" in fetched.reason
    assert list((tmp_path / "out").iterdir()) == []
    assert cache.trouble == "", "the cache itself is well"


def test_F14_a_full_cache_costs_a_note_and_nothing_else(tmp_path: Path, recordings: Path) -> None:
    with small_disk(tmp_path / "cache", 700) as cache:
        limit = None if is_mounted(cache) else lambda: limit_files_to(400 << 10)
        result = run_step_in(tmp_path, *RUN, "--cache", str(cache), recordings=recordings, preexec_fn=limit)
        assert result.returncode == (0 if is_mounted(cache) else 6), result.stderr
        said = " ".join(result.stdout.split())
        assert said.count("note: the cache") == 1
        assert "No space left" in said or "File too large" in said
        assert not list(cache.glob("v1/tmp/*"))


def test_F14_a_full_output_folder_fails_the_jobs_whose_engines_do_not_fit(tmp_path: Path, recordings: Path) -> None:
    with small_disk(tmp_path / "out", 1200) as out:
        limit = None if is_mounted(out) else lambda: limit_files_to(600 << 10)
        result = run_step_in(tmp_path, *RUN, "--out", str(out), recordings=recordings, preexec_fn=limit)
        assert result.returncode == 6, result.stderr
        assert "Traceback" not in result.stderr + result.stdout
        assert "could not be written" in result.stdout or "the disk is full" in result.stdout
        assert not [path for path in out.rglob("*.tmp") if path.is_file()]


def test_F14_a_full_temporary_folder_names_it_and_leaves_it_empty(tmp_path: Path, recordings: Path) -> None:
    with small_disk(tmp_path / "little", 64) as little:
        limit = None if is_mounted(little) else lambda: limit_files_to(4 << 10)
        environment = {"TMPDIR": str(little)}
        result = run_step_in(tmp_path, *RUN, recordings=recordings, environment=environment, preexec_fn=limit)
        assert result.returncode != 0
        assert "Traceback" not in result.stderr + result.stdout
        assert "space" in result.stdout + result.stderr
        assert list(little.iterdir()) == []


def test_F14_a_full_disk_behind_stdout_changes_no_verdict(tmp_path: Path, recordings: Path) -> None:
    only = ("--only", "digits/sm_89/*")
    with Path("/dev/full").open("w") as full:
        process = start_step(tmp_path, *RUN, *only, recordings=recordings, stdout=full, stderr=subprocess.PIPE)
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert report_in(tmp_path)["verdict"] == "passed"
    assert half_written(tmp_path) == []


@pytest.mark.parametrize("free_bytes", [0, 1 << 12])
def test_F14_a_temporary_folder_without_any_space_is_an_error_with_a_way_out(
    free_bytes: int, tmp_path: Path, recordings: Path
) -> None:
    result = run_step_in(tmp_path, *RUN, recordings=recordings, preexec_fn=lambda: limit_files_to(free_bytes))
    assert result.returncode != 0
    assert "Traceback" not in result.stderr + result.stdout
    assert list(Path(tempfile.gettempdir()).glob(f"{tmp_path.name}*")) == []
    assert half_written(tmp_path) == []
