"""Running a task in a child process: within a time limit, with its log kept, and with nothing left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.child.confinement import confinement_for
from pipeline.child.harvest import TrapError, clear, take_over
from pipeline.child.launch import code_of, start_child
from pipeline.child.log import BoundedLog, decisive_lines
from pipeline.child.outcome import MEMORY_FIX, NotAnOutcomeError, result_from_outcome
from pipeline.child.running import Quota, QuotaError, RunningChild, TimeLimitError
from pipeline.child.tasks import PROGRAM_TASKS, TASKS
from pipeline.errors import BuildError, Cancelled

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping


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
        child = RunningChild(process, reader, output, Quota((folder, home), confinement.disk_bytes))
        try:
            child.watch(time.monotonic() + timeout_s, cancel)
        except TimeLimitError:
            raise BuildError(
                f"the {task} task was ended at its time limit of {timeout_s:g} s",
                why=decisive_lines(output.tail, 1),
                fix="raise `build.timeout_s` in the manifest, or use a lower `build.optimization_level`; "
                "--job-time-limit-s counts too",
            ) from None
        except NotAnOutcomeError as error:
            raise _useless(task, "was ended", str(error)) from None
        except QuotaError:
            raise BuildError(
                f"the {task} task was ended because it filled the disk",
                why=f"it wrote more than {confinement.disk_bytes >> 20} MiB, three quarters of what was free",
                fix="free space, or point TMPDIR to a larger disk",
            ) from None
        finally:
            child.end()
            left = _taken_over(task, folder)
            with contextlib.suppress(OSError):
                clear(home)
        result = _result(task, process.returncode, bytes(child.outcome), output.tail)
        if left is not None:
            raise left
        return result


def _taken_over(task: str, folder: Path) -> BuildError | None:
    """Make the child's files this process's own; the error where it left something else than files."""
    try:
        take_over(folder)
    except (TrapError, OSError) as error:
        with contextlib.suppress(OSError):
            clear(folder)
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
