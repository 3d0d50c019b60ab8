"""How long to wait for a host that asks for it, and when to give up.

GitHub's rule ("Rate limits for the REST API", exceeding the rate limit): a refusal with 403 or 429 is waited out for as
long as ``retry-after`` says; where ``x-ratelimit-remaining`` is 0, until the time in ``x-ratelimit-reset``; else for a
minute, and longer each time. GitLab answers 429 with ``Retry-After`` and ``RateLimit-Reset``. Writing requests are to
be a second apart.
"""

from __future__ import annotations

import math
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from pipeline.hosts.conversation import OutOfTime
from pipeline.publish.figures import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BUDGET_S = 180.0
"""What all requests of one publication may take together, waits included."""
_UNTOLD_WAIT_S = 60.0
_BETWEEN_WRITES_S = 1.0
_TOLD_WAIT_S = 5.0
_LIMITED = ("rate limit", "abuse detection", "too many requests", "retry later")
_RESETS = ("x-ratelimit-reset", "ratelimit-reset")
_REMAINING = ("x-ratelimit-remaining", "ratelimit-remaining")


def limit_wait_s(
    status: int, headers: Mapping[str, str], text: str, *, now_s: float, refusals: int = 0
) -> float | None:
    """Seconds until a refused request may be repeated; ``None`` where the answer is not about a rate limit.

    ``headers`` have names in lower case. ``now_s`` is seconds since the epoch, used where the host does not say its own
    time. ``refusals`` counts those before, which double a wait that the host does not name.
    """
    if status not in {403, 429}:
        return None
    told = headers.get("retry-after")
    spent = any(headers.get(name, "").strip() == "0" for name in _REMAINING)
    if status == 403 and told is None and not spent and not any(word in text.lower() for word in _LIMITED):
        return None
    server_s = _date_s(headers.get("date"))
    host_now_s = now_s if server_s is None else server_s
    untold_s = _UNTOLD_WAIT_S * 2.0**refusals
    if told is not None:
        seconds = _number(told)
        date_s = _date_s(told) if seconds is None else None
        wait_s = seconds if seconds is not None else None if date_s is None else date_s - host_now_s
        return untold_s if wait_s is None or wait_s < 0 else wait_s
    if spent:
        reset_s = next((number for name in _RESETS if (number := _number(headers.get(name))) is not None), None)
        return untold_s if reset_s is None or reset_s < host_now_s else reset_s - host_now_s
    return untold_s


class Patience:
    """The time budget of one publication. ``sleep`` may end early by returning true, which gives up.

    ``say`` is told of each wait that a reader of the log would wonder about.
    """

    def __init__(
        self,
        budget_s: float = BUDGET_S,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._say = say
        self._ends_s = clock() + budget_s
        self._written_s = -math.inf

    @property
    def left_s(self) -> float:
        """What is left of the budget, never less than 0."""
        return max(0.0, self._ends_s - self._clock())

    def wait(self, wait_s: float, reason: str) -> None:
        """Sleep. Raises ``OutOfTime`` at once where the budget cannot bear it."""
        if wait_s >= self.left_s:
            raise OutOfTime(
                f"{reason}, to be repeated in {duration_text(wait_s)}, and {duration_text(self.left_s)} are left for it"
            )
        if self._say is not None and wait_s >= _TOLD_WAIT_S:
            self._say(f"{reason}: waiting for {duration_text(wait_s)}")
        if self._sleep(wait_s):
            raise OutOfTime("the run was cancelled")

    def before_write(self) -> None:
        """Keep writing requests apart."""
        due_s = self._written_s + _BETWEEN_WRITES_S - self._clock()
        if due_s > 0:
            self.wait(due_s, "writing requests must be a second apart")
        self._written_s = self._clock()


def _number(text: str | None) -> float | None:
    if text is None or not (plain := text.strip()).isascii() or not plain.isdecimal() or len(plain) > 15:
        return None
    return float(plain)


def _date_s(text: str | None) -> float | None:
    """Seconds since the epoch of an HTTP date, ``None`` for anything else."""
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
