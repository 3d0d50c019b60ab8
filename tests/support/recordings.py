"""A fixture for tests of whole runs: outcomes of the real tasks, recorded once and given again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.faulty_step import MANIFEST, run_step_in

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What each task of the digits example gave, by its name."""
    folder = tmp_path_factory.mktemp("recordings")
    work = tmp_path_factory.mktemp("recording")
    done = run_step_in(work, "run", "--manifest", str(MANIFEST), recordings=folder, timeout_s=240)
    assert done.returncode == 0, done.stderr
    return folder
