"""Obtaining an artefact: from the cache where it is there and sound, else by making it, once per run.

Everything that takes long goes through here: model facts, calibration tables, typed models, engines and accuracy
checks. So each of them is looked up before it is made, and kept as soon as it is made.
"""

from __future__ import annotations

import copy
import threading
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.artefacts.entries import Entries
from pipeline.artefacts.gpu_time import GpuTime
from pipeline.artefacts.maker import Maker, Order
from pipeline.artefacts.recipe import Artefact
from pipeline.artefacts.shared_maker import SharedMaker
from pipeline.cache.answers import Hit, Miss, Off, Rejected
from pipeline.cache.turns import Turns
from pipeline.errors import PipelineError
from pipeline.time_limits import JobBudget

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from pipeline.artefacts.entries import Faults
    from pipeline.artefacts.recipe import Recipe
    from pipeline.cache.answers import CacheLookup
    from pipeline.cache.content import ContentCache
    from pipeline.cache.lease import Leases
    from pipeline.cache.receipt import Receipt
    from pipeline.child.supervisor import RunTask
    from pipeline.digest import Digest
    from pipeline.keys import Key
    from pipeline.machine.gpu_lock import GpuPool
    from pipeline.machine.slots import Slots
    from pipeline.publish.progress import Progress

ENGINE = "engine"


class NotCachedError(PipelineError):
    """An artefact would have to be made, by a workshop that makes nothing."""


