"""Taking over what a child left in its folder. A child that went wrong may have left traps there."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DEEPEST: Final = 64
"""Folders within folders. The standard library walks and removes them by recursion, which a child could exhaust."""
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class TrapError(ValueError):
    """A child left something other than plain files and folders."""


def take_over(folder: Path) -> None:
    """Make this process's user the owner of everything in ``folder``, readable as its other files are.

    Nothing is followed: a link to a secret would be read, and delivered, with the rights of the parent.
    Raises ``TrapError`` for what is neither a folder nor a file with one name, and ``OSError``.
    """
    for names, descriptor in _walked(folder):
        for name in names:
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
    """What lies below ``folder`` takes on the disk; what vanishes meanwhile counts nothing. Raises ``TrapError``."""
    total = 0
    for names, descriptor in _walked(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_blocks * 512
    return total


def clear(folder: Path) -> None:
    """Remove all that lies in ``folder``, however deep. Raises ``OSError``."""
    root = os.open(folder, _FOLDER)
    try:
        # Folders are moved up beside the one that held them, so that none is ever deeper than the second.
        while found := _folders_in(root):
            for name in found:
                _remove_shallow(root, name)
        _remove_files(root)
    finally:
        os.close(root)


def _walked(folder: Path) -> Iterator[tuple[list[str], int]]:
    """The names in each folder, with the folder's descriptor; its folders are entered later."""
    top = len(folder.parts)
    for path, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        if folders and path.count(os.sep) - top >= _DEEPEST:
            raise TrapError(f"folders lie more than {_DEEPEST} deep")
        yield [*folders, *files], descriptor


def _folders_in(descriptor: int) -> list[str]:
    with os.scandir(descriptor) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def _remove_files(descriptor: int) -> None:
    with os.scandir(descriptor) as entries:
        names = [entry.name for entry in entries]
    for name in names:
        os.unlink(name, dir_fd=descriptor)


def _remove_shallow(root: int, name: str) -> None:
    """Remove folder ``name`` of ``root`` with its files; its own folders move to ``root``."""
    os.chmod(name, 0o700, dir_fd=root)
    descriptor = os.open(name, _FOLDER, dir_fd=root)
    try:
        for inner in _folders_in(descriptor):
            os.chmod(inner, 0o700, dir_fd=descriptor)
            os.rename(inner, secrets.token_hex(8), src_dir_fd=descriptor, dst_dir_fd=root)
        _remove_files(descriptor)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=root)
