"""T13: what one job leaves on a machine, or plants there, is nothing to the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.faulty_step import MANIFEST, run_step_in, statuses_in
from tests.support.leftovers import half_written
from tests.support.recordings import recordings

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["recordings"]
ONLY = ("--only", "digits/sm_89/fp32")
PLANTED = b"planted"


@pytest.mark.parametrize("fault", [None, "crash", "lie"])
def test_T13_a_job_leaves_only_its_engines_its_report_and_its_cache(
    tmp_path: Path, recordings: Path, fault: str | None
) -> None:
    faults = [{"name": "build-fp32-8.9", "fault": fault}] if fault else []
    run_step_in(tmp_path, "run", "--manifest", str(MANIFEST), *ONLY, faults=faults, recordings=recordings)
    assert half_written(tmp_path) == []
    assert {path.name for path in tmp_path.iterdir()} <= {"engines", ".trt-cache", "tmp"}


def test_T13_what_was_planted_for_the_next_job_is_neither_used_nor_run(tmp_path: Path, recordings: Path) -> None:
    places = {
        "tmp/sitecustomize.py": b"raise SystemExit('planted')",
        "sitecustomize.py": b"raise SystemExit('planted')",
        "onnx.py": b"raise SystemExit('planted')",
        "tmp/trt-engines-planted/engine.plan": PLANTED,
        ".trt-cache/v1/receipt/engine/ab/" + "ab" * 32 + ".json": PLANTED,
        ".trt-cache/v1/receipt/timing/ab/" + "ab" * 32 + ".json": PLANTED,
        "engines/digits/sm_89/fp32.engine": PLANTED,
    }
    for name, data in places.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    ran = run_step_in(tmp_path, "run", "--manifest", str(MANIFEST), *ONLY, recordings=recordings)
    assert ran.returncode == 0, ran.stderr
    assert statuses_in(tmp_path) == {"digits/sm_89/fp32": "built"}
    engine = tmp_path / "engines/digits/sm_89/fp32.engine"
    assert PLANTED not in engine.read_bytes()
