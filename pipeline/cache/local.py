"""A store in a folder, safe for concurrent runs and for processes that die at any moment.

    v1/blob/sha256/<aa>/<hex>          mode 0444, so that nobody edits one by accident; never taken as a proof
    v1/receipt/<kind>/<aa>/<hex>.json
    v1/tmp/<random>                    what is being written, and foreign things that were moved out of the way

Every name appears by a rename or a link of a file whose bytes are on the disk already. Folders are not synced: a
power cut may lose the newest names, which costs a rebuild. Links are never followed below the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from typing import TYPE_CHECKING

from pipeline.cache.reading import ForeignFile, chunks, failures, folders, opened_regular, shards, verified_chunks
from pipeline.cache.receipt import RECEIPT_LIMIT_BYTES, ReceiptDamaged
from pipeline.cache.staging import Staging
from pipeline.cache.store import BlobDamaged, BlobMissing, DestinationFailed, StoredStat, Unfinished
from pipeline.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO


class LocalStore:
    """The store in ``folder``, which is made when something is first written. See ``Store`` for the methods."""

    far = False
    use_lag_s = 0.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._root = self._folder / "v1"
        self._staging = Staging(self._root)

    def __str__(self) -> str:
        return str(self._folder)

    def get_receipt(self, kind: str, key: Digest) -> bytes | None:
        """See ``Store``."""
        path = self._receipt_path(kind, key)
        try:
            file = opened_regular(path)
        except ForeignFile as error:
            raise ReceiptDamaged(str(error)) from error
        if file is None:
            return None
        with file, failures(f"cannot read {path}"):
            return b"".join(chunks(file, RECEIPT_LIMIT_BYTES + 1))

    def put_receipt(self, kind: str, key: Digest, data: bytes, *, replace: bool) -> bool:
        """See ``Store``."""
        path = self._receipt_path(kind, key)
        with failures(f"cannot write {path}"), self._staging.opened() as staged:
            staged.file.write(data)
            return self._staging.install(staged, path, replace=replace)

    def mark_used(self, kind: str, key: Digest) -> None:
        """See ``Store``."""
        with contextlib.suppress(OSError):
            os.utime(self._receipt_path(kind, key), follow_symlinks=False)

    def delete_receipt(self, kind: str, key: Digest) -> None:
        """See ``Store``."""
        path = self._receipt_path(kind, key)
        with failures(f"cannot remove {path}"):
            self._staging.remove(path)

    def receipts(self, kind: str | None = None) -> Iterator[tuple[str, Digest, StoredStat]]:
        """See ``Store``."""
        folder = self._root / "receipt"
        for each in [folder / kind] if kind is not None else folders(folder):
            for path, stored in shards(each, ".json"):
                yield each.name, Digest("sha256", path.stem), stored

    def put_blob(self, path: Path) -> tuple[Digest, int]:
        """See ``Store``."""
        hasher, size_bytes = hashlib.sha256(), 0
        action = f"cannot write a copy of {path.name} below {self._root}"
        with path.open("rb", buffering=0) as source, failures(action), self._staging.opened() as staged:
            for chunk in chunks(source):
                hasher.update(chunk)
                staged.file.write(chunk)
                size_bytes += len(chunk)
            digest = Digest("sha256", hasher.hexdigest())
            self._staging.install(staged, self._blob_path(digest), replace=True)
        return digest, size_bytes

    def fetch_blob(self, digest: Digest, size_bytes: int, destination: Path) -> None:
        """See ``Store``."""
        with self._opened_blob(digest) as source:
            temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(6)}.tmp")
            try:
                destination.parent.mkdir(parents=True, exist_ok=True)
                with temporary.open("xb") as copy:
                    for chunk in verified_chunks(source, digest, size_bytes):
                        copy.write(chunk)
                temporary.replace(destination)
            except OSError as error:
                raise DestinationFailed(f"cannot write {destination}: {error.strerror or error}") from error
            finally:
                with contextlib.suppress(OSError):
                    temporary.unlink()

    def check_blob(self, digest: Digest, size_bytes: int) -> None:
        """See ``Store``."""
        with self._opened_blob(digest) as source:
            for _ in verified_chunks(source, digest, size_bytes):
                pass

    def blob_size(self, digest: Digest) -> int | None:
        """See ``Store``."""
        path = self._blob_path(digest)
        with failures(f"cannot read {path}"):
            try:
                found = path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        if not stat.S_ISREG(found.st_mode):
            raise BlobDamaged(f"{path} is no regular file")
        return found.st_size

    def delete_blob(self, digest: Digest, *, if_written_s: float) -> bool:
        """See ``Store``."""
        path = self._blob_path(digest)
        with failures(f"cannot remove {path}"):
            try:
                same = path.lstat().st_mtime == if_written_s
            except (FileNotFoundError, NotADirectoryError):
                return False
            if same:
                self._staging.remove(path)
            return same

    def blobs(self) -> Iterator[tuple[Digest, StoredStat]]:
        """See ``Store``."""
        for path, stored in shards(self._root / "blob" / "sha256", ""):
            yield Digest("sha256", path.name), stored

    def unfinished(self) -> Iterator[Unfinished]:
        """See ``Store``."""
        with failures(f"cannot list {self._root}"):
            for found in self._staging.unfinished():
                yield Unfinished(found.st_size, found.st_mtime)

    def sweep(self, older_than_s: float) -> int:
        """See ``Store``."""
        with failures(f"cannot sweep {self._root}"):
            return self._staging.sweep(older_than_s)

    def _receipt_path(self, kind: str, key: Digest) -> Path:
        return self._root / "receipt" / kind / key.hex[:2] / f"{key.hex}.json"

    def _blob_path(self, digest: Digest) -> Path:
        return self._root / "blob" / digest.algorithm / digest.hex[:2] / digest.hex

    def _opened_blob(self, digest: Digest) -> IO[bytes]:
        path = self._blob_path(digest)
        try:
            file = opened_regular(path)
        except ForeignFile as error:
            raise BlobDamaged(str(error)) from error
        if file is None:
            raise BlobMissing(f"{path} is gone")
        return file
