"""One process per GPU at a time, across all runs on a machine.

Builds that share a GPU time each other's kernels and choose bad tactics, and a benchmark beside a build measures
nothing. The lock is ``flock`` on a file per GPU: the kernel frees it however its holder ends, and the file itself
stays, because a lock whose file may vanish can be held twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import Cancelled, DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.machine.devices import GpuDevice

LOCK_FOLDER = Path("/tmp")  # noqa: S108  see below
"""The one folder that all users of a machine share and may write. ``TMPDIR`` and ``XDG_RUNTIME_DIR`` are often a job's
or a user's own, so that two runs would lock two files. Containers see each other's locks where it is mounted."""
_POLL_S = 0.2
_HOLDER_BYTES = 300
_OPEN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class GpuPool:
    """Gives GPUs to the threads of one run, one at a time each. ``folder`` is shared by all runs on the machine."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or LOCK_FOLDER
        self._changed = threading.Condition()
        self._mine: dict[str, str] = {}
        self._waiting: list[frozenset[str]] = []

    @contextlib.contextmanager
    def taken(
        self,
        devices: Sequence[GpuDevice],
        cancel: threading.Event,
        *,
        job: str = "",
        waits_for: Callable[[str], None] | None = None,
    ) -> Iterator[GpuDevice]:
        """Hold the first of ``devices`` that is free, and wait for one where none is.

        The threads of one run are served in the order in which they asked. ``job`` is told to others that wait;
        ``waits_for`` is called once, where it must wait, with who holds the GPUs. Raises ``Cancelled`` when ``cancel``
        is set meanwhile, ``DeviceError`` where there is nothing to wait for or a lock cannot be opened.
        """
        if not devices:
            raise DeviceError("no GPU here is of the kind that is needed", fix="use a runner that has one")
        device, descriptor = self._acquire(devices, cancel, job, waits_for)
        try:
            yield device
        finally:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
            os.close(descriptor)
            with self._changed:
                del self._mine[device.uuid]
                self._changed.notify_all()

    def holder(self, device: GpuDevice) -> str:
        """Who holds ``device`` by its own account, such as ``pid 71 on ci-2: digits/h200/fp16``; may be empty."""
        with self._changed:
            if device.uuid in self._mine:
                return self._mine[device.uuid]
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path(device), os.O_RDONLY | _OPEN)
            try:
                text = os.pread(descriptor, _HOLDER_BYTES, 0).decode(errors="replace")
            finally:
                os.close(descriptor)
            return "".join(each if each.isprintable() else " " for each in text).strip()
        return ""

    def _acquire(
        self,
        devices: Sequence[GpuDevice],
        cancel: threading.Event,
        job: str,
        waits_for: Callable[[str], None] | None,
    ) -> tuple[GpuDevice, int]:
        ticket = frozenset(device.uuid for device in devices)
        with self._changed:
            self._waiting.append(ticket)
        told = False
        try:
            while True:
                with self._changed:
                    for device in self._on_offer(ticket, devices):
                        descriptor = self._locked(device, job)
                        if descriptor is not None:
                            return device, descriptor
                    if told:
                        self._changed.wait(_POLL_S)
                if cancel.is_set():
                    raise Cancelled("cancelled while it waited for a free GPU")
                if not told and waits_for is not None:
                    holders = [f"{device.name} is held by {self.holder(device) or '?'}" for device in devices]
                    waits_for("; ".join(holders))
                told = True
        finally:
            with self._changed:
                # By identity: two threads may wait for the same GPUs.
                self._waiting = [other for other in self._waiting if other is not ticket]
                self._changed.notify_all()

    def _on_offer(self, ticket: frozenset[str], devices: Sequence[GpuDevice]) -> list[GpuDevice]:
        """Those that this run does not hold, and that no thread wants which asked earlier."""
        wanted: set[str] = set()
        for other in self._waiting:
            if other is ticket:
                break
            wanted |= other
        return [device for device in devices if device.uuid not in self._mine and device.uuid not in wanted]

    def _locked(self, device: GpuDevice, job: str) -> int | None:
        path = self._path(device)
        try:
            descriptor = _opened(path)
        except OSError as error:
            raise DeviceError(
                f"the lock of {device.name} cannot be opened", why=str(error), fix="remove that file", where=str(path)
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if not _still_there(descriptor, path):
            # Whoever cleans the folder removed it meanwhile: the lock that others see is that of another file.
            os.close(descriptor)
            return None
        holder = f"pid {os.getpid()} on {socket.gethostname()}" + (f": {job}" if job else "")
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, holder.encode()[:_HOLDER_BYTES], 0)
        self._mine[device.uuid] = holder
        return descriptor

    def _path(self, device: GpuDevice) -> Path:
        return self._folder / f"trt-engines-gpu-{device.uuid}.lock"


def _opened(path: Path) -> int:
    """A descriptor of the lock file, which is made where it is missing. Raises ``OSError``.

    An existing file is opened without ``O_CREAT``, which the kernel refuses for another user's file in a sticky folder
    (``fs.protected_regular``, proc(5)), and read-only where that is all its mode allows: ``flock`` needs no more.
    """
    while True:
        try:
            return _checked(_opened_existing(path), path)
        except FileNotFoundError:
            pass
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _OPEN, 0o666)
        except FileExistsError:
            continue
        os.fchmod(descriptor, 0o666)
        return descriptor


def _still_there(descriptor: int, path: Path) -> bool:
    """Whether the path still leads to the file that was opened."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _opened_existing(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | _OPEN)
    except PermissionError:
        return os.open(path, os.O_RDONLY | _OPEN)


def _checked(descriptor: int, path: Path) -> int:
    """Refuse what is no plain file of its own: writing who holds it must never reach a file of another name."""
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return descriptor
    os.close(descriptor)
    raise OSError(f"{path} is no plain file of its own")
