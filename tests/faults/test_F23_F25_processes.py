"""F23 and F25: no process outlives a run that was killed, or a builder that was ended at its time limit."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from pipeline.child import supervisor
from pipeline.child.supervisor import run_task
from pipeline.errors import BuildError, Cancelled
from tests.support.faulty_step import MANIFEST, report_in, run_step_in, start_step, statuses_in
from tests.support.hostile_tasks import TASKS
from tests.support.leftovers import assert_nothing_left, processes_of

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


@pytest.mark.parametrize("cancelled", [False, True], ids=["time limit", "cancel"])
def test_F25_a_program_that_a_child_started_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, cancelled: bool
) -> None:
    monkeypatch.setattr(supervisor, "PROGRAM_TASKS", frozenset({"start_a_program_and_hang"}))
    mark, folder, cancel = f"300.{os.getpid()}{time.monotonic_ns()}", tmp_path / "scratch/task", threading.Event()
    folder.mkdir(parents=True)
    seen: list[bool] = []

    def watch() -> None:
        while not seen and time.monotonic() < deadline:
            seen.extend([True] if _runs(mark) else [])
        if cancelled:
            cancel.set()

    deadline = time.monotonic() + 60
    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(Cancelled if cancelled else BuildError):
        run_task(
            "start_a_program_and_hang",
            {"sleep_s": mark},
            folder,
            timeout_s=60.0 if cancelled else 5.0,
            cancel=cancel,
            log=tmp_path / "log",
            _tasks=TASKS,
        )
    watcher.join()
    assert seen == [True]
    assert not _runs(mark)


def _runs(mark: str) -> bool:
    """Whether a process has ``mark`` among its arguments; one that ended and was not waited for has none."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if mark.encode() in path.read_bytes().split(b"\0"):
                return True
    return False
