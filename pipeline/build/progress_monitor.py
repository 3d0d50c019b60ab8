"""How far a builder is, in a small file that whoever waits for it can read."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from pipeline.paths import write_bytes_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRESS_FILE = "progress.txt"
_PERIOD_S = 0.5
_MOST_CHARS = 200


class BuildProgress:
    """The phases that a builder is in, outermost first, each with the steps that it has done."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / PROGRESS_FILE
        self._phases: dict[str, tuple[int, int]] = {}
        self._written_s = float("-inf")

    def phase_started(self, name: str, steps: int) -> None:
        """A phase of ``steps`` steps begins, within those that have not ended."""
        self._phases[name] = (0, steps)
        self._write()

    def step_done(self, name: str, step: int) -> None:
        """Step number ``step`` of a phase, counted from 0, is done."""
        _, steps = self._phases.get(name, (0, 0))
        self._phases[name] = (step + 1, steps)
        self._write()

    def phase_ended(self, name: str) -> None:
        """A phase is over."""
        self._phases.pop(name, None)

    @property
    def text(self) -> str:
        """Such as ``Building Engine 3/7, Tactic Selection 12/109``."""
        return ", ".join(f"{name} {done}/{steps}" for name, (done, steps) in self._phases.items())[:_MOST_CHARS]

    def _write(self) -> None:
        now_s = time.monotonic()
        if now_s - self._written_s >= _PERIOD_S:
            self._written_s = now_s
            # A disk that is full is found out by whoever writes the engine.
            with contextlib.suppress(OSError):
                write_bytes_atomically(self._path, self.text.encode())


@contextlib.contextmanager
def told_progress(trt: Any, config: Any, folder: Path) -> Iterator[None]:
    """Have the builder tell its phases while the block runs, from TensorRT 10.0 and TensorRT-RTX on."""
    if not hasattr(trt, "IProgressMonitor"):
        yield
        return
    progress = BuildProgress(folder)

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:  # noqa: ARG002
            progress.phase_started(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress.step_done(phase_name, step)
            return True

        def phase_finish(self, phase_name: str) -> None:
            progress.phase_ended(phase_name)

    # Kept by name until the build is over: the configuration does not keep it alive.
    config.progress_monitor = monitor = Monitor()
    try:
        yield
    finally:
        del monitor
        (folder / PROGRESS_FILE).unlink(missing_ok=True)


def progress_text(folder: Path) -> str:
    """What the builder that works in ``folder`` told last; empty where it told nothing."""
    try:
        return (folder / PROGRESS_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
