"""The parts of one commit's report: each job of a matrix leaves its own beside the cache, and reads those of others.

A part is a receipt with its files, like every entry. Its kind is made of what all parts of one report share, so that
they can be listed without looking at anything else, and its key of what selects its jobs and which of these it did: of
runners that are given the same selection each does what its GPU can. A job that runs again so replaces its own part,
and one that did less is left out, such as one that failed before it knew its jobs.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import __version__
from pipeline.cache.receipt import Blob, Receipt, ReceiptDamaged, bytes_from_receipt, receipt_from_bytes
from pipeline.cache.store import StoreError, StoreFailed, replace_receipt
from pipeline.digest import digest_from_json
from pipeline.errors import SettingsError
from pipeline.keys import key_from_ingredients
from pipeline.publish.details import details_to_json
from pipeline.publish.parts import DETAILS_JSON, REPORT_JSON, did, read_parts
from pipeline.publish.report import report_to_json

if TYPE_CHECKING:
    from pipeline.cache.store import Store
    from pipeline.digest import Digest
    from pipeline.publish.details import Details
    from pipeline.publish.parts import Parts
    from pipeline.publish.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What all parts of one report share; ``manifest`` is its path as the repository has it."""

    project: str
    manifest: str
    commit: str

    @property
    def kind(self) -> str:
        """The kind of the receipts of its parts."""
        digest = digest_from_json({"project": self.project, "manifest": self.manifest, "commit": self.commit})
        return f"part-{digest.hex[:32]}"


class PartStore:
    """Saves and loads the parts of one report. Raises ``StoreError`` where the place fails."""

    def __init__(self, store: Store, whole: Whole) -> None:
        self._store = store
        self._whole = whole

    def save(self, report: Report, details: Details, *, only: str) -> None:
        """Store a part, in place of an earlier one that did the same jobs of the selection, the globs ``only``."""
        kind = self._whole.kind
        key = key_from_ingredients(kind, {"only": only, "did": digest_from_json(_done(report)).hex})
        # Jobs may name the same manifest in different ways.
        named = replace(report, manifest=self._whole.manifest)
        files = {DETAILS_JSON: details_to_json(details), REPORT_JSON: report_to_json(named)}
        with tempfile.TemporaryDirectory(prefix="trt-engines-part-") as folder:
            for name, value in files.items():
                (Path(folder) / name).write_text(json.dumps(value), encoding="utf-8")
            blobs = tuple(Blob(name, *self._store.put_blob(Path(folder) / name)) for name in sorted(files))
        receipt = Receipt(
            key=key,
            subject="a part of a report",
            blobs=blobs,
            metadata={},
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            tool=__version__,
        )
        replace_receipt(self._store, kind, key.digest, bytes_from_receipt(receipt))

    def load(self) -> Parts | None:
        """Every sound part that no later one outdid, in the order of their keys; ``None`` where there is none.

        One that is damaged is left out, as if it had not come yet; but one that a failing place does not give is not,
        for the comment has it perhaps.
        """
        kind = self._whole.kind
        keys = sorted((key for _, key, _ in self._store.receipts(kind)), key=str)
        with tempfile.TemporaryDirectory(prefix="trt-engines-parts-") as folder:
            fetched = [self._fetched(kind, key, Path(folder) / key.hex) for key in keys]
            there = [part for part in fetched if part is not None]
            for part in there:
                if any(other.outdid(part) for other in there):
                    shutil.rmtree(part.folder)
            return read_parts(Path(folder)) if there else None

    def _fetched(self, kind: str, key: Digest, folder: Path) -> _Fetched | None:
        """A part whose files are in ``folder`` now; ``None`` where it is not there or not sound, and nothing is."""
        try:
            data = self._store.get_receipt(kind, key)
            if data is None:
                return None
            receipt = receipt_from_bytes(data, kind=kind, stored_as=key)
            for blob in receipt.blobs:
                self._store.fetch_blob(blob.digest, blob.size_bytes, folder / blob.name)
            (report,) = read_parts(folder).reports
        except StoreFailed:
            raise
        except (ReceiptDamaged, StoreError, SettingsError):
            shutil.rmtree(folder, ignore_errors=True)
            return None
        return _Fetched(folder, dict(receipt.key.ingredients).get("only"), frozenset(_done(report)), report.started)


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A part that was fetched into ``folder``; ``did`` are the ids of the jobs that it did."""

    folder: Path
    only: Any
    did: frozenset[str]
    started: str

    def outdid(self, other: _Fetched) -> bool:
        """Whether the same selection was run again later, and more of it was done."""
        return self.only == other.only and self.did > other.did and self.started >= other.started


def _done(report: Report) -> list[str]:
    return sorted(job.id for job in report.jobs if did(job))
