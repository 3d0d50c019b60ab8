"""How many children may work at once: as many as there are cores, while their memory fits the machine."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLL_S = 0.2


def available_memory_bytes() -> int:
    """Memory that can be taken without swapping, as the kernel estimates it (``MemAvailable``, proc(5)).

    A control group's own limit counts too where it is lower (cgroup v2 ``memory.max``).
    """
    available = 1 << 62
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError):
        available = min(available, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return available


class Slots:
    """Admits work while a worker is free and its memory fits. Safe to use from many threads."""

    def __init__(self, workers: int, memory_bytes: int) -> None:
        self._free_workers = workers
        self._free_bytes = memory_bytes
        self._all_bytes = memory_bytes
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, memory_bytes: int, cancel: threading.Event) -> Iterator[None]:
        """Hold one worker and ``memory_bytes`` while the block runs.

        Work that needs more than the machine has is admitted alone, rather than never. Raises ``Cancelled`` when
        ``cancel`` is set while it waits.
        """
        wanted = min(memory_bytes, self._all_bytes)
        with self._changed:
            while self._free_workers < 1 or self._free_bytes < wanted:
                self._changed.wait(_POLL_S)
                if cancel.is_set():
                    raise Cancelled("cancelled while it waited for a free worker")
            self._free_workers -= 1
            self._free_bytes -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._free_workers += 1
                self._free_bytes += wanted
                self._changed.notify_all()
