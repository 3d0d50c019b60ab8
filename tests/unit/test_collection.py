"""That pytest looks into every folder of tests: its own list of folders to leave out has names that are ours."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

TESTS = Path(__file__).parents[1]


def test_no_folder_with_tests_is_left_out(request: pytest.FixtureRequest) -> None:
    folders = {part for path in TESTS.rglob("test_*.py") for part in path.relative_to(TESTS).parts[:-1]}
    assert {"unit", "build"} <= folders
    left_out = request.config.getini("norecursedirs")
    assert [name for name in sorted(folders) if any(fnmatch(name, pattern) for pattern in left_out)] == []
