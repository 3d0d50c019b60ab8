"""The folder that a run works in: private, removed at its end, and swept by the next run where that end never came.

Nobody else may list it. Where the step is root its children are nobody (``pipeline.child.identity``), and that group
may open in it what it is told the names of.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.child.identity import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "trt-engines-"
_PASSED_BY_GROUP = 0o710
_YOUNG_S = 1.0
"""A folder is made before it is locked, so one that was made just now is left alone."""


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder in the temporary folder (``TMPDIR``), locked while the block runs. Raises ``OSError``.

    What runs of this user left there that were killed is removed first: the kernel gave up their locks.
    """
    _sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        with _locked(folder):
            _let_children_pass(folder)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _let_children_pass(folder: Path) -> None:
    """A user namespace without that group has no such children either (``StaysRootError``)."""
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            os.chown(folder, -1, NOBODY)
            folder.chmod(_PASSED_BY_GROUP)


def _sweep(place: Path) -> None:
    with contextlib.suppress(OSError):
        for folder in place.glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError):
                found = folder.lstat()
                if found.st_uid == os.geteuid() and time.time() - found.st_ctime > _YOUNG_S:
                    with _locked(folder):
                        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of ``folder``. Raises ``OSError`` where another process does, or where it is a link."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
