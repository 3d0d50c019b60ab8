"""F23 and F25: no process outlives a run that was killed, or a builder that was ended at its time limit."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from tests.support.faulty_step import MANIFEST, report_in, run_step_in, start_step, statuses_in
from tests.support.leftovers import assert_nothing_left, processes_of

if TYPE_CHECKING:
    from pathlib import Path

WAITING = {"name": "build-fp32-8.9", "fault": "wait", "wait_s": 60}
ONLY = ("--only", "digits/sm_89/*")


def test_F23_a_run_that_is_killed_leaves_no_child_and_the_next_one_goes_on(tmp_path: Path, recordings: Path) -> None:
    process = start_step(tmp_path, "run", "--manifest", str(MANIFEST), *ONLY, faults=[WAITING], recordings=recordings)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob(".trt-cache/v1/receipt/engine/*/*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(process.pid)
    process.kill()
    process.communicate(timeout=30)
    deadline = time.monotonic() + 60
    while processes_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes_of(process.pid) == []

    time.sleep(1.1)  # a folder that was made just now is left alone
    again = run_step_in(tmp_path, "run", "--manifest", str(MANIFEST), *ONLY, recordings=recordings)
    assert again.returncode == 0, again.stderr
    assert sorted(statuses_in(tmp_path).values()) == ["built", "cached", "cached"]
    assert list((tmp_path / "tmp").iterdir()) == [], "the scratch folder of the run that was killed"


def test_F25_a_builder_that_hangs_is_ended_at_its_time_limit_with_all_that_it_started(
    tmp_path: Path, recordings: Path
) -> None:
    example = tmp_path / "digits"
    shutil.copytree(MANIFEST.parent, example)
    manifest = example / MANIFEST.name
    text = manifest.read_text()
    manifest.write_text(text.replace("timeout_s: 600", "timeout_s: 2"))
    faults = [{"name": "build-fp32-8.9", "fault": "hang"}]
    process = start_step(tmp_path, "run", "--manifest", str(manifest), *ONLY, faults=faults, recordings=recordings)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == report_in(tmp_path)["exit_code"] == 6, stderr
    assert "ended at its time limit of 2 s" in " ".join(stdout.split())
    assert sorted(statuses_in(tmp_path).values()) == ["built", "built", "failed"]
    assert_nothing_left(tmp_path, process.pid)
