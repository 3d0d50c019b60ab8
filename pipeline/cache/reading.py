"""Reading a folder that anybody may have changed: regular files only, blobs only together with their digest."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pipeline.cache.store import BlobDamaged, StoredStat, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.digest import Digest

_CHUNK_BYTES = 1 << 20
_HEX = re.compile(r"[0-9a-f]{64}")
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class ForeignFile(Exception):  # noqa: N818 - a finding about data, named as such
    """Something other than a regular file lies where a file of ours belongs."""


@contextlib.contextmanager
def failures(action: str) -> Iterator[None]:
    """Turn an ``OSError`` of the block into ``StoreFailed``, which says what could not be done."""
    try:
        yield
    except OSError as error:
        raise StoreFailed(f"{action}: {error.strerror or error}") from error


def opened_regular(path: Path) -> IO[bytes] | None:
    """The regular file at ``path`` without following a link there or waiting for a pipe; ``None`` where none is."""
    try:
        descriptor = os.open(path, _READ_FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise ForeignFile(f"{path} is no regular file") from error
        raise StoreFailed(f"cannot read {path}: {error.strerror or error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ForeignFile(f"{path} is no regular file")
    return os.fdopen(descriptor, "rb", buffering=0)


def chunks(file: IO[bytes], limit_bytes: int | None = None) -> Iterator[bytes]:
    """The file's bytes, at most ``limit_bytes`` of them, a mebibyte at a time."""
    left = limit_bytes
    while chunk := file.read(_CHUNK_BYTES if left is None else min(left, _CHUNK_BYTES)):
        yield chunk
        if left is not None:
            left -= len(chunk)


def verified_chunks(file: IO[bytes], digest: Digest, size_bytes: int) -> Iterator[bytes]:
    """The chunks of a blob; raises ``BlobDamaged`` after the last one, or as soon as the length cannot be right."""
    hasher, seen_bytes = hashlib.sha256(), 0
    found = chunks(file, size_bytes + 1)
    while True:
        with failures(f"cannot read blob {digest}"):
            chunk = next(found, b"")
        if not chunk:
            break
        hasher.update(chunk)
        seen_bytes += len(chunk)
        yield chunk
    if seen_bytes != size_bytes:
        size_text = "longer" if seen_bytes > size_bytes else "shorter"
        raise BlobDamaged(f"blob {digest} is {size_text} than its {size_bytes} bytes")
    if hasher.hexdigest() != digest.hex:
        raise BlobDamaged(f"the bytes of blob {digest} have changed")


def is_folder(path: Path) -> bool:
    """Whether a real folder, not a link to one, lies at ``path``."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def folders(folder: Path) -> Iterator[Path]:
    """The real folders in ``folder``, sorted; none where it is missing."""
    with failures(f"cannot list {folder}"):
        if is_folder(folder):
            with os.scandir(folder) as entries:
                found = sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
            yield from map(Path, found)


def shards(folder: Path, suffix: str) -> Iterator[tuple[Path, StoredStat]]:
    """Whatever has the name of a stored thing, two folders down; other names are nobody's business."""
    for shard in folders(folder):
        with failures(f"cannot list {shard}"), os.scandir(shard) as entries:
            for entry in list(entries):
                stem = entry.name.removesuffix(suffix)
                if not (entry.name.endswith(suffix) and _HEX.fullmatch(stem) and stem[:2] == shard.name):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    yield shard / entry.name, StoredStat(found.st_size, found.st_mtime)
