"""Files that hold what a function must return. ``UPDATE_GOLDENS=1 pytest`` writes them anew, for a person to read."""

from __future__ import annotations

import os
from pathlib import Path

GOLDENS = Path(__file__).parents[1] / "golden"


def golden_text(name: str, actual: str) -> str:
    """What ``tests/golden/<name>`` holds; with ``UPDATE_GOLDENS=1`` it is first set to ``actual``."""
    path = GOLDENS / name
    if os.environ.get("UPDATE_GOLDENS") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(actual.encode())
    return path.read_bytes().decode()
