"""Where baselines are kept: in the cache, one receipt for each job of a manifest on a branch.

A receipt of its own for each job lets several runners of one matrix write at once without losing each other's results,
and costs one round trip. The JSON is the receipt's metadata, so it is written whole, digested and sealed like any
other entry. Unlike other entries a baseline is replaced: its key says whose it is, not what is in it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.cache.receipt import Receipt, ReceiptDamaged, bytes_from_receipt, receipt_from_bytes
from pipeline.cache.store import StoreError
from pipeline.compare.baseline import BaselineError, JobBaseline, baseline_from_json, baseline_to_json, continued
from pipeline.keys import key_from_ingredients

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.cache.store import Store
    from pipeline.keys import Key

KIND = "baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of development: a manifest's path in a repository, on a branch."""

    repository: str
    manifest: str
    branch: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was found, by job id; ``notes`` are phrases for the report about what could not be read."""

    baselines: Mapping[str, JobBaseline]
    notes: tuple[str, ...] = ()


class BaselineStore:
    """Loads and saves the baselines of one line.

    Give it the store of the trusted scope alone: a pull request must not find what it has written itself.
    """

    def __init__(self, store: Store, line: Line) -> None:
        self._store = store
        self._line = line

    def load(self, jobs: Iterable[str]) -> Loaded:
        """The baselines of ``jobs`` that are there and sound. Never raises: a pull request goes on without them."""
        found: dict[str, JobBaseline] = {}
        notes: list[str] = []
        for job in jobs:
            try:
                baseline = self._load(job)
            except (StoreError, BaselineError, ReceiptDamaged) as error:
                notes.append(f"the baseline of {job} cannot be read: {getattr(error, 'reason', error)}")
                continue
            if baseline is not None:
                found[job] = baseline
        return Loaded(found, tuple(notes))

    def save(self, baselines: Iterable[JobBaseline]) -> tuple[str, ...]:
        """Put each in the place of the one before, whose history it continues; returns phrases about what failed."""
        notes = []
        for baseline in baselines:
            try:
                before = self._load(baseline.job)
            except (BaselineError, ReceiptDamaged):
                before = None
            except StoreError as error:
                notes.append(f"the baseline of {baseline.job} was not kept: {error.reason}")
                continue
            try:
                self._save(continued(before, baseline))
            except (StoreError, ValueError) as error:
                notes.append(f"the baseline of {baseline.job} was not kept: {error}")
        return tuple(notes)

    def _load(self, job: str) -> JobBaseline | None:
        key = self._key(job)
        data = self._store.get_receipt(KIND, key.digest)
        if data is None:
            return None
        baseline = baseline_from_json(receipt_from_bytes(data, kind=KIND, stored_as=key.digest).metadata)
        if baseline.job != job:
            raise BaselineError(f"it is of {baseline.job}")
        return baseline

    def _save(self, baseline: JobBaseline) -> None:
        receipt = Receipt(
            key=self._key(baseline.job),
            subject=baseline.job,
            blobs=(),
            metadata=baseline_to_json(baseline),
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            tool=__version__,
        )
        self._store.put_receipt(KIND, receipt.key.digest, bytes_from_receipt(receipt), replace=True)

    def _key(self, job: str) -> Key:
        line = self._line
        return key_from_ingredients(
            KIND, {"repository": line.repository, "manifest": line.manifest, "branch": line.branch, "job": job}
        )
