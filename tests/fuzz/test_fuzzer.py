"""The fuzzer is wired so that it finds things."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PLANTED = """
import sys
from pathlib import Path
import atheris
from tests.fuzz.fuzz import fuzz

@atheris.instrument_func
def planted(data):
    if b'"-->"' in data:
        if b"1e+308" in data:
            raise RuntimeError("the planted fault was found")

fuzz("report", planted, 60, Path(sys.argv.pop()))
"""


def test_the_fuzzer_finds_a_planted_fault(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PLANTED, str(tmp_path)], check=False, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode != 0
    assert "the planted fault was found" in ended.stdout
    (found,) = tmp_path.glob("broken-*")
    assert b'"-->"' in found.read_bytes()
