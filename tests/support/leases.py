"""Leases for unit tests, in memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pipeline.cache.lease import Lease
from pipeline.cache.store import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.digest import Digest


class FakeLeases:
    """Leases that another runner holds for the first ``refusals`` questions; see ``pipeline.cache.lease.Leases``.

    With ``seen_late`` the first question does not see it. ``broken`` makes every call fail. ``at_first`` is called
    before the first answer, ``at_release`` before a lease ends. ``events`` notes the calls.
    """

    def __init__(
        self,
        refusals: int = 0,
        *,
        seen_late: bool = False,
        broken: bool = False,
        term_s: float = 100.0,
        at_first: Callable[[], None] = lambda: None,
        at_release: Callable[[], None] = lambda: None,
    ) -> None:
        self.term_s = term_s
        self.events: list[str] = []
        self.renewed = threading.Event()
        self._refusals = refusals
        self._seen_late = seen_late
        self._broken = broken
        self._at_first = at_first
        self._at_release = at_release

    def held(self, kind: str, key: Digest) -> bool:
        """See ``Leases``."""
        self._note("held")
        if self._seen_late and len(self.events) == 1:
            return False
        return self._refused()

    def take(self, kind: str, key: Digest) -> Lease | None:
        """See ``Leases``."""
        self._note("take")
        return None if self._refused() else Lease("name", "1")

    def renew(self, lease: Lease) -> bool:
        """See ``Leases``."""
        self.renewed.set()
        self._note("renew")
        return True

    def release(self, lease: Lease, *, in_haste: bool = False) -> None:
        """See ``Leases``."""
        self._note("release in haste" if in_haste else "release")
        self._at_release()

    def _refused(self) -> bool:
        self._refusals -= 1
        return self._refusals >= 0

    def _note(self, event: str) -> None:
        self.events.append(event)
        if len(self.events) == 1:
            self._at_first()
        if self._broken:
            raise StoreFailed("no answer")
