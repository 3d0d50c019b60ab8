"""How long a run and each of its jobs may take."""

from __future__ import annotations

import contextlib
import math
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class JobBudget:
    """The seconds that the children of one job may take together; waiting for a worker or a GPU costs nothing.

    For the one thread that works on the job. ``limit_s`` is ``None`` where nothing is limited.
    """

    def __init__(self, limit_s: float | None = None) -> None:
        self.limit_s = math.inf if limit_s is None else limit_s
        self._spent_s = 0.0

    @property
    def left_s(self) -> float:
        """What is left, never below zero."""
        return max(0.0, self.limit_s - self._spent_s)

    def spend(self, elapsed_s: float) -> None:
        """A child of the job took ``elapsed_s``."""
        self._spent_s += elapsed_s


class RunLimit:
    """The limit of a whole run. ``reached`` says that it was the reason why ``cancel`` was set."""

    def __init__(self, cancel: threading.Event, limit_s: float | None) -> None:
        self.limit_s = limit_s
        self.reached = False
        self._cancel = cancel

    @contextlib.contextmanager
    def watched(self) -> Iterator[RunLimit]:
        """Set ``cancel`` when the limit is reached while the block runs, unless it is set already.

        After the block it is taken back, because what is told of the run (baselines, the comment) is not to end too.
        """
        if self.limit_s is None:
            yield self
            return
        timer = threading.Timer(self.limit_s, self._reach)
        timer.daemon = True
        timer.start()
        try:
            yield self
        finally:
            timer.cancel()
            timer.join()
            if self.reached:
                self._cancel.clear()

    def _reach(self) -> None:
        if not self._cancel.is_set():
            self.reached = True
            self._cancel.set()
