"""Taking over what a child left in its folder. A child that went wrong may have left traps there."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class TrapError(ValueError):
    """A child left something other than plain files and folders."""


def take_over(folder: Path) -> None:
    """Make this process's user the owner of everything in ``folder``, readable as its other files are.

    Nothing is followed: a link to a secret would be read, and delivered, with the rights of the parent.
    Raises ``TrapError`` for what is neither a folder nor a file with one name, and ``OSError``.
    """
    for _, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files):
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            is_folder = stat.S_ISDIR(status.st_mode)
            if not is_folder and (not stat.S_ISREG(status.st_mode) or status.st_nlink > 1):
                raise TrapError(f"{name!r} is not a plain file")
            if status.st_uid != os.geteuid():
                os.chown(name, os.geteuid(), os.getegid(), dir_fd=descriptor, follow_symlinks=False)
            os.chmod(name, 0o755 if is_folder else 0o644, dir_fd=descriptor)
    if folder.stat().st_uid != os.geteuid():
        os.chown(folder, os.geteuid(), os.getegid())


def size_bytes(folder: Path) -> int:
    """What the files below ``folder`` take on the disk; what vanishes meanwhile counts nothing."""
    total = 0
    for _, _, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_blocks * 512
    return total
