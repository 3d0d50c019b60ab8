"""Where baselines are kept: in the cache, one receipt for each job of a manifest on a branch.

A receipt of its own for each job lets several runners of one matrix write at once without losing each other's results,
and costs one round trip. The JSON is the receipt's metadata, so it is written whole, digested and sealed like any
other entry. Unlike other entries a baseline is replaced: its key says whose it is, not what is in it.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import __version__
from pipeline.cache.guard import StoreGuard
from pipeline.cache.receipt import Receipt, ReceiptDamaged, bytes_from_receipt, receipt_from_bytes
from pipeline.cache.store import StoreError, StoreFailed, replace_receipt
from pipeline.compare.baseline import BaselineError, JobBaseline, baseline_from_json, baseline_to_json, continued
from pipeline.keys import key_from_ingredients

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.cache.store import Store
    from pipeline.keys import Ingredient, Key

KIND = "baseline"
_JOBS_KIND = "baseline-jobs"
_THREADS = 8
_ATTEMPTS = 5


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

    Give it the store of the trusted scope alone: a pull request must not find what it has written itself. A store that
    fails is left alone as the cache is, and told of once, however many jobs there are.
    """

    def __init__(self, store: Store, line: Line) -> None:
        self._store = store
        self._line = line
        self._guard = StoreGuard(store, required=False, monotonic=time.monotonic)

    def load(self, jobs: Iterable[str]) -> Loaded:
        """The baselines of ``jobs`` that are there and sound. Never raises: a pull request goes on without them."""
        names = list(jobs)
        with ThreadPoolExecutor(_THREADS) as pool:
            answers = dict(zip(names, pool.map(self._load_or_say, names), strict=True))
        notes = [answer for answer in answers.values() if isinstance(answer, str)]
        if self._guard.trouble:
            notes.append(f"not every baseline could be read: {self._guard.trouble}")
        return Loaded({job: answer for job, answer in answers.items() if isinstance(answer, JobBaseline)}, tuple(notes))

    def load_jobs(self) -> tuple[str, ...]:
        """The ids of all jobs that the line's manifest had last; empty where that is not known."""
        key = self._jobs_key()
        if self._guard.to_read is None:
            return ()
        try:
            data = self._store.get_receipt(_JOBS_KIND, key.digest)
            if data is None:
                return ()
            jobs = receipt_from_bytes(data, kind=_JOBS_KIND, stored_as=key.digest).metadata.get("jobs")
        except (StoreError, ReceiptDamaged):
            return ()
        return tuple(job for job in jobs if isinstance(job, str)) if isinstance(jobs, list) else ()

    def save_jobs(self, jobs: Iterable[str]) -> tuple[str, ...]:
        """Say which jobs the line's manifest has, so that a change that drops one is seen; returns phrases."""
        if self._guard.to_write is None:
            return ()
        try:
            receipt = _receipt_of(self._jobs_key(), self._line.manifest, {"jobs": list(jobs)})
            replace_receipt(self._store, _JOBS_KIND, receipt.key.digest, bytes_from_receipt(receipt))
        except (StoreError, ValueError) as error:
            return (f"the list of jobs was not kept: {error}",)
        return ()

    def save(self, baselines: Iterable[JobBaseline]) -> tuple[str, ...]:
        """Put each in the place of the one before, whose history it continues; returns phrases about what failed."""
        with ThreadPoolExecutor(_THREADS) as pool:
            notes = tuple(filter(None, pool.map(self._replace_or_say, baselines)))
        return (*notes, f"not every baseline was kept: {self._guard.trouble}") if self._guard.trouble else notes

    def _load(self, job: str) -> JobBaseline | None:
        key = self._key(job)
        data = self._store.get_receipt(KIND, key.digest)
        if data is None:
            return None
        baseline = baseline_from_json(receipt_from_bytes(data, kind=KIND, stored_as=key.digest).metadata)
        if baseline.job != job:
            raise BaselineError(f"it is of {baseline.job}")
        return baseline

    def _replace(self, baseline: JobBaseline) -> str:
        """What kept the baseline from being kept; empty where nothing did.

        Where another run was faster, its history is continued.
        """
        key = self._key(baseline.job)
        for _ in range(_ATTEMPTS):
            told = baseline_to_json(continued(self._before(baseline.job), baseline))
            data = bytes_from_receipt(_receipt_of(key, baseline.job, told))
            if self._store.put_receipt(KIND, key.digest, data, replace=True):
                return ""
        return f"the baseline of {baseline.job} was not kept: other runs write it again and again"

    def _before(self, job: str) -> JobBaseline | None:
        """The baseline that is there, where it is sound."""
        try:
            return self._load(job)
        except (BaselineError, ReceiptDamaged):
            return None

    def _load_or_say(self, job: str) -> JobBaseline | str | None:
        started_s = self._guard.now_s()
        try:
            return self._load(job) if self._guard.to_read is not None else None
        except StoreFailed as failure:
            self._guard.failed(failure, started_s)
            return None
        except (StoreError, BaselineError, ReceiptDamaged) as error:
            return f"the baseline of {job} cannot be read: {getattr(error, 'reason', error)}"

    def _replace_or_say(self, baseline: JobBaseline) -> str:
        started_s = self._guard.now_s()
        try:
            return self._replace(baseline) if self._guard.to_write is not None else ""
        except StoreFailed as failure:
            self._guard.failed(failure, started_s)
            return ""
        except (StoreError, ValueError) as error:
            return f"the baseline of {baseline.job} was not kept: {getattr(error, 'reason', error)}"

    def _key(self, job: str) -> Key:
        return key_from_ingredients(KIND, {**self._named(), "job": job})

    def _jobs_key(self) -> Key:
        return key_from_ingredients(_JOBS_KIND, self._named())

    def _named(self) -> dict[str, Ingredient]:
        return {
            "repository": self._line.repository,
            "manifest": self._line.manifest,
            "branch": self._line.branch,
        }


def _receipt_of(key: Key, subject: str, metadata: Mapping[str, Any]) -> Receipt:
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Receipt(key=key, subject=subject, blobs=(), metadata=metadata, created=created, tool=__version__)
