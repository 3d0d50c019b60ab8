"""The task that does nothing, for measuring what surrounds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def nothing(_request: dict[str, Any], _folder: Path) -> dict[str, Any]:
    """No work, no files."""
    return {}
