"""What is going on, while it goes on: a live list on a terminal, single lines in a job's log.

A builder says nothing for minutes and its own progress callbacks cover a small part of the time, so what is shown
first is how long each task has been running, and how long it took last time; then what it tells of itself.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.publish.escape import one_line
from pipeline.publish.figures import duration_text
from pipeline.publish.stream import ForgivingStream

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import TextIO

    from rich.live import Live
    from rich.text import Text

HEARTBEAT_S = 30.0
_TICK_S = 0.5
_SHOWN_TASKS = 12


@dataclass(slots=True)
class _Task:
    label: str
    expected_s: float | None
    started_s: float
    detail: Callable[[], str]
    next_heartbeat_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.next_heartbeat_s = self.started_s + HEARTBEAT_S


class Progress:
    """Says what runs. Safe to use from many threads; a stream that fails is no error.

    On a terminal (``live``) the running tasks are listed and refreshed while the context is open; between tasks
    nothing is shown, so that others may write. Elsewhere a task gives one line every ``HEARTBEAT_S``. Everywhere it
    gives one line when it ends.
    """

    def __init__(
        self, stream: TextIO | None, *, clock: Callable[[], float] = time.monotonic, live: bool | None = None
    ) -> None:
        self._stream = ForgivingStream(stream)
        self._clock = clock
        self._wants_live = self._stream.isatty() if live is None else live
        self._live: Live | None = None
        self._lock = threading.RLock()
        self._tasks: dict[str, _Task] = {}
        self._done = 0
        self._closing = threading.Event()
        self._closing.set()
        self._ticker: threading.Thread | None = None

    def __enter__(self) -> Progress:
        self._closing.clear()
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._ticker is not None:
            self._ticker.join()
        with self._lock:
            self._close_live()

    def started(
        self, task_id: str, label: str, expected_s: float | None = None, *, detail: Callable[[], str] = str
    ) -> None:
        """A task begins. ``label`` reads like ``building digits/sm_89/int8``; ``expected_s`` is what it took before.

        ``detail`` tells, whenever it is asked, how far the task is; it may be empty.
        """
        with self._lock:
            self._tasks[task_id] = _Task(one_line(label, 120), expected_s, self._clock(), detail)
            if self._wants_live and self._live is None and not self._closing.is_set():
                self._live = self._open_live()

    def finished(self, task_id: str, outcome: str, elapsed_s: float) -> None:
        """A task ended, well or not; ``outcome`` is a word such as ``done``."""
        with self._lock:
            task = self._tasks.pop(task_id, None)
            self._done += 1
            label = task.label if task is not None else one_line(task_id, 120)
            before = _last_time(task.expected_s) if task is not None else ""
            self._say(f"[{self._done}] {label}: {one_line(outcome, 60)} in {duration_text(elapsed_s)}{before}")
            if not self._tasks:
                self._close_live()

    def relabelled(self, task_id: str, label: str) -> None:
        """A running task has come so far that it is called ``label`` now."""
        with self._lock:
            if task_id in self._tasks:
                self._tasks[task_id].label = one_line(label, 120)

    def forgotten(self, task_id: str) -> None:
        """A task ended so soon that nobody need be told."""
        with self._lock:
            self._tasks.pop(task_id, None)
            if not self._tasks:
                self._close_live()

    def note(self, text: str) -> None:
        """One line at once."""
        with self._lock:
            self._say(one_line(text))

    def beat(self) -> None:
        """Refresh what is shown; called twice a second while the context is open."""
        with self._lock:
            if self._live is not None:
                self._live.refresh()
                return
            now_s = self._clock()
            for task in self._tasks.values():
                if now_s >= task.next_heartbeat_s:
                    elapsed_s = now_s - task.started_s
                    task.next_heartbeat_s = task.started_s + (elapsed_s // HEARTBEAT_S + 1) * HEARTBEAT_S
                    self._say(f"{task.label} for {elapsed_s:.0f} s{_said(task)}")

    def _say(self, line: str) -> None:
        if self._live is not None:
            from rich.text import Text

            self._live.refresh()
            self._live.console.print(Text(line))
            return
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def _tick(self) -> None:
        while not self._closing.wait(_TICK_S):
            self.beat()

    def _open_live(self) -> Live:
        from rich.live import Live

        from pipeline.publish.terminal import console_for

        live = Live(
            console=console_for(self._stream),
            get_renderable=self._picture,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        live.start()
        return live

    def _close_live(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _picture(self) -> Text:
        from rich.text import Text

        with self._lock:
            now_s = self._clock()
            tasks = sorted(self._tasks.values(), key=lambda task: task.started_s)
            lines = [
                f"  {task.label} for {duration_text(now_s - task.started_s)}{_said(task)}"
                for task in tasks[:_SHOWN_TASKS]
            ]
            if len(tasks) > _SHOWN_TASKS:
                lines.append(f"  and {len(tasks) - _SHOWN_TASKS} more")
            head = f"{self._done} done, {len(tasks)} running"
        return Text("\n".join((head, *lines)), no_wrap=True, overflow="ellipsis")


def _said(task: _Task) -> str:
    detail = one_line(task.detail(), 120)
    return _last_time(task.expected_s) + (f": {detail}" if detail else "")


def _last_time(expected_s: float | None) -> str:
    return "" if expected_s is None else f", last time {duration_text(expected_s)}"
