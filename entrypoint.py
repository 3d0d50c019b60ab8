"""The front door: reads the environment once, runs the command line or the inputs, exits with the code."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

_CANCELLED = 130


def start(run: Callable[[], int]) -> int:
    """The exit code of ``run``, which imports what it needs; a signal at any moment of that ends in 130.

    As PID 1 of a container, a process gets no signal that it does not ask for. ``run`` may ask for them in its own way;
    once it is over, a late signal must not change the code that its report has.
    """
    interrupt = _Interrupt()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        code = run()
    except KeyboardInterrupt:
        code = _CANCELLED
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    return code


class _Interrupt:
    """Ends the program where it is. ``came`` stays, for who hears them in another way (``pipeline.commands.signals``).

    Python drops what is raised while an object is finalized, as it does of each module that it has just imported.
    """

    def __init__(self) -> None:
        self.came = False

    def __call__(self, _number: int, _frame: object) -> NoReturn:
        self.came = True
        raise KeyboardInterrupt


def _run() -> int:
    # In isolated mode, as in the image, Python does not look where its program lies.
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from pipeline.action.step import run_step

    return run_step(sys.argv[1:], os.environ)


if __name__ == "__main__":
    sys.exit(start(_run))
