"""F22: SIGINT, then SIGTERM, as runners cancel: over within 5 s, exit 130, a report, and finished work is kept.

On a machine that is slow a run may take as long to end as it took to come that far.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.faulty_step import MANIFEST, has_kept, report_in, run_step_in, start_step, statuses_in
from tests.support.leftovers import assert_nothing_left

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

RUN = ("run", "--manifest", str(MANIFEST), "--workers", "5")
HANGING = {"name": "build-*-12.0", "fault": "hang"}
ALL_ELSE = {"engine": 6, "check": 3}


def started(folder: Path, recordings: Path, *arguments: str) -> subprocess.Popen[str]:
    """A run that has built what it can, and hangs in the builds for one target."""
    process = start_step(folder, *RUN, *arguments, faults=[HANGING], recordings=recordings)
    deadline = time.monotonic() + 120
    while not has_kept(folder, ALL_ELSE) and time.monotonic() < deadline:
        time.sleep(0.05)
    if not has_kept(folder, ALL_ELSE):
        process.kill()
        pytest.fail(f"the other engines were not built: {process.communicate()}")
    return process


@pytest.mark.parametrize(
    "signals",
    [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGINT, signal.SIGTERM), (signal.SIGINT, signal.SIGINT)],
    ids=lambda signals: "+".join(each.name for each in signals),
)
def test_F22_a_cancelled_run_ends_within_5_s_with_a_report_and_resumes(
    signals: tuple[signal.Signals, ...], tmp_path: Path, recordings: Path
) -> None:
    begun = time.monotonic()
    process = started(tmp_path, recordings)
    asked = time.monotonic()
    for number in signals:
        process.send_signal(number)
        time.sleep(0.2)
    stdout, stderr = process.communicate(timeout=60)
    assert time.monotonic() - asked < max(5, asked - begun)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "cancelled" in stdout
    assert (report_in(tmp_path)["verdict"], report_in(tmp_path)["exit_code"]) == ("cancelled", 130)
    assert sorted(statuses_in(tmp_path).values()) == ["built"] * 6 + ["cancelled"] * 3
    assert len(list(tmp_path.glob("engines/digits/*/*.engine"))) == 6
    assert_nothing_left(tmp_path, process.pid)

    again = run_step_in(tmp_path, *RUN, recordings=recordings)
    assert again.returncode == 0, again.stderr
    assert sorted(statuses_in(tmp_path).values()) == ["built"] * 3 + ["cached"] * 6


def test_F22_a_run_that_is_cancelled_before_it_has_a_plan_says_so_of_every_job(
    tmp_path: Path, recordings: Path
) -> None:
    faults = [{"name": "inspect-model", "fault": "hang"}]
    begun = time.monotonic()
    process = start_step(tmp_path, *RUN, faults=faults, recordings=recordings)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("tmp/trt-engines-*/model/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert time.monotonic() - asked < max(5, asked - begun)
    assert process.returncode == 130, stderr
    assert set(statuses_in(tmp_path).values()) == {"cancelled"}
    assert_nothing_left(tmp_path, process.pid)


def test_F22_the_report_of_an_earlier_run_is_gone_where_a_run_dies_without_one(
    tmp_path: Path, recordings: Path
) -> None:
    done = run_step_in(tmp_path, *RUN, "--only", "*/sm_86/*", recordings=recordings)
    assert done.returncode == 0, done.stderr
    process = started(tmp_path, recordings, "--only", "digits/*")
    process.kill()
    process.communicate(timeout=60)
    assert not (tmp_path / "engines/report.json").exists()


def test_F22_the_time_limit_of_a_run_ends_it_as_a_failure_that_resumes(tmp_path: Path, recordings: Path) -> None:
    limit = ("--time-limit-s", "0.5")
    result = run_step_in(tmp_path, *RUN, *limit, faults=[HANGING], recordings=recordings, kept=ALL_ELSE)
    assert result.returncode == 6, result.stderr
    assert report_in(tmp_path)["exit_code"] == 6
    assert sorted(statuses_in(tmp_path).values()) == ["built"] * 6 + ["failed"] * 3
    assert "the time limit of the run was reached" in result.stdout
    assert list((tmp_path / "tmp").iterdir()) == []


def test_F22_the_time_limit_of_a_job_leaves_the_others_alone(tmp_path: Path, recordings: Path) -> None:
    faults = [{"name": "build-fp16-8.9", "fault": "hang"}]
    result = run_step_in(tmp_path, *RUN, "--job-time-limit-s", "2", faults=faults, recordings=recordings)
    assert result.returncode == 6, result.stderr
    assert statuses_in(tmp_path)["digits/sm_89/fp16"] == "failed"
    assert sorted(statuses_in(tmp_path).values()) == ["built"] * 8 + ["failed"]
    assert "--job-time-limit-s" in result.stdout
