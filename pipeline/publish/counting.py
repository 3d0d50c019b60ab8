"""Shows how far a long count has come: what goes through it is counted and handed on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pipeline.publish.progress import Progress

_EVERY = 100
_WORTH_TELLING_S = 2.0
"""A count that is done sooner leaves no line in a log."""

_Item = TypeVar("_Item")


class Counting:
    """Hands items on and shows their number through ``progress``: a ``Watch`` of ``pipeline.cache.entries``."""

    def __init__(self, progress: Progress, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress = progress
        self._clock = clock

    def __call__(self, label: str, items: Iterable[_Item]) -> Iterator[_Item]:
        """Every one of ``items``; ``label`` reads like ``reading receipts``."""
        started_s, count, outcome = self._clock(), 0, "stopped"
        self._progress.started(label, label)
        try:
            for item in items:
                yield item
                count += 1
                if count % _EVERY == 0:
                    self._progress.relabelled(label, f"{label}, {count} so far,")
            outcome = "done"
        finally:
            elapsed_s = self._clock() - started_s
            if elapsed_s >= _WORTH_TELLING_S:
                self._progress.relabelled(label, f"{label}, {count}")
                self._progress.finished(label, outcome, elapsed_s)
            else:
                self._progress.forgotten(label)
