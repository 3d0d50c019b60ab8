"""The parts of one commit's report: each job of a matrix leaves its own beside the cache, and reads those of others.

A part is a receipt with its files, like every entry. Its kind is made of what all parts of one report share, so that
they can be listed without looking at anything else, and its key of what selects its jobs, so that a job that runs again
replaces its own, also one that failed before it knew its jobs.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.cache.receipt import Blob, Receipt, ReceiptDamaged, bytes_from_receipt, receipt_from_bytes
from pipeline.cache.store import StoreError, StoreFailed, replace_receipt
from pipeline.digest import digest_from_json
from pipeline.errors import SettingsError
from pipeline.keys import key_from_ingredients
from pipeline.publish.details import details_to_json
from pipeline.publish.parts import DETAILS_JSON, REPORT_JSON, read_parts
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
        """Store a part, in place of an earlier one of the same selection of jobs, the globs ``only``."""
        kind = self._whole.kind
        key = key_from_ingredients(kind, {"only": only})
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
        """Every sound part, in the order of their keys; ``None`` where there is none.

        One that is damaged is left out, as if it had not come yet; but one that a failing place does not give is not,
        for the comment has it perhaps.
        """
        kind = self._whole.kind
        keys = sorted((key for _, key, _ in self._store.receipts(kind)), key=str)
        with tempfile.TemporaryDirectory(prefix="trt-engines-parts-") as folder:
            there = [self._fetched(kind, key, Path(folder) / key.hex) for key in keys]
            return read_parts(Path(folder)) if any(there) else None

    def _fetched(self, kind: str, key: Digest, folder: Path) -> bool:
        """Whether a part is there and sound; then its files are in ``folder``, else nothing is."""
        try:
            data = self._store.get_receipt(kind, key)
            if data is None:
                return False
            for blob in receipt_from_bytes(data, kind=kind, stored_as=key).blobs:
                self._store.fetch_blob(blob.digest, blob.size_bytes, folder / blob.name)
            read_parts(folder)
        except StoreFailed:
            raise
        except (ReceiptDamaged, StoreError, SettingsError):
            shutil.rmtree(folder, ignore_errors=True)
            return False
        return True
