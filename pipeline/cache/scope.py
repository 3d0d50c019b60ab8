"""Scopes: whose entries a run may read, and where it writes its own.

A trusted run reads and writes ``trusted``. A pull request and a developer read ``trusted`` and their own scope, and
write only their own. A trusted run never reads what they wrote, and nothing is promoted by copying: the trusted branch
builds anew. The border is drawn twice, here and by the bucket's policies (docs/caching.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.cache.expiry import expired
from pipeline.cache.receipt import ReceiptDamaged, receipt_from_bytes
from pipeline.cache.store import BlobDamaged, BlobMissing
from pipeline.digest import digest_from_bytes
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pipeline.cache.expiry import Expiry
    from pipeline.cache.store import Store, StoredStat, StoreError, Unfinished
    from pipeline.digest import Digest

_PATH = re.compile(r"trusted|local/[A-Za-z0-9._-]{1,64}|pr/[0-9]{1,20}/([0-9]{1,12}|ref-[0-9a-f]{12})")


_EVENTS_OF_WRITERS = frozenset(
    {"create", "deployment", "merge_group", "push", "release", "repository_dispatch", "schedule", "workflow_dispatch"}
)
"""What nobody can set off who may not write to the repository. Others, such as ``issue_comment`` and ``workflow_run``,
run for the default branch whoever set them off, and are commonly made to check out a pull request."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope by its path: ``trusted``, ``local/<user>``, ``pr/<repository id>/<number>``.

    A branch that is not trusted is like a pull request, with ``ref-`` and a digest of its name for the number.
    """

    path: str

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(self.path) or self.path.endswith(("/.", "/..")):
            raise SettingsError(
                f"{self.path!r} is no scope of the cache", fix="use trusted, local/USER or pr/REPOSITORY-ID/NUMBER"
            )

    @property
    def trusted(self) -> bool:
        """Whether it is the one that all others read."""
        return self.path == "trusted"

    @property
    def readable(self) -> tuple[str, ...]:
        """The paths that a run of this scope reads, in order."""
        return ("trusted",) if self.trusted else ("trusted", self.path)


def scope_from_event(event: str, *, repository_id: str, number: str, ref: str, protected: bool) -> Scope:
    """The scope of a run of GitHub Actions.

    ``event`` is the event's name, ``ref`` the full name of its branch or tag, ``protected`` whether a rule protects
    that. Trusted are runs for a protected ref, where only a writer of the repository can have started them.
    Raises ``SettingsError`` for ``pull_request_target``, which runs with the base's rights on a stranger's files.
    """
    if event == "pull_request_target":
        raise SettingsError(
            "a run that pull_request_target started is refused",
            why="it runs with the rights of the base branch on files that anybody may have written",
            fix="start the workflow on pull_request",
        )
    if event.startswith("pull_request") or ref.startswith("refs/pull/"):
        return Scope(f"pr/{repository_id}/{number or ref.split('/')[2]}")
    return _scope_of_branch(repository_id, ref, protected=protected and event in _EVENTS_OF_WRITERS)


def scope_from_pipeline(*, project_id: str, merge_request: str, ref: str, protected: bool) -> Scope:
    """The scope of a job of GitLab CI, by its predefined variables.

    ``merge_request`` is its number in the project, empty for other pipelines; ``ref`` the name of the branch or tag.
    """
    if merge_request:
        return Scope(f"pr/{project_id}/{merge_request}")
    return _scope_of_branch(project_id, ref, protected=protected)


def _scope_of_branch(repository_id: str, ref: str, *, protected: bool) -> Scope:
    if protected:
        return Scope("trusted")
    return Scope(f"pr/{repository_id}/ref-{digest_from_bytes(ref.encode()).hex[:12]}")


class ScopedStore:
    """Reads from each of ``readable`` in order, and writes to ``own`` alone. See ``Store`` for the methods.

    Upkeep (``blobs``, ``delete_*``, ``sweep``) is of ``own`` alone.
    """

    def __init__(self, readable: Sequence[Store], own: Store, *, expiry: Expiry | None = None) -> None:
        self._readable = tuple(readable)
        self._own = own
        self._expiry = expiry

    def __str__(self) -> str:
        return str(self._own)

    @property
    def far(self) -> bool:
        """See ``Store``."""
        return any(store.far for store in self._readable)

    @property
    def use_lag_s(self) -> float:
        """See ``Store``."""
        return self._own.use_lag_s

    def get_receipt(self, kind: str, key: Digest) -> bytes | None:
        """See ``Store``. The first sound one that has not expired; where there is none, the first damage is told."""
        damage: ReceiptDamaged | None = None
        too_old: bytes | None = None
        for store in self._readable:
            try:
                data = store.get_receipt(kind, key)
                if data is not None:
                    if not expired(self._expiry, receipt_from_bytes(data, kind=kind, stored_as=key)):
                        return data
                    too_old = too_old or data
            except ReceiptDamaged as found:  # noqa: PERF203 - the next place is asked
                damage = damage or found
        if damage is not None:
            raise damage
        return too_old

    def put_receipt(self, kind: str, key: Digest, data: bytes, *, replace: bool) -> bool:
        """See ``Store``."""
        return self._own.put_receipt(kind, key, data, replace=replace)

    def mark_used(self, kind: str, key: Digest) -> None:
        """See ``Store``."""
        self._own.mark_used(kind, key)

    def delete_receipt(self, kind: str, key: Digest) -> None:
        """See ``Store``."""
        self._own.delete_receipt(kind, key)

    def receipts(self, kind: str | None = None) -> Iterator[tuple[str, Digest, StoredStat]]:
        """See ``Store``. Of every readable place; one that several have is named once."""
        named: set[tuple[str, Digest]] = set()
        for store in self._readable:
            for found, key, stored in store.receipts(kind):
                if (found, key) not in named:
                    named.add((found, key))
                    yield found, key, stored

    def put_blob(self, path: Path) -> tuple[Digest, int]:
        """See ``Store``."""
        return self._own.put_blob(path)

    def fetch_blob(self, digest: Digest, size_bytes: int, destination: Path) -> None:
        """See ``Store``."""
        self._first_sound(digest, lambda store: store.fetch_blob(digest, size_bytes, destination))

    def check_blob(self, digest: Digest, size_bytes: int) -> None:
        """See ``Store``."""
        self._first_sound(digest, lambda store: store.check_blob(digest, size_bytes))

    def blob_size(self, digest: Digest) -> int | None:
        """See ``Store``."""
        for store in self._readable:
            size_bytes = store.blob_size(digest)
            if size_bytes is not None:
                return size_bytes
        return None

    def delete_blob(self, digest: Digest, *, if_written_s: float) -> bool:
        """See ``Store``."""
        return self._own.delete_blob(digest, if_written_s=if_written_s)

    def blobs(self) -> Iterator[tuple[Digest, StoredStat]]:
        """See ``Store``."""
        return self._own.blobs()

    def unfinished(self) -> Iterator[Unfinished]:
        """See ``Store``."""
        return self._own.unfinished()

    def sweep(self, older_than_s: float) -> int:
        """See ``Store``."""
        return self._own.sweep(older_than_s)

    def _first_sound(self, digest: Digest, read: Callable[[Store], None]) -> None:
        problem: StoreError = BlobMissing(f"blob {digest} is gone")
        for store in self._readable:
            try:
                read(store)
            except BlobMissing:  # noqa: PERF203 - the next place is asked
                continue
            except BlobDamaged as damage:
                problem = damage
            else:
                return
        raise problem