class Workshop:
    """Obtains artefacts for one run. Safe to use from many threads; each artefact is made once."""

    def __init__(
        self,
        *,
        cache: ContentCache,
        scratch: Path,
        logs: Path,
        slots: Slots,
        gpus: GpuPool,
        cancel: threading.Event,
        progress: Progress,
        run_task: RunTask,
        leases: Leases | None = None,
    ) -> None:
        self.gpu_time = GpuTime()
        self._entries = Entries(cache)
        maker = Maker(
            slots=slots,
            gpus=gpus,
            run_task=run_task,
            logs=logs,
            cancel=cancel,
            progress=progress,
            gpu_time=self.gpu_time,
        )
        self._maker = SharedMaker(maker=maker, entries=self._entries, turns=Turns(leases, cancel), progress=progress)
        self._scratch = scratch
        self._lock = threading.Lock()
        self._artefacts: dict[Digest, Future[Artefact]] = {}
        self._makes = True
        self._leaves_engines = False
        self._budget = JobBudget()

    def within(self, budget: JobBudget) -> Workshop:
        """This workshop for the thread of one job, whose children may take what is left of ``budget``."""
        other = copy.copy(self)
        other._budget = budget  # noqa: SLF001  of the same class
        return other

    def cached_only(self) -> Workshop:
        """This workshop without its children: what the cache cannot give raises ``NotCachedError``."""
        other = copy.copy(self)
        other._artefacts, other._makes = {}, False  # noqa: SLF001  of the same class
        return other

    def without_engines(self) -> Workshop:
        """This workshop for a job that may be wholly cached: engines stay in the cache, and no GPU is used.

        An engine has no files then. What would have to be found out with one raises ``NotCachedError``.
        """
        other = copy.copy(self)
        other._leaves_engines = True  # noqa: SLF001  of the same class
        return other

    def look_up(self, key: Key, subject: str) -> CacheLookup:
        """What the cache holds for ``key``; asked once per run."""
        return self._entries.look_up(key, subject)

    def obtain(self, recipe: Recipe) -> Artefact:
        """The artefact of ``recipe``, fetched or made. Raises what the task raises, to every caller alike."""
        if self._leaves_engines and (recipe.key.kind == ENGINE or recipe.gpus):
            return self._recalled(recipe)
        digest = recipe.key.digest
        with self._lock:
            future = self._artefacts.get(digest)
            mine = future is None
            if future is None:
                future = self._artefacts[digest] = Future()
        if mine:
            try:
                made = self._fetched_or_made(recipe)
                self._note_saved(recipe, made)
                future.set_result(made)
            except BaseException as error:
                future.set_exception(error)
        return future.result()

    def obtained(self, key: Key) -> Artefact | None:
        """What this run has obtained under ``key`` so far; nothing is fetched or made."""
        with self._lock:
            future = self._artefacts.get(key.digest)
        return future.result() if future is not None and future.done() and future.exception() is None else None

    def obtain_anew(self, recipe: Recipe, unfit: Artefact, reason: str) -> Artefact:
        """Make the artefact of ``recipe`` in place of ``unfit``, which is no longer used by anybody."""
        self._entries.reject(recipe.key, reason)
        with self._lock:
            self._artefacts.pop(recipe.key.digest, None)
        made = self.obtain(replace(recipe, shortcut=lambda: None))
        return replace(made, lookup=unfit.lookup)

    def stored(self, kind: str, digest: Digest) -> Hit | None:
        """The sound entry of an artefact of which only the key's digest is known."""
        return self._entries.stored(kind, digest)

    def fetched(self, hit: Hit) -> Artefact:
        """The artefact of an entry that ``stored`` found. Raises ``NotCachedError`` where it cannot be fetched."""
        key = hit.receipt.key
        if self._leaves_engines:
            found = self._entries.read_outcome(hit, self._folder(key, "kept"))
        else:
            found = self._entries.read(hit, self._folder(key), _no_faults)
        if isinstance(found, Artefact):
            return found
        raise _not_cached(key, hit.receipt.subject, found.reason)

    def kept_s(self, key: Key, subject: str) -> float | None:
        """How long it took to make what an earlier run kept under ``key`` besides; ``None`` where there is nothing."""
        hit = self._entries.beside(key, subject)
        return hit.receipt.duration_s or 0.0 if isinstance(hit, Hit) else None

    def kept(self, key: Key, subject: str, faults: Faults) -> Artefact | Miss | Rejected | Off:
        """What an earlier run kept under ``key`` besides, if ``faults`` finds nothing in it; never made."""
        found = self._entries.beside(key, subject)
        return (
            self._entries.read(found, self._earlier(found.receipt, subject), faults)
            if isinstance(found, Hit)
            else found
        )

    def earlier(self, receipt: Receipt, subject: str, faults: Faults) -> Artefact | None:
        """The artefact of a ``receipt`` that a look-up gave, if it is still there and ``faults`` finds nothing in it.

        It is fetched for ``subject``.
        """
        found = self._entries.read(Hit(receipt), self._earlier(receipt, subject), faults)
        return found if isinstance(found, Artefact) else None

    def _earlier(self, receipt: Receipt, subject: str) -> Path:
        return self._scratch / "earlier" / receipt.key.digest.hex / subject

    def _recalled(self, recipe: Recipe) -> Artefact:
        """What the cache has, engines without their files. Raises ``NotCachedError``."""
        lookup = self._entries.lookup_of(recipe)
        if isinstance(lookup, Hit):
            folder = self._folder(recipe.key, "kept")
            if recipe.key.kind == ENGINE:
                found = self._entries.read_outcome(lookup, folder)
            else:
                found = self._entries.read(lookup, folder, recipe.faults)
            if isinstance(found, Artefact):
                self._note_saved(recipe, found)
                return found
            lookup = found
        raise _not_cached(recipe.key, recipe.subject, lookup.reason)

    def _fetched_or_made(self, recipe: Recipe) -> Artefact:
        lookup = self._entries.lookup_of(recipe)
        folder = self._folder(recipe.key)
        unfit = None
        if isinstance(lookup, Hit):
            fetched = self._entries.read(lookup, folder, recipe.faults)
            if isinstance(fetched, Artefact):
                return fetched
            unfit, lookup = lookup, fetched
        if not self._makes:
            raise _not_cached(recipe.key, recipe.subject, lookup.reason)
        order = Order(recipe=recipe, lookup=lookup, folder=folder, budget=self._budget)
        made = self._maker.make(order, unfit)
        if unfit is None and not isinstance(lookup, Rejected):
            return made
        told = f"{recipe.key.kind} of {recipe.subject}: {lookup.reason}; made again"
        return replace(made, warnings=(told, *made.warnings))

    def _note_saved(self, recipe: Recipe, artefact: Artefact) -> None:
        if recipe.gpus and artefact.cached:
            self.gpu_time.save(recipe.key.digest, artefact.made_in_s)

    def _folder(self, key: Key, below: str = "") -> Path:
        return self._scratch / below / key.kind / key.digest.hex


def _not_cached(key: Key, subject: str, reason: str) -> NotCachedError:
    return NotCachedError(f"{key.kind} of {subject} is not cached", why=reason)


def _no_faults(_files: Mapping[str, Path], _outcome: Mapping[str, Any]) -> tuple[str, ...]:
    return ()
