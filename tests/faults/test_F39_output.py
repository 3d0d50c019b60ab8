"""F39: a builder that prints a gigabyte, and a reader of the run that goes away."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.child.log import LOG_LIMIT_BYTES
from tests.support.faulty_step import MANIFEST, report_in, run_step_in, start_step

if TYPE_CHECKING:
    from pathlib import Path

RUN = ("run", "--manifest", str(MANIFEST), "--only", "digits/sm_89/fp32")
GIGABYTE = 1 << 30


def test_F39_a_gigabyte_of_log_is_kept_at_both_ends_and_holds_nothing_up(tmp_path: Path, recordings: Path) -> None:
    faults = [{"name": "build-*", "fault": "flood", "print_bytes": GIGABYTE}]
    result = run_step_in(tmp_path, *RUN, faults=faults, recordings=recordings, timeout_s=240)
    assert result.returncode == 0, result.stderr
    log = tmp_path / "engines/logs/digits/sm_89/fp32/engine.log"
    assert LOG_LIMIT_BYTES - (1 << 20) <= log.stat().st_size <= LOG_LIMIT_BYTES + 100
    assert (tmp_path / "engines/report.json").stat().st_size < 1 << 16


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_F39_a_reader_that_goes_away_changes_nothing(stream: str, tmp_path: Path, recordings: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writer}
    process = start_step(tmp_path, *RUN, recordings=recordings, **streams)
    os.close(writer)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert report_in(tmp_path)["verdict"] == "passed"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_F39_a_run_that_was_started_without_a_stream_does_its_work(
    closed: str, tmp_path: Path, recordings: Path
) -> None:
    process = start_step(
        tmp_path, *RUN, recordings=recordings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, closed=closed
    )
    process.wait(timeout=120)
    assert process.returncode == 0
    assert report_in(tmp_path)["verdict"] == "passed"
