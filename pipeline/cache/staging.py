"""Files that get their names only when they are finished, in a folder where anything may already lie in the way.

What is being written has a random name in ``tmp``; a rename or a link, after its bytes are on the disk, gives it its
own. What a dead process left in ``tmp`` is swept by age. Foreign things in the place of ours are moved there too, so
that they can be looked at for a day. Links are never followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pipeline.cache.reading import is_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

_INSTALL_ATTEMPTS = 3
_STALE_S = 24 * 3600.0
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Staged:
    """A file that has no name of its own yet."""

    file: IO[bytes]
    path: Path


class Staging:
    """Writes files below ``root``. Safe to use from many threads and processes; every method raises ``OSError``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / "tmp"
        self._lock = threading.Lock()
        self._swept = False

    @contextlib.contextmanager
    def opened(self) -> Iterator[Staged]:
        """A new file, read-only for whoever opens it later; gone when the block ends without ``install``."""
        self._make_own_folder()
        self._sweep_once()
        path = self._folder / secrets.token_hex(12)
        try:
            with os.fdopen(os.open(path, _WRITE_FLAGS, 0o444), "wb") as file:
                yield Staged(file, path)
        finally:
            path.unlink(missing_ok=True)

    def install(self, staged: Staged, path: Path, *, replace: bool) -> bool:
        """Give a finished file its name; ``False`` where something has it and ``replace`` is not set."""
        staged.file.flush()
        os.fsync(staged.file.fileno())
        for _ in range(_INSTALL_ATTEMPTS):
            installed = self._try_install(staged, path, replace=replace)
            if installed is not None:
                return installed
        raise FileExistsError(errno.EEXIST, f"{path} is in the way; remove it")

    def remove(self, path: Path) -> None:
        """Remove a file or link, or move away a folder that is in its place; nothing there is fine."""
        if is_folder(path):
            self._make_own_folder()
            self._move_aside(path)
        else:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()

    def unfinished(self) -> Iterator[os.stat_result]:
        """What lies there: what is being written, what was left behind, what was moved out of the way."""
        if is_folder(self._root) and is_folder(self._folder):
            for entry in list(os.scandir(self._folder)):
                with contextlib.suppress(FileNotFoundError):
                    yield entry.stat(follow_symlinks=False)

    def sweep(self, older_than_s: float) -> int:
        """Remove what was left behind, if untouched for ``older_than_s``; returns the bytes of files removed."""
        if not is_folder(self._root) or not is_folder(self._folder):
            return 0
        freed_bytes = 0
        for entry in list(os.scandir(self._folder)):
            # Another run may remove it first, and what another user left may not be ours to remove.
            with contextlib.suppress(OSError):
                found = entry.stat(follow_symlinks=False)
                if abs(time.time() - found.st_mtime) < older_than_s:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    Path(entry.path).unlink()
                    freed_bytes += found.st_size
        return freed_bytes

    def _sweep_once(self) -> None:
        with self._lock:
            swept, self._swept = self._swept, True
        if not swept:
            with contextlib.suppress(OSError):
                self.sweep(_STALE_S)

    def _try_install(self, staged: Staged, path: Path, *, replace: bool) -> bool | None:
        """One attempt; ``None`` asks for another."""
        self._make_folders(path.parent)
        try:
            if replace:
                staged.path.replace(path)
            else:
                os.link(staged.path, path, follow_symlinks=False)
        except FileExistsError:
            return False
        except IsADirectoryError:
            self._move_aside(path)
            return None
        except FileNotFoundError:
            return None  # Another run moved a foreign thing, and with it the folder just made, out of the way.
        return True

    def _make_own_folder(self) -> None:
        self._root.parent.mkdir(parents=True, exist_ok=True)
        for folder in (self._root, self._folder):
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
            if not is_folder(folder):
                raise NotADirectoryError(errno.ENOTDIR, f"{folder} is in the way; remove it")

    def _make_folders(self, folder: Path) -> None:
        path = self._root
        for part in folder.relative_to(self._root).parts:
            path = path / part
            try:
                path.mkdir()
            except FileExistsError:
                if not is_folder(path):
                    self._move_aside(path)
                    with contextlib.suppress(FileExistsError):
                        path.mkdir()

    def _move_aside(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            path.rename(self._folder / secrets.token_hex(12))
