"""What a container wrote as root, handed to the owner of the workspace.

A container action runs as root, and the workspace belongs to the runner's user, who could neither overwrite nor remove
what root left there: the next checkout would fail. So what root owns below the workspace is handed over at the end.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_ROOT = 0


def hand_over(workspace: Path) -> int:
    """Give what root owns below ``workspace`` to the owner of ``workspace``. Returns how many files and folders.

    Links are handed over, never followed, and folders are walked by their descriptors, so that a link that is put in
    place meanwhile leads nowhere. A file that has another name is left alone, for that may be one of the machine's own.
    Other file systems mounted below are left alone too. What cannot be handed over stays.
    """
    owner = workspace.stat()
    if owner.st_uid == _ROOT:
        return 0
    count = 0
    for _, folders, files, descriptor in os.fwalk(workspace):
        for name in (*folders, *files):
            with contextlib.suppress(OSError):
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                named_once = stat.S_ISDIR(found.st_mode) or found.st_nlink == 1
                if found.st_uid == _ROOT and found.st_dev == owner.st_dev and named_once:
                    os.chown(name, owner.st_uid, owner.st_gid, dir_fd=descriptor, follow_symlinks=False)
                    count += 1
        folders[:] = [name for name in folders if _device(name, descriptor) == owner.st_dev]
    return count


def _device(name: str, descriptor: int) -> int | None:
    with contextlib.suppress(OSError):
        return os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_dev
    return None
