"""A child that runs: what it says and prints is read until it has ended, or must be."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from typing import TYPE_CHECKING

from pipeline.child.harvest import TrapError, size_bytes
from pipeline.child.outcome import OUTCOME_LIMIT_BYTES, NotAnOutcomeError
from pipeline.errors import Cancelled

if TYPE_CHECKING:
    import subprocess
    import threading
    from pathlib import Path

    from pipeline.child.log import BoundedLog

_POLL_S = 0.1
_EXIT_POLL_S = 0.005
_QUOTA_POLL_S = 1.0
_GRACE_S = 2.0
_READ_BYTES = 1 << 18


class TimeLimitError(Exception):
    """The child did not end in time."""


class QuotaError(Exception):
    """The child wrote more than it may."""


class Quota:
    """What folders may hold together, looked at once a second."""

    def __init__(self, folders: tuple[Path, ...], limit_bytes: int) -> None:
        self._folders = folders
        self._limit_bytes = limit_bytes
        self._next = time.monotonic() + _QUOTA_POLL_S

    def check(self) -> None:
        """Raise ``QuotaError`` where they hold more, ``NotAnOutcomeError`` for what could not be taken over."""
        if time.monotonic() < self._next:
            return
        try:
            held_bytes = sum(map(size_bytes, self._folders))
        except TrapError as error:
            raise NotAnOutcomeError(str(error)) from None
        if held_bytes > self._limit_bytes:
            raise QuotaError
        self._next = time.monotonic() + _QUOTA_POLL_S


class RunningChild:
    """The child of ``process``, which leads a group of its own. ``outcome`` is what has come from ``reader`` so far.

    All of it happens in the calling thread, which the child's life is bound to.
    """

    def __init__(self, process: subprocess.Popen[bytes], reader: int, output: BoundedLog, quota: Quota) -> None:
        assert process.stdout is not None  # noqa: S101  it was started with a pipe
        self.outcome = bytearray()
        self._process = process
        self._output = output
        self._quota = quota
        self._outcome_fd = reader
        self._output_fd = process.stdout.fileno()
        self._open = {self._outcome_fd, self._output_fd}
        for descriptor in self._open:
            os.set_blocking(descriptor, False)

    def watch(self, deadline: float, cancel: threading.Event) -> None:
        """Return when the child has ended.

        Raises ``Cancelled``, ``TimeLimitError``, ``QuotaError`` and, for an outcome that is too long,
        ``NotAnOutcomeError`` while it still runs.
        """
        with selectors.DefaultSelector() as selector:
            for descriptor in self._open:
                selector.register(descriptor, selectors.EVENT_READ)
            while not self._has_ended():
                if cancel.is_set():
                    raise Cancelled("cancelled")
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise TimeLimitError
                if len(self.outcome) > OUTCOME_LIMIT_BYTES:
                    raise NotAnOutcomeError(f"it is longer than {OUTCOME_LIMIT_BYTES} bytes")
                self._quota.check()
                for key, _ in selector.select(min(_POLL_S if self._open else _EXIT_POLL_S, left_s)):
                    if not self._read(key.fd):
                        selector.unregister(key.fd)
                        self._open.discard(key.fd)
        self._drain()

    def end(self) -> None:
        """End what is left of the child's group, and reap the child.

        The group's number cannot be taken by others before the child is reaped, so it is killed first.
        """
        if not self._has_ended():
            self._signal_group(signal.SIGTERM)
            deadline = time.monotonic() + _GRACE_S
            while not self._has_ended() and time.monotonic() < deadline:
                time.sleep(0.01)
        self._signal_group(signal.SIGKILL)
        self._process.wait()

    def _has_ended(self) -> bool:
        """Whether the child has ended, without reaping it."""
        status = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, status) is not None

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _drain(self) -> None:
        """Read what the child left in its pipes, without waiting for processes that still hold them open."""
        for descriptor in self._open:
            with contextlib.suppress(BlockingIOError):
                while self._read(descriptor) and len(self.outcome) <= OUTCOME_LIMIT_BYTES:
                    pass

    def _read(self, descriptor: int) -> bool:
        data = os.read(descriptor, _READ_BYTES)
        if descriptor == self._outcome_fd:
            self.outcome += data
        else:
            self._output.write(data)
        return bool(data)
