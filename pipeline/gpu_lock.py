"""One process per GPU at a time, across all runs on a machine.

Builds that share a GPU time each other's kernels and choose bad tactics, and a benchmark beside a build measures
nothing. The lock is ``flock`` on a file per GPU: the kernel frees it however its holder ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.devices import GpuDevice

_POLL_S = 0.2
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class GpuPool:
    """Gives GPUs to the threads of one run, one at a time each. ``folder`` is shared by all runs on the machine."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir())
        self._mine: set[str] = set()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def taken(self, devices: Sequence[GpuDevice], cancel: threading.Event) -> Iterator[GpuDevice]:
        """Hold the first of ``devices`` that is free, and wait for one where none is.

        Raises ``Cancelled`` when ``cancel`` is set meanwhile, ``OSError`` where the lock cannot be opened.
        """
        while True:
            for device in devices:
                descriptor = self._try(device)
                if descriptor is not None:
                    try:
                        yield device
                    finally:
                        os.close(descriptor)
                        with self._lock:
                            self._mine.discard(device.uuid)
                    return
            if cancel.wait(_POLL_S):
                raise Cancelled("cancelled while it waited for a free GPU")

    def _try(self, device: GpuDevice) -> int | None:
        with self._lock:
            if device.uuid in self._mine:
                return None
            descriptor = os.open(self._folder / f"trt-engines-{device.uuid}.lock", _OPEN, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            self._mine.add(device.uuid)
            return descriptor
