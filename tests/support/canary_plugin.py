"""A plugin of pytest: secrets are planted in the environment of all tests, and none of them may be found afterwards.

Looked at are what each test printed or failed with, and every file that the tests left in their temporary folders:
logs, comments, reports, cache objects, core files. What is found fails the session, whatever the tests said.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAMES = (
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "CI_JOB_TOKEN",
    "GITHUB_TOKEN",
    "GITLAB_TOKEN",
    "SOME_PASSWORD",
)
_FOLDER = pytest.StashKey[Path]()
_PREFIX = "planted-in-all-tests-"
_BLOCK_BYTES = 4 << 20
_LONGEST_BYTES = 256


def planted() -> dict[str, str]:
    """Variable -> a secret that nothing else holds."""
    return {name: f"{_PREFIX}{secrets.token_hex(12)}" for name in NAMES}


def leaks_in(folder: Path, canaries: Mapping[str, str]) -> Iterator[str]:
    """Each file below ``folder`` that holds a canary, with its variable, and each core file."""
    wanted = {name: value.encode() for name, value in canaries.items()}
    for parent, _, files in os.walk(folder):
        for file in files:
            path = Path(parent, file)
            if path.is_symlink() or not path.is_file():
                continue
            if file == "core" or file.startswith("core."):
                yield f"{path} is a core file"
            yield from (f"{path} holds {name}" for name in sorted(_held(path, wanted)))


def _held(path: Path, wanted: Mapping[str, bytes]) -> set[str]:
    """What of ``wanted`` is in the file; nothing is in one that this user may not read."""
    found: set[str] = set()
    with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:
        for start, end in _extents(file.fileno()):
            for position in range(start, end, _BLOCK_BYTES):
                block = os.pread(file.fileno(), _BLOCK_BYTES + _LONGEST_BYTES, position)
                if _PREFIX.encode() in block:
                    found.update(name for name, value in wanted.items() if value in block)
    return found


def _extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """Where a file has bytes of its own: some tests make one of a tebibyte with none."""
    end = 0
    with contextlib.suppress(OSError):  # ENXIO, behind the last
        while True:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
            yield start, end


class Canaries:
    """Planted when the session begins, looked for in each report and, at the end, in the folders."""

    def __init__(self) -> None:
        self._canaries = planted()
        self._found: list[str] = []
        os.environ.update(self._canaries)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Look at what a test said."""
        said = f"{report.capstdout}{report.capstderr}{report.caplog}{report.longreprtext}"
        self._found += [f"{report.nodeid} told {name}" for name, value in self._canaries.items() if value in said]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Look at what all tests left."""
        if _FOLDER in session.config.stash:
            self._found += leaks_in(session.config.stash[_FOLDER], self._canaries)
        if self._found:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was found."""
        for text in self._found:
            terminalreporter.write_line(f"CANARY: {text}", red=True)


@pytest.fixture(scope="session", autouse=True)
def _folders_of_tests(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> None:
    pytestconfig.stash[_FOLDER] = tmp_path_factory.getbasetemp()


def pytest_configure(config: pytest.Config) -> None:
    """Begin."""
    config.pluginmanager.register(Canaries(), "canaries")
