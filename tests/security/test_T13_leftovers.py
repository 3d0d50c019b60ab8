"""T13: what one job leaves on a machine, or plants there, is nothing to the next one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.faulty_step import MANIFEST, run_step_in, statuses_in
from tests.support.leftovers import half_written
from tests.support.recordings import recordings

ROOT = Path(__file__).parents[2]
__all__ = ["recordings"]
ONLY = ("--only", "digits/sm_89/fp32")
PLANTED = b"planted"


def _starts() -> list[list[str]]:
    """How the image starts the program: for a runner, and by its name in a shell; the interpreter left out."""
    text = (ROOT / "Dockerfile").read_text()
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    (script,) = re.findall(r"\\nexec (.*) \"\$@\"", text)
    return [json.loads(entry)[1:], script.split()[1:]]


@pytest.mark.parametrize("start", _starts(), ids=["action", "command"])
def test_T13_no_module_of_the_checkout_is_imported_into_the_image_s_program(tmp_path: Path, start: list[str]) -> None:
    """A workflow's ``PYTHONPATH: .`` is meant for its own tests; here it would run a stranger's file beside a token."""
    for name in ("sitecustomize", "usercustomize", "yaml", "requests", "boto3", "json", "pipeline"):
        (tmp_path / f"{name}.py").write_text("open('planted-ran', 'w').close()\nraise SystemExit('planted')")
    leads_here = dict.fromkeys(("PYTHONPATH", "PYTHONUSERBASE", "PYTHONPLATLIBDIR"), ".")
    program = [word.replace("/opt/trt-engines/program", str(ROOT)) for word in start]
    ran = subprocess.run(
        [sys.executable, *program, "validate", "--manifest", str(tmp_path / "gone.yaml")],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **leads_here},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, "there is no such file" in ran.stderr) == (3, True), ran.stderr
    assert not (tmp_path / "planted-ran").exists()


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
