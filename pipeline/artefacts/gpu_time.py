"""What a run held GPUs for, and what it did not have to hold them for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.digest import Digest


class GpuTime:
    """Seconds for which this run held GPUs to make what it made, and for which others did to make what it fetched.

    Safe to use from many threads.
    """

    def __init__(self) -> None:
        self.spent_s = 0.0
        self.saved_s = 0.0
        self._lock = threading.Lock()
        self._saved: set[Digest] = set()

    def spend(self, elapsed_s: float) -> None:
        """A GPU was held for ``elapsed_s``."""
        with self._lock:
            self.spent_s += elapsed_s

    def save(self, key: Digest, made_in_s: float) -> None:
        """What was made in ``made_in_s`` on a GPU was fetched; it counts once, however often it is fetched."""
        with self._lock:
            if key not in self._saved:
                self._saved.add(key)
                self.saved_s += made_in_s
