"""A cache in a folder, and two entries of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.cache.local import LocalStore
from tests.support.aged_entries import add_entry

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.cache.receipt import Receipt


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "cache")


@pytest.fixture
def two(store: LocalStore, tmp_path: Path) -> tuple[Receipt, Receipt]:
    """An entry used ten days ago and one used two days ago; they share the blob ``shared``."""
    return add_entry(store, tmp_path, "old", 10), add_entry(store, tmp_path, "new", 2)
