"""The main job with a pace of its own, so that two runs meet where a test wants them to.

    python -m tests.support.paced_runs FOLDER BUILD_S ARGUMENTS...

It writes ``FOLDER/planned`` when it knows what to do, and begins when ``FOLDER/go`` is there. Each build takes
``BUILD_S`` longer, and leaves ``FOLDER/building`` when it begins.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

from pipeline import run
from pipeline.child.supervisor import run_task
from pipeline.commands import main_job
from pipeline.commands.cli import main

_ROOT = Path(__file__).parents[2]
_PATIENCE_S = 60.0
_RUN_S = 200.0


class PacedRun:
    """One run in a process of its own, in ``folder``, which is made."""

    def __init__(self, folder: Path, *arguments: str, build_s: float = 0.0, go: bool = True) -> None:
        self.folder = folder
        folder.mkdir()
        if go:
            self.go()
        command = [sys.executable, "-m", "tests.support.paced_runs", str(folder), str(build_s), "run"]
        command += [*arguments, "--out", str(folder / "engines")]
        self.process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def go(self) -> None:
        """Let it begin."""
        (self.folder / "go").touch()

    def wait_until(self, state: str) -> None:
        """Wait until it is ``planned`` or ``building``."""
        wait_for(self.folder / state)

    def kill(self) -> None:
        """End it as a lost machine ends."""
        self.process.kill()
        self.process.communicate(timeout=_PATIENCE_S)

    def finished(self) -> str:
        """What it printed on stderr; fails where it failed."""
        stdout, stderr = self.process.communicate(timeout=_RUN_S)
        assert self.process.returncode == 0, stderr + stdout
        return stderr


def wait_for(path: Path) -> None:
    """Wait until there is a file."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while not path.exists():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{path} does not appear")
        time.sleep(0.02)


def _main(folder: Path, build_s: float, arguments: list[str]) -> int:
    def carried_out(*details: Any) -> Any:
        (folder / "planned").touch()
        wait_for(folder / "go")
        return run.carry_out(*details)

    def slow_task(task: str, *details: Any, **named: Any) -> Any:
        if task == "build":
            (folder / "building").touch()
            time.sleep(build_s)
        return run_task(task, *details, **named)

    with mock.patch.object(main_job, "carry_out", carried_out), mock.patch.object(run, "run_task", slow_task):
        return main(arguments, os.environ)


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
