"""T8: the secrets that are planted in the environment of every test session are found where they leak, and fail it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.canary_plugin import NAMES, leaks_in, planted

ROOT = Path(__file__).parents[2]
LEAKS = {
    "a file": "def test_it(tmp_path): (tmp_path / 'log').write_text('x' + os.environ['GITHUB_TOKEN'])",
    "its output": "def test_it(): print(os.environ['GITHUB_TOKEN'])",
    "its error": "def test_it(): raise ValueError(os.environ['GITHUB_TOKEN'])",
    "a core file": "def test_it(tmp_path): (tmp_path / 'core.17').write_text('x')",
}


def session(folder: Path, test: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(f"import os\n\n\n{test}\n")
    options = ("-q", "-c", os.devnull, "--rootdir", str(folder), "-p", "tests.support.canary_plugin")
    command = [sys.executable, "-m", "pytest", *options, "--basetemp", str(folder / "tmp"), str(folder / "test_it.py")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    shutil.rmtree(folder / "tmp")
    return ended


@pytest.mark.parametrize("leak", sorted(LEAKS))
def test_T8_a_session_that_leaks_a_secret_fails_and_says_where(tmp_path: Path, leak: str) -> None:
    ended = session(tmp_path, LEAKS[leak])
    assert ended.returncode == 1
    assert "CANARY: " in ended.stdout


def test_T8_a_session_that_keeps_its_secrets_passes(tmp_path: Path) -> None:
    ended = session(tmp_path, "def test_it(tmp_path): (tmp_path / 'log').write_text('nothing')")
    assert (ended.returncode, "CANARY" in ended.stdout) == (0, False)


def test_T8_secrets_are_planted_in_this_very_session() -> None:
    assert all(os.environ[name].startswith("planted-in-all-tests-") for name in NAMES)


def test_T8_what_holds_a_secret_is_named_with_its_variable(tmp_path: Path) -> None:
    canaries = planted()
    with (tmp_path / "comment.md").open("wb") as file:
        file.seek(1 << 40)
        file.write(bytes((4 << 20) - 20) + f"see {canaries['CI_JOB_TOKEN']}".encode())
    (tmp_path / "link").symlink_to(tmp_path / "comment.md")
    assert list(leaks_in(tmp_path, canaries)) == [f"{tmp_path / 'comment.md'} holds CI_JOB_TOKEN"]
