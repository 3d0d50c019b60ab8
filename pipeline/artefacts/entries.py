"""Artefacts as entries of the cache: the files of one, beside the outcome of its task."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.artefacts.recipe import Artefact, faults_of_outcome
from pipeline.cache.answers import Hit, Miss, Off, Rejected
from pipeline.paths import write_bytes_atomically
from pipeline.strict_json import strict_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.artefacts.recipe import Recipe
    from pipeline.cache.answers import CacheLookup
    from pipeline.cache.content import ContentCache
    from pipeline.cache.receipt import Blob, Receipt
    from pipeline.digest import Digest
    from pipeline.keys import Key

    Faults = Callable[[Mapping[str, Path], Mapping[str, Any]], tuple[str, ...]]

_OUTCOME_FILE = "outcome.json"


class Entries:
    """The entries that one run looks up, reads and commits. Safe to use from many threads."""

    def __init__(self, cache: ContentCache) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._lookups: dict[Digest, CacheLookup] = {}
        self._seen_beside: dict[Digest, Receipt] = {}

    @property
    def are_read(self) -> bool:
        """Whether any can still be fetched in this run, as far as it is known."""
        return self._cache.is_read

    @property
    def are_kept(self) -> bool:
        """Whether any can still be committed in this run, as far as it is known."""
        return self._cache.is_written

    def look_up(self, key: Key, subject: str) -> CacheLookup:
        """What the cache holds for ``key``; asked once per run."""
        digest = key.digest
        with self._lock:
            known = self._lookups.get(digest)
        if known is None:
            known = self._cache.lookup(key, subject)
            with self._lock:
                known = self._lookups.setdefault(digest, known)
        return known

    def lookup_of(self, recipe: Recipe) -> CacheLookup:
        """What the cache holds of what ``recipe`` makes."""
        return self.look_up(recipe.key, recipe.subject) if recipe.stored else Off("it is never kept")

    def note(self, key: Key, lookup: CacheLookup) -> None:
        """Let later look-ups of ``key`` give ``lookup``."""
        with self._lock:
            self._lookups[key.digest] = lookup

    def stored(self, kind: str, digest: Digest) -> Hit | None:
        """The sound entry of an artefact of which only the key's digest is known."""
        return self._cache.stored(kind, digest)

    def beside(self, key: Key, subject: str) -> CacheLookup:
        """What was kept under ``key`` besides its own (``Recipe.also``); asked each time.

        A miss has a ``nearest`` receipt where something is or was there in this run that cannot be used.
        """
        found = self._cache.lookup(key, subject, explain=False)
        with self._lock:
            if isinstance(found, Hit):
                self._seen_beside[key.digest] = found.receipt
            elif isinstance(found, Miss) and found.nearest is None and key.digest in self._seen_beside:
                found = Miss("it was there when this was planned, and is gone", self._seen_beside[key.digest])
        return found

    def appeared(self, key: Key) -> Hit | None:
        """A sound entry of ``key`` that was stored since it was looked up; the cache is asked anew."""
        return self._cache.appeared(key)

    def read(self, hit: Hit, folder: Path, faults_of: Faults) -> Artefact | Miss | Rejected:
        """Fetch an entry to ``folder``. One in which ``faults_of`` finds something is rejected, and later replaced."""
        return self._read(hit, folder, faults_of)

    def read_outcome(self, hit: Hit, folder: Path) -> Artefact | Miss | Rejected:
        """Fetch an entry without its files, which stay in the cache."""
        return self._read(hit, folder, None)

    def reject(self, key: Key, reason: str) -> None:
        """Take what is stored under ``key`` for unfit from now on, so that the next commit replaces it."""
        with self._lock:
            standing = self._lookups.get(key.digest)
            self._lookups[key.digest] = Rejected(reason)
        if isinstance(standing, Hit):
            self._cache.reject(standing)

    def commit(self, recipe: Recipe, made: Artefact, folder: Path) -> Artefact:
        """Keep what was made in ``folder``, unless ``recipe`` says that it is never stored.

        Where another run was first, its artefact is given, so that both report the same bytes.
        """
        if not recipe.stored:
            return made
        write_bytes_atomically(folder / _OUTCOME_FILE, json.dumps(made.outcome).encode())
        offered = {**made.files, _OUTCOME_FILE: folder / _OUTCOME_FILE}
        metadata = {**recipe.notes, "duration_s": round(made.made_in_s, 3)}
        if "refit" in made.outcome:
            metadata["refitted_from"] = made.outcome["refit"]["origin"]
        if made.outcome.get("not_refittable"):
            metadata["not_refittable"] = made.outcome["not_refittable"]
        committed = self._cache.commit(recipe.key, recipe.subject, offered, metadata)
        for key in recipe.also(made.outcome):
            self._cache.commit(key, recipe.subject, offered, {**metadata, "engine": str(recipe.key.digest)})
        standing = Hit(committed.receipt)
        self.note(recipe.key, standing)
        if not committed.own_files:
            theirs = self.read(standing, folder / "adopted", recipe.faults)
            if isinstance(theirs, Artefact):
                return replace(theirs, cached=False, lookup=made.lookup)
        blobs = _blobs_from_receipt(committed.receipt) if committed.own_files else {}
        return replace(made, blobs=blobs, warnings=(*made.warnings, *committed.warnings))

    def _read(self, hit: Hit, folder: Path, faults_of: Faults | None) -> Artefact | Miss | Rejected:
        paths = self._cache.fetch(hit, folder, only=None if faults_of else (_OUTCOME_FILE,))
        if isinstance(paths, Miss | Rejected):
            return paths
        files = {path.name: path for path in paths}
        try:
            outcome = strict_json(files.pop(_OUTCOME_FILE).read_bytes())
            faults = faults_of_outcome(outcome) or (faults_of(files, outcome) if faults_of else ())
        except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            faults = (f"its outcome cannot be read: {error}",)
        if faults:
            self._cache.reject(hit)
            return Rejected("; ".join(faults))
        return Artefact(
            key=hit.receipt.key,
            files=files,
            outcome=outcome,
            cached=True,
            lookup=hit,
            made_in_s=hit.receipt.duration_s or 0.0,
            blobs=_blobs_from_receipt(hit.receipt),
        )


def _blobs_from_receipt(receipt: Receipt) -> dict[str, Blob]:
    return {blob.name: blob for blob in receipt.blobs if blob.name != _OUTCOME_FILE}
