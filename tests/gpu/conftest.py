from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gpu_runs import BENCHMARK, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder in which every precision was built, inspected, verified and timed once, and the report of that."""
    folder = tmp_path_factory.mktemp("built")
    return folder, run(folder, more=BENCHMARK)
