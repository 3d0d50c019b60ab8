"""What a run may not leave behind: files and processes."""

from __future__ import annotations

import time
from pathlib import Path


def half_written(folder: Path) -> list[Path]:
    """Files that were never finished, and folders of runs that ended, below ``folder``."""
    temporary = list((folder / "tmp").glob("*"))
    return [*temporary, *(path for path in folder.rglob("*.tmp") if "v1/tmp" not in path.as_posix())]


def processes_of(parent: int) -> list[str]:
    """Command lines of the living children of the run ``parent``, which have its number among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
            alive = (path / "stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
        except OSError:
            continue
        is_child = "pipeline.child.worker" in " ".join(arguments) and str(parent) in arguments
        if alive and is_child:
            found.append(" ".join(arguments))
    return found


def assert_nothing_left(folder: Path, parent: int) -> None:
    """No unfinished file below ``folder``, and no process of the run ``parent``, at the latest after a moment."""
    deadline = time.monotonic() + 60
    while processes_of(parent) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(parent) == []
    assert half_written(folder) == []
