"""Fixtures of this folder."""

from __future__ import annotations

from tests.support.recordings import recordings

__all__ = ["recordings"]
