"""How long an entry of the cache is believed: a receipt says when it was made, and too old a one is made anew.

Off unless a team asks for it. It bounds how long anything that is wrong in a way that no key shows can live on.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Callable  # noqa: TC003  a field of a dataclass
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.cache.receipt import Receipt

DAY_S = 86400.0
_SKEW_S = 3600.0
"""How far the clocks of two runners may differ."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """Entries older than ``max_age_s`` have expired. ``now`` gives seconds since the epoch."""

    max_age_s: float
    now: Callable[[], float] = time.time

    def fault(self, receipt: Receipt) -> str:
        """Why ``receipt`` is not believed any more; empty where it is."""
        try:
            age_s = self.now() - calendar.timegm(time.strptime(receipt.created, "%Y-%m-%dT%H:%M:%SZ"))
        except ValueError:
            return f"expired: {receipt.created} is no date"
        if age_s < -_SKEW_S:
            return f"expired: {receipt.created}, when it was made, is yet to come"
        if age_s > self.max_age_s:
            return f"expired: made {receipt.created}, more than {self.max_age_s / DAY_S:g} days ago"
        return ""


def expired(expiry: Expiry | None, receipt: Receipt) -> str:
    """Why ``receipt`` has expired; empty where it has not, or nothing expires."""
    return expiry.fault(receipt) if expiry is not None else ""
