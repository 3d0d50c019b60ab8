"""Paths that come from foreign text, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import time
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
_ABANDONED_S = 60.0
"""Long after the last byte: no write pauses for as long."""


class OutsideFolderError(ValueError):
    """A path leads out of the folder that it must stay in."""


def contained(folder: Path, relative: str) -> Path:
    """``folder / relative``, refused when it is absolute, climbs out, or passes through any link.

    ``folder`` itself may be reached through links. The file need not exist. A regular file with more than one
    hard link is refused too: it may be a name for a file that lies elsewhere (``onnx/docs/security.md``).
    """
    path = unlinked(folder, relative)
    if path.is_file() and path.stat().st_nlink > 1:
        raise OutsideFolderError(f"{path} has more than one hard link")
    return path


def unlinked(folder: Path, relative: str) -> Path:
    """The path as ``contained`` has it, for what is about to be written in place of whatever has that name now.

    Before a run its output folder is what the checkout holds, so that whoever wrote that may have put links there.
    """
    pure = PurePosixPath(relative)
    if pure.is_absolute() or not pure.parts or ".." in pure.parts or "\0" in relative or "\\" in relative:
        raise OutsideFolderError(f"{relative!r} must be a relative path below {folder}")
    link = link_on_the_way(Path(relative), folder)
    if link:
        raise OutsideFolderError(f"{link} is a symbolic link")
    return folder / pure


def link_on_the_way(path: Path, folder: Path) -> Path | None:
    """The first symbolic link by which ``path`` is reached from ``folder``; ``None`` too where it lies elsewhere."""
    whole = folder / path
    if not whole.is_relative_to(folder):
        return None
    step = folder
    for part in whole.relative_to(folder).parts:
        step = step / part
        if step.is_symlink():
            return step
    return None


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that becomes ``path`` when the block ends well, and vanishes when it does not.

    The bytes reach the disk before the name does, so that a crash leaves either the old file or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(6)}.tmp"
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` as ``written_atomically`` does."""
    with written_atomically(path) as file:
        file.write(data)


def remove_unfinished(folder: Path, pattern: str) -> None:
    """Remove what ``written_atomically`` left in processes that were killed, where ``pattern`` leads in ``folder``."""
    with contextlib.suppress(OSError):
        for path in folder.glob(f"{pattern}.*.tmp"):
            with contextlib.suppress(OSError):
                status = path.lstat()
                abandoned = stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime > _ABANDONED_S
                if abandoned and _UNFINISHED.fullmatch(path.name):
                    path.unlink()
