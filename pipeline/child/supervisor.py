"""Running a task in a child process: within a time limit, with its log kept, and with nothing left behind."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.child.confinement import confinement_for
from pipeline.child.harvest import TrapError, size_bytes, take_over
from pipeline.child.launch import code_of, start_child
from pipeline.child.log import BoundedLog, decisive_lines
from pipeline.child.outcome import MEMORY_FIX, OUTCOME_LIMIT_BYTES, NotAnOutcomeError, result_from_outcome
from pipeline.child.tasks import PROGRAM_TASKS, TASKS
from pipeline.errors import BuildError, Cancelled

if TYPE_CHECKING:
    import subprocess
    import threading
    from collections.abc import Mapping

_POLL_S = 0.1
_EXIT_POLL_S = 0.005
_QUOTA_POLL_S = 1.0
_GRACE_S = 2.0
_READ_BYTES = 1 << 18


class RunTask(Protocol):
    """The form of ``run_task``, for those who are handed one."""

    def __call__(
        self,
        task: str,
        request: Mapping[str, Any],
        folder: Path,
        *,
        timeout_s: float,
        cancel: threading.Event,
        log: Path,
        memory_bytes: int | None = None,
        gpu: str | None = None,
    ) -> dict[str, Any]:
        """Run ``task`` and return its result."""


def run_task(
    task: str,
    request: Mapping[str, Any],
    folder: Path,
    *,
    timeout_s: float,
    cancel: threading.Event,
    log: Path,
    memory_bytes: int | None = None,
    gpu: str | None = None,
    _tasks: Mapping[str, str] = TASKS,
) -> dict[str, Any]:
    """Run the task named ``task`` in a child process and return its result, a JSON object.

    ``folder`` exists, is empty and private; the child writes its files there. What the child prints goes to ``log``,
    at most 64 MiB of it. ``memory_bytes`` limits the child's data, all memory of the machine by default;
    ``gpu`` is the UUID of the one GPU that it may see, and then there is no such limit. May be called from many
    threads.

    The child is confined (``pipeline.child.confinement``): it reads what the request names and writes its folder,
    and has no network, no other process and, where this process is root, no rights.

    Raises the ``PipelineError`` that the task raised; ``Cancelled`` within a moment of ``cancel`` being set;
    ``BuildError`` where the child crashed, was killed, took longer than ``timeout_s`` or answered nonsense.
    Whatever happens, no process of the child's group is left.
    """
    if cancel.is_set():
        raise Cancelled(f"cancelled before the {task} task began")
    with contextlib.ExitStack() as stack:
        try:
            private = tempfile.TemporaryDirectory(prefix=".child-", dir=folder.parent, ignore_cleanup_errors=True)
            home = Path(stack.enter_context(private))
            output = stack.enter_context(BoundedLog(log))
            reader, writer = os.pipe()
            stack.callback(os.close, reader)
            try:
                confinement = confinement_for(
                    request,
                    folder,
                    home,
                    code=code_of(_tasks[task]),
                    memory_bytes=memory_bytes,
                    gpu=gpu is not None,
                    programs=task in PROGRAM_TASKS,
                )
                process = start_child(
                    _tasks[task], request, folder, home=home, outcome_fd=writer, confinement=confinement, gpu=gpu
                )
            finally:
                os.close(writer)
        except OSError as error:
            raise BuildError(
                f"the {task} task could not be started", why=str(error), fix="check the space and rights of that folder"
            ) from error
        stack.enter_context(process)
        child = _Child(process, reader, output, _Quota((folder, home), confinement.disk_bytes))
        try:
            child.watch(time.monotonic() + timeout_s, cancel)
        except _TimeLimitError:
            raise BuildError(
                f"the {task} task was ended at its time limit of {timeout_s:g} s",
                why=decisive_lines(output.tail, 1),
                fix="raise `build.timeout_s` in the manifest, or use a lower `build.optimization_level`; "
                "--job-time-limit-s counts too",
            ) from None
        except NotAnOutcomeError as error:
            raise _useless(task, "was ended", str(error)) from None
        except _QuotaError:
            raise BuildError(
                f"the {task} task was ended because it filled the disk",
                why=f"it wrote more than {confinement.disk_bytes >> 20} MiB, three quarters of what was free",
                fix="free space, or point TMPDIR to a larger disk",
            ) from None
        finally:
            child.end()
            left = _taken_over(task, folder)
        result = _result(task, process.returncode, bytes(child.outcome), output.tail)
        if left is not None:
            raise left
        return result


class _TimeLimitError(Exception):
    pass


class _QuotaError(Exception):
    pass


class _Quota:
    """What folders may hold together, looked at once a second."""

    def __init__(self, folders: tuple[Path, ...], limit_bytes: int) -> None:
        self._folders = folders
        self._limit_bytes = limit_bytes
        self._next = time.monotonic() + _QUOTA_POLL_S

    def check(self) -> None:
        """Raise ``_QuotaError`` where they hold more."""
        if time.monotonic() < self._next:
            return
        if sum(map(size_bytes, self._folders)) > self._limit_bytes:
            raise _QuotaError
        self._next = time.monotonic() + _QUOTA_POLL_S


class _Child:
    """A running child. All of it happens in the calling thread, which the child's life is bound to."""

    def __init__(self, process: subprocess.Popen[bytes], reader: int, output: BoundedLog, quota: _Quota) -> None:
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

        Raises ``Cancelled``, ``_TimeLimitError``, ``_QuotaError`` and, for an outcome that is too long,
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
                    raise _TimeLimitError
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


def _taken_over(task: str, folder: Path) -> BuildError | None:
    """Make the child's files this process's own; the error where it left something else than files."""
    try:
        take_over(folder)
    except (TrapError, OSError) as error:
        return BuildError(
            f"the {task} task left what cannot be used in its folder", why=str(error), fix="look at its log"
        )
    return None


def _result(task: str, status: int, outcome: bytes, tail: bytes) -> dict[str, Any]:
    why = decisive_lines(tail)
    if status == -signal.SIGKILL:
        raise BuildError(
            f"the {task} task was killed from outside",
            why="most likely the machine ran out of memory",
            fix=MEMORY_FIX,
        )
    if status < 0:
        raise BuildError(
            f"the {task} task crashed: {_signal_name(-status)}",
            why=why,
            fix="the log has all that it printed; if it happens again, report it to the builder's makers",
        )
    try:
        return result_from_outcome(outcome)
    except NotAnOutcomeError as error:
        raise _useless(task, f"ended with exit code {status}", why or str(error)) from None


def _signal_name(number: int) -> str:
    return next((known.name for known in signal.Signals if known == number), f"signal {number}")


def _useless(task: str, end: str, why: str) -> BuildError:
    return BuildError(
        f"the {task} task {end} and gave no usable outcome", why=why, fix="the log has all that it printed"
    )
