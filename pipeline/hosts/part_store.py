"""The parts of one commit's report: each job of a matrix leaves its own beside the cache, and reads those of others.

A part is a receipt with one file, like every entry. Its kind is made of what all parts of one report share, so that
they can be listed without looking at anything else, and its key of the jobs that it is of, so that a job that runs
again replaces its own.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.cache.receipt import Blob, Receipt, ReceiptDamaged, bytes_from_receipt, receipt_from_bytes
from pipeline.cache.store import StoreError
from pipeline.digest import digest_from_json
from pipeline.errors import SettingsError
from pipeline.keys import key_from_ingredients
from pipeline.publish.parts import REPORT_JSON, read_report
from pipeline.publish.report import report_to_json

if TYPE_CHECKING:
    from pipeline.cache.store import Store
    from pipeline.digest import Digest
    from pipeline.publish.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What all parts of one report share."""

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

    def save(self, report: Report) -> None:
        """Store a part, in place of one of the same jobs."""
        key = key_from_ingredients(
            self._whole.kind, {"jobs": str(digest_from_json(sorted(job.id for job in report.jobs)))}
        )
        with tempfile.TemporaryDirectory(prefix="trt-engines-part-") as folder:
            path = Path(folder) / REPORT_JSON
            path.write_text(json.dumps(report_to_json(report)), encoding="utf-8")
            blob = Blob(REPORT_JSON, *self._store.put_blob(path))
        receipt = Receipt(
            key=key,
            subject=self._whole.manifest[:1024],
            blobs=(blob,),
            metadata={},
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            tool=__version__,
        )
        self._store.put_receipt(key.kind, key.digest, bytes_from_receipt(receipt), replace=True)

    def load(self) -> tuple[Report, ...]:
        """Every sound part, in the order of their keys. One that is damaged is left out, as if it had not come yet."""
        kind = self._whole.kind
        keys = sorted((key for _, key, _ in self._store.receipts(kind)), key=str)
        with tempfile.TemporaryDirectory(prefix="trt-engines-parts-") as folder:
            found = [self._part(kind, key, Path(folder)) for key in keys]
        return tuple(report for report in found if report is not None)

    def _part(self, kind: str, key: Digest, folder: Path) -> Report | None:
        try:
            data = self._store.get_receipt(kind, key)
            receipt = receipt_from_bytes(data, kind=kind, stored_as=key) if data is not None else None
            if receipt is None or len(receipt.blobs) != 1:
                return None
            path = folder / f"{key.hex}.json"
            self._store.fetch_blob(receipt.blobs[0].digest, receipt.blobs[0].size_bytes, path)
            report = read_report(path)
        except (ReceiptDamaged, StoreError, SettingsError):
            return None
        return report
