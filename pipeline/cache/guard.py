"""When a store is left alone: after a few failures, when they cost enough time, or where there is no use in more.

A few failures may be a bad moment of a run that builds for hours. So a store that had no more than these is asked again
after a rest, and left alone for twice as long where it fails again. What failing calls cost is bounded all the same.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pipeline.cache.store import Extent
from pipeline.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.cache.store import Store, StoreFailed

_FAILURES_UNTIL_OFF = 3
_FIRST_REST_S = 300.0
_FAILURE_BUDGET_S = 60.0
"""How long the failing calls of a run may take together, a second counted once however many threads spend it."""


class StoreGuard:
    """The store of one run, for as long as it is of use. Safe to use from many threads.

    ``store`` is ``None`` where no cache was given. Where it is ``required``, whatever would cost only a rebuild raises
    ``CacheError``. ``monotonic`` gives seconds of a clock that nobody sets.
    """

    def __init__(self, store: Store | None, *, required: bool, monotonic: Callable[[], float]) -> None:
        if store is None and required:
            raise CacheError("a cache is required and none is given", fix="name one with --cache FOLDER")
        self.now_s = monotonic
        self._store = store
        self._required = required
        self._lock = threading.Lock()
        self._failures = 0
        self._failed_s = 0.0
        self._failed_until_s = float("-inf")
        self._trouble = ""
        self._read_only = ""
        self._off = "no cache was given" if store is None else ""
        self._rest_s = _FIRST_REST_S
        self._rests_until_s = float("inf")

    @property
    def trouble(self) -> str:
        """What went wrong with the store in this run, once for the user to read; empty where nothing did."""
        return self._trouble

    @property
    def off(self) -> str:
        """Why nothing was read any more from some moment on; empty where there was none."""
        return self._off

    @property
    def to_read(self) -> Store | None:
        """The store, where it may be read."""
        return None if self._is_closed() else self._store

    @property
    def to_write(self) -> Store | None:
        """The store, where it may be written."""
        return None if self._is_closed() or self._read_only else self._store

    def damaged(self, reason: str) -> None:
        """Take note of an entry that must not be used. Raises ``CacheError`` where the cache is required."""
        if self._required:
            raise CacheError(
                f"an entry of the cache {self._store} is not usable", why=reason, fix="remove it with `cache prune`"
            )

    def note(self, text: str) -> None:
        """Let the user read ``text``, unless there is something worse to read."""
        with self._lock:
            self._trouble = self._trouble or text

    def failed(self, failure: StoreFailed, started_s: float) -> str:
        """Count a failure of a call that began at ``started_s`` (``now_s``); leave the store alone where it is due.

        Returns what to say of the call. Raises ``CacheError`` where the cache is required.
        """
        if self._required:
            raise CacheError(f"the cache {self._store} failed", why=failure.reason, fix=failure.fix) from failure
        told = f"{failure.reason}; {failure.fix}" if failure.fix else failure.reason
        with self._lock:
            ended_s = self.now_s()
            self._failed_s += max(0.0, ended_s - max(started_s, self._failed_until_s))
            self._failed_until_s = max(self._failed_until_s, ended_s)
            if failure.extent is Extent.WRITES:
                self._read_only = f"the cache is only read: {told}"
                self._trouble = self._trouble or self._read_only
                return self._read_only
            self._failures += 1
            if not self._off or ended_s >= self._rests_until_s:
                self._off = self._closing_reason(failure, told)
            self._trouble = self._off or self._trouble or f"the cache failed: {told}"
            return self._off or f"the cache failed: {failure.reason}"

    def _is_closed(self) -> bool:
        return bool(self._off) and (self._rests_until_s == float("inf") or self.now_s() < self._rests_until_s)

    def _closing_reason(self, failure: StoreFailed, told: str) -> str:
        """Why the cache is asked nothing more, for a while or for good; empty where it still is."""
        self._rests_until_s = float("inf")
        if failure.extent is Extent.PLACE:
            return f"the cache is left alone: {told}"
        if self._failed_s >= _FAILURE_BUDGET_S:
            return f"the cache cost {self._failed_s:.0f} s in vain and is left alone: {told}"
        if self._failures >= _FAILURES_UNTIL_OFF:
            self._rests_until_s = self._failed_until_s + self._rest_s
            self._rest_s *= 2
            return f"the cache failed {self._failures} times and is left alone: {told}"
        return ""
