"""F40: the same run again, after a failure as after a success: the same keys and bytes, and nothing made twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.faulty_step import MANIFEST, report_in, run_step_in, statuses_in
from tests.support.leftovers import assert_nothing_left

if TYPE_CHECKING:
    from pathlib import Path

RUN = ("run", "--manifest", str(MANIFEST))
CRASH = {"name": "build-int8-8.9", "fault": "crash"}


def keys_in(folder: Path) -> dict[str, str]:
    """Job id -> the key of its engine, if it has one, in the last run there."""
    return {job["id"]: job["engine"]["key"] for job in report_in(folder)["jobs"] if job["engine"]}


def test_F40_failed_jobs_that_are_run_again_cost_only_themselves(tmp_path: Path, recordings: Path) -> None:
    failed = run_step_in(tmp_path, *RUN, faults=[CRASH], recordings=recordings)
    assert failed.returncode == 6, failed.stderr
    first = keys_in(tmp_path)
    engines = {path: path.read_bytes() for path in (tmp_path / "engines").rglob("*.engine")}
    assert len(engines) == len(first) == 8

    again = run_step_in(tmp_path, *RUN, recordings=recordings)
    assert again.returncode == 0, again.stderr
    assert sorted(statuses_in(tmp_path).values()) == ["built"] + ["cached"] * 8
    assert {job: key for job, key in keys_in(tmp_path).items() if job in first} == first
    assert {path: path.read_bytes() for path in engines} == engines


def test_F40_a_third_run_makes_nothing_and_leaves_the_cache_as_it_was(tmp_path: Path, recordings: Path) -> None:
    def cached() -> dict[str, bytes]:
        found = (path for path in (tmp_path / ".trt-cache").rglob("*") if path.is_file())
        return {str(path.relative_to(tmp_path)): path.read_bytes() for path in found}

    for _ in range(2):
        assert run_step_in(tmp_path, *RUN, recordings=recordings).returncode == 0
    before, keys = cached(), keys_in(tmp_path)

    assert run_step_in(tmp_path, *RUN, recordings=recordings).returncode == 0

    assert set(statuses_in(tmp_path).values()) == {"cached"}
    assert keys_in(tmp_path) == keys
    assert cached() == before
    assert_nothing_left(tmp_path, 0)
