"""A clock for tests of what takes time."""

from __future__ import annotations


class Clock:
    """Seconds that stand still until a test moves them."""

    def __init__(self, now_s: float = 100.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s
