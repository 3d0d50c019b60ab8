"""F15: a workspace that may only be read, and belongs to somebody else."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.faulty_step import MANIFEST, report_in, run_step_in

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

STRANGER = 65534
PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE = 1


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    """A folder that its owner alone may write, with a temporary folder for everybody; root is not its owner."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o777)
    if os.geteuid() == 0:
        os.chown(tmp_path, STRANGER, STRANGER)
    tmp_path.chmod(0o555)
    yield tmp_path
    tmp_path.chmod(0o755)


def like_everybody() -> None:
    """Give up root's right to write where it may not."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def run(workspace: Path, recordings: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    only = ("--manifest", str(MANIFEST), "--only", "digits/sm_89/fp32")
    return run_step_in(workspace, "run", *only, *arguments, recordings=recordings, preexec_fn=like_everybody)


def test_F15_where_nothing_can_be_written_the_run_fails_and_says_what_to_do(workspace: Path, recordings: Path) -> None:
    result = run(workspace, recordings)
    said = " ".join((result.stdout + result.stderr).split())
    assert result.returncode == 6, said
    assert "Traceback" not in said
    assert "Permission denied" in said
    assert "check the space and rights of that folder" in said
    assert [path.name for path in workspace.iterdir()] == ["tmp"]
    assert list((workspace / "tmp").iterdir()) == []


def test_F15_with_an_output_folder_elsewhere_the_run_passes_and_notes_the_cache(
    workspace: Path, recordings: Path
) -> None:
    result = run(workspace, recordings, "--out", str(workspace / "tmp/out"))
    assert result.returncode == 0, result.stderr + result.stdout
    said = " ".join(result.stdout.split())
    assert "note: the cache" in said
    assert "Permission denied" in said
    assert report_in(workspace, "tmp/out")["verdict"] == "passed"
    assert [path.name for path in (workspace / "tmp").iterdir()] == ["out"]
