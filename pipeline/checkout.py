"""What the commit that is checked out holds, as git's own index tells (its documentation, gitformat-index)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LIMIT_BYTES: Final = 256 << 20
_LONGEST_LINK_BYTES: Final = 8192
_HEADER: Final = struct.Struct(">4sII")
_FIXED_BYTES: Final = 60
"""Times, numbers and the name of an entry's content (SHA-1), in front of its flags."""
_EXTENDED: Final = 0x4000


def committed_below(folder: Path) -> str:
    """A file below ``folder`` that is part of the commit; empty where there is none, or nobody can tell."""
    repository = next((each for each in (folder, *folder.parents) if (each / ".git").exists()), None)
    if repository is None:
        return ""
    try:
        with (_git_folder(repository) / "index").open("rb") as file:
            data = file.read(_LIMIT_BYTES)
        wanted = f"{folder.relative_to(repository).as_posix()}/".encode()
        return next((path.decode(errors="replace") for path in _paths(data) if path.startswith(wanted)), "")
    except (OSError, ValueError, IndexError, struct.error):
        return ""


def _git_folder(repository: Path) -> Path:
    """Where git keeps what it knows of a checkout. Of further worktrees and submodules ``.git`` is a file that says it.

    No commit can bring such a file along: git checks out no path of that name. Raises ``OSError``, ``ValueError``.
    """
    link = repository / ".git"
    if link.is_dir():
        return link
    with link.open("rb") as file:
        key, _, place = file.read(_LONGEST_LINK_BYTES).decode().partition(": ")
    if key != "gitdir":
        raise ValueError(f"{link} names no folder")
    return repository / place.rstrip("\r\n")


def _paths(data: bytes) -> Iterator[bytes]:
    """The paths of an index of version 2, 3 or 4. Raises ``ValueError``, ``IndexError`` or ``struct.error``."""
    _, version, count = _HEADER.unpack_from(data)
    place, path = _HEADER.size, b""
    for _ in range(count):
        start = place
        (flags,) = struct.unpack_from(">H", data, place + _FIXED_BYTES)
        place += _FIXED_BYTES + (4 if flags & _EXTENDED else 2)
        kept = b""
        if version == 4:
            dropped, place = _varint(data, place)
            kept = path[: len(path) - dropped]
        end = data.index(b"\0", place)
        path = kept + data[place:end]
        # Before version 4 an entry is padded by 1 to 8 null bytes to a multiple of 8.
        place = end + 1 if version == 4 else start + (end - start + 8) // 8 * 8
        yield path


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number as pack files write offsets, and the place behind it (gitformat-pack, "offset encoding")."""
    value = data[place] & 0x7F
    while data[place] & 0x80:
        place += 1
        value = ((value + 1) << 7) | (data[place] & 0x7F)
    return value, place + 1
