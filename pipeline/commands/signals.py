"""SIGINT and SIGTERM while a command has work in progress: they cancel it, whatever the main thread is at."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_END = b"\0"
_CAME = "came"
"""What the front door's handler tells of a signal (``entrypoint``)."""


@contextlib.contextmanager
def signals_set(cancel: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set ``cancel`` while the block runs, so that children are ended and the report written.

    So does one that came before and was lost (``entrypoint``), and one that comes after changes nothing: what was
    reported holds. A thread of its own waits for what the interpreter's handler writes at once
    (``signal.set_wakeup_fd``): Python's own handlers run only when the main thread goes on, which may be asleep, and
    interrupt it anywhere, also where it holds the event's lock.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def set_cancel() -> None:
        while (came := os.read(reader, 1)) != _END:
            if came[0] in _NUMBERS:
                cancel.set()

    watcher = threading.Thread(target=set_cancel, name="signals", daemon=True)
    watcher.start()
    wakened = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    before = {number: signal.signal(number, lambda _number, _frame: None) for number in _NUMBERS}
    if any(getattr(handler, _CAME, False) for handler in before.values()):
        cancel.set()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if hasattr(handler, _CAME) else handler)
        signal.set_wakeup_fd(wakened)
        os.write(writer, _END)
        watcher.join()
        os.close(reader)
        os.close(writer)
