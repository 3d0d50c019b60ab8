"""Obtaining an artefact: from the cache where it is there and sound, else from a child process, once per run.

Everything that takes long goes through here: model facts, calibration tables, typed models, engines and accuracy
checks. So each of them is looked up before it is made, and kept as soon as it is made.
"""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.build.progress_monitor import progress_text
from pipeline.cache.content import CacheLookup, Hit, Miss, Off, Rejected
from pipeline.cache.turns import Turns
from pipeline.child.children import Children
from pipeline.digest import digest_from_file
from pipeline.errors import BuildError, Cancelled, ModelError, PipelineError
from pipeline.paths import contained, write_bytes_atomically
from pipeline.plan import previous_s_from_lookup
from pipeline.provenance.statement import PROVENANCE_FILE
from pipeline.time_limits import JobBudget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.cache.content import ContentCache
    from pipeline.cache.lease import Leases
    from pipeline.cache.receipt import Blob, Receipt
    from pipeline.cache.turns import Turn
    from pipeline.child.children import InTurn
    from pipeline.child.supervisor import RunTask
    from pipeline.devices import GpuDevice
    from pipeline.digest import Digest
    from pipeline.gpu_lock import GpuPool
    from pipeline.keys import Key
    from pipeline.publish.progress import Progress
    from pipeline.slots import Slots

OUTCOME_FILE = "outcome.json"
ENGINE = "engine"


class NotCachedError(PipelineError):
    """An artefact would have to be made, by a workshop that makes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut:
    """A quicker task for the same artefact, from the same sources. What it cannot make is made the long way.

    ``told`` is added to the outcome, to the objects that the task answered under the same names.
    """

    task: str
    stage: str
    request: Callable[[tuple[Artefact, ...]], Mapping[str, Any]]
    told: Mapping[str, Mapping[str, Any]]
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to make one artefact, and what it is called.

    ``sources`` obtains the artefacts that it is made from, and ``request`` makes the task's request of them; both
    are called only when it must be made. ``files`` names the task's output files that belong to the artefact.
    ``faults`` looks at a cached artefact's files and says what is wrong with them. ``unchanged`` says, after the work,
    whether the user's files are still those that the key names. ``gpus`` are those that it may be made on; one of them
    is its own while it is made, and while ``keep`` takes from the task's folder what outlives the run besides. None are
    needed where there are none. What is ``expensive`` is made by one runner of several that share a cache, where they
    miss it at the same moment. What takes many children, one after another on the same GPU, has ``in_turn``: it gets
    the request and a child that does the task once, and gives the outcome.

    ``shortcut`` is asked for when it must be made, and tried first; ``keep`` is not called for what it makes. ``also``
    are keys that a new artefact is kept under besides. ``notes`` go into its receipt. What is not ``stored`` lives as
    long as the run alone. ``attest`` states where it comes from (``pipeline.provenance.statement``), given its files,
    its outcome and the seconds that it took.
    """

    key: Key
    subject: str
    task: str
    stage: str
    request: Callable[[tuple[Artefact, ...]], Mapping[str, Any]]
    sources: Callable[[], tuple[Artefact, ...]] = lambda: ()
    files: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda outcome: ()  # noqa: ARG005
    faults: Callable[[Mapping[str, Path], Mapping[str, Any]], tuple[str, ...]] = lambda files, outcome: ()  # noqa: ARG005
    unchanged: Callable[[], bool] = lambda: True
    keep: Callable[[Path, GpuDevice], None] = lambda folder, gpu: None  # noqa: ARG005
    timeout_s: float = 3600.0
    memory_bytes: int = 1 << 30
    gpus: tuple[GpuDevice, ...] = ()
    expensive: bool = False
    in_turn: InTurn | None = None
    shortcut: Callable[[], Shortcut | None] = lambda: None
    also: Callable[[Mapping[str, Any]], tuple[Key, ...]] = lambda outcome: ()  # noqa: ARG005
    notes: Mapping[str, Any] = field(default_factory=dict)
    stored: bool = True
    attest: Callable[[Mapping[str, Path], Mapping[str, Any], float], bytes] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """An artefact on this machine. ``outcome`` is what its task answered; ``warnings`` in it include its sources'.

    ``files`` lie in a private folder that lives as long as the run. ``blobs`` describes the same files, also where
    they were left in the cache and ``files`` is empty.

    ``lookup`` is what the cache said first; ``cached`` is false also where a hit turned out to be damaged.
    ``made_in_s`` is how long making it took, now or when it was made.
    """

    key: Key
    files: Mapping[str, Path]
    outcome: Mapping[str, Any]
    cached: bool
    lookup: CacheLookup
    made_in_s: float
    warnings: tuple[str, ...] = field(default=())
    blobs: Mapping[str, Blob] = field(default_factory=dict)

    def digest(self, name: str) -> Digest:
        """The digest of its file ``name``."""
        return self.blobs[name].digest if name in self.blobs else digest_from_file(self.files[name])


@dataclass(slots=True)
class GpuTime:
    """Seconds for which this run held GPUs to make what it made, and for which others did to make what it fetched."""

    spent_s: float = 0.0
    saved_s: float = 0.0


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
        self._cache = cache
        self._scratch = scratch
        self._logs = logs
        self._slots = slots
        self._gpus = gpus
        self._cancel = cancel
        self._progress = progress
        self._run_task = run_task
        self._turns = Turns(leases, cancel)
        self._lock = threading.Lock()
        self._lookups: dict[Digest, CacheLookup] = {}
        self._artefacts: dict[Digest, Future[Artefact]] = {}
        self._makes = True
        self._leaves_engines = False
        self._saved: set[Digest] = set()
        self.gpu_time = GpuTime()
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
        digest = key.digest
        with self._lock:
            known = self._lookups.get(digest)
        if known is None:
            known = self._cache.lookup(key, subject)
            with self._lock:
                known = self._lookups.setdefault(digest, known)
        return known

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
                made = self._fetch_or_make(recipe)
                self._note_saved(recipe, made)
                future.set_result(made)
            except BaseException as error:
                future.set_exception(error)
        return future.result()

    def stored(self, kind: str, digest: Digest) -> Hit | None:
        """The sound entry of an artefact of which only the key's digest is known."""
        return self._cache.stored(kind, digest)

    def fetched(self, hit: Hit) -> Artefact:
        """The artefact of an entry that ``stored`` found. Raises ``NotCachedError`` where it cannot be fetched."""
        key = hit.receipt.key
        folder = self._scratch / ("kept" if self._leaves_engines else "") / key.kind / key.digest.hex
        fetched = self._read(key, hit, folder, None if self._leaves_engines else lambda _files, _outcome: ())
        if isinstance(fetched, Artefact):
            return fetched
        raise NotCachedError(f"{key.kind} of {hit.receipt.subject} is not cached", why=fetched.reason)

    def kept_s(self, key: Key, subject: str) -> float | None:
        """How long it took to make what an earlier run kept under ``key`` besides; ``None`` where there is nothing."""
        hit = self._cache.lookup(key, subject, explain=False)
        return (hit.receipt.duration_s or 0.0) if isinstance(hit, Hit) else None

    def kept(self, key: Key, subject: str) -> Artefact | None:
        """What an earlier run kept under ``key`` besides, if it is sound; never made."""
        hit = self._cache.lookup(key, subject, explain=False)
        return self.earlier(hit.receipt, subject) if isinstance(hit, Hit) else None

    def earlier(self, receipt: Receipt, subject: str) -> Artefact | None:
        """The artefact of a ``receipt`` that a look-up gave, if it is still there; fetched for ``subject``."""
        key = receipt.key
        folder = self._scratch / "earlier" / key.digest.hex / subject
        found = self._read(key, Hit(receipt), folder, lambda _files, _outcome: ())
        return found if isinstance(found, Artefact) else None

    def obtained(self, key: Key) -> Artefact | None:
        """What this run has obtained under ``key`` so far; nothing is fetched or made."""
        with self._lock:
            future = self._artefacts.get(key.digest)
        return future.result() if future is not None and future.done() and future.exception() is None else None

    def obtain_anew(self, recipe: Recipe, unfit: Artefact, reason: str) -> Artefact:
        """Make the artefact of ``recipe`` in place of ``unfit``, which is no longer used by anybody."""
        digest = recipe.key.digest
        standing = self._lookups.get(digest)
        if isinstance(standing, Hit):
            self._cache.reject(standing)
        with self._lock:
            self._lookups[digest] = Rejected(reason)
            self._artefacts.pop(digest, None)
        made = self.obtain(replace(recipe, shortcut=lambda: None))
        return replace(made, lookup=unfit.lookup)

    def _recalled(self, recipe: Recipe) -> Artefact:
        """What the cache has, engines without their files. Raises ``NotCachedError``."""
        lookup = self.look_up(recipe.key, recipe.subject) if recipe.stored else Off("it is never kept")
        if isinstance(lookup, Hit):
            folder = self._scratch / "kept" / recipe.key.kind / recipe.key.digest.hex
            found = self._read(recipe.key, lookup, folder, None if recipe.key.kind == ENGINE else recipe.faults)
            if isinstance(found, Artefact):
                self._note_saved(recipe, found)
                return found
            lookup = found
        raise NotCachedError(f"{recipe.key.kind} of {recipe.subject} is not cached", why=lookup.reason)

    def _note_saved(self, recipe: Recipe, artefact: Artefact) -> None:
        with self._lock:
            if recipe.gpus and artefact.cached and recipe.key.digest not in self._saved:
                self._saved.add(recipe.key.digest)
                self.gpu_time.saved_s += artefact.made_in_s

    def _fetch_or_make(self, recipe: Recipe) -> Artefact:
        lookup = self.look_up(recipe.key, recipe.subject) if recipe.stored else Off("it is never kept")
        folder = self._scratch / recipe.key.kind / recipe.key.digest.hex
        theirs = _MadeElsewhere(self._cache, recipe.key, lambda hit: self._fetch(recipe, hit, folder / "theirs"))
        warnings: tuple[str, ...] = ()
        if isinstance(lookup, Hit):
            fetched = self._fetch(recipe, lookup, folder)
            if isinstance(fetched, Artefact):
                return fetched
            theirs.refuse(lookup)
            lookup, warnings = fetched, (f"{recipe.key.kind} of {recipe.subject}: {fetched.reason}; made again",)
        elif isinstance(lookup, Rejected):
            warnings = (f"{recipe.key.kind} of {recipe.subject}: {lookup.reason}; made again",)
        if not self._makes:
            raise NotCachedError(f"{recipe.key.kind} of {recipe.subject} is not cached", why=lookup.reason)
        made = self._make_once(recipe, lookup, folder, theirs)
        return replace(made, warnings=(*warnings, *made.warnings))

    def _fetch(self, recipe: Recipe, hit: Hit, folder: Path) -> Artefact | Miss | Rejected:
        return self._read(recipe.key, hit, folder, recipe.faults)

    def _read(
        self,
        key: Key,
        hit: Hit,
        folder: Path,
        faults_of: Callable[[Mapping[str, Path], Mapping[str, Any]], tuple[str, ...]] | None,
    ) -> Artefact | Miss | Rejected:
        """Fetch an entry, and look at it with ``faults_of``; without that, fetch its outcome alone."""
        paths = self._cache.fetch(hit, folder, only=None if faults_of else (OUTCOME_FILE,))
        if isinstance(paths, Miss | Rejected):
            return paths
        files = {path.name: path for path in paths}
        try:
            outcome = json.loads(files.pop(OUTCOME_FILE).read_bytes())
            faults = faults_of(files, outcome) if faults_of else ()
        except (KeyError, ValueError, OSError) as error:
            faults = (f"its outcome cannot be read: {error}",)
        if faults:
            self._cache.reject(hit)
            return Rejected("; ".join(faults))
        return Artefact(
            key=key,
            files=files,
            outcome=outcome,
            cached=True,
            lookup=hit,
            made_in_s=hit.receipt.duration_s or 0.0,
            blobs=_blobs_from_receipt(hit.receipt),
        )

    def _make_once(self, recipe: Recipe, lookup: CacheLookup, folder: Path, theirs: _MadeElsewhere) -> Artefact:
        """Make it and keep it, or fetch what another runner makes of it meanwhile."""
        shared = recipe.expensive and not isinstance(lookup, Off)
        with self._turns.of(recipe.key, patience_s=recipe.timeout_s if shared else 0.0) as turn:
            found = self._awaited(recipe, turn, theirs) if turn.is_elsewhere() else None
            while found is None:
                made = self._make(recipe, lookup, folder, turn, theirs)
                if made is not None:
                    return self._commit(recipe, made, folder)
                found = self._awaited(recipe, turn, theirs)
        self._lookups[recipe.key.digest] = found.lookup
        return found

    def _awaited(self, recipe: Recipe, turn: Turn, theirs: _MadeElsewhere) -> Artefact | None:
        """What another runner makes, shown as a task of its own; ``None`` where it ends without making it."""
        task_id, started = f"{recipe.key.kind} {recipe.subject} elsewhere", time.monotonic()
        self._progress.started(task_id, f"waiting for another runner, {recipe.stage} {recipe.subject}")
        result = "it did not make it"
        try:
            found = turn.wait(theirs)
            if found is not None:
                result = "fetched"
        finally:
            self._progress.finished(task_id, result, time.monotonic() - started)
        return found

    def _make(
        self, recipe: Recipe, lookup: CacheLookup, folder: Path, turn: Turn, theirs: _MadeElsewhere
    ) -> Artefact | None:
        """Make it in a child process; ``None`` where another runner has begun, or has made it."""
        sources = recipe.sources()
        shortcut = recipe.shortcut()
        with contextlib.ExitStack() as held:
            gpu = held.enter_context(self._free_gpu(recipe)) if recipe.gpus else None
            held.enter_context(self._slots.taken(recipe.memory_bytes, self._cancel))
            if not turn.take(theirs):
                return None
            place = _Place(folder, gpu, previous_s_from_lookup(lookup))
            outcome, elapsed_s, told = self._worked(recipe, shortcut, sources, place)
            if gpu is not None and (shortcut is None or told):
                recipe.keep(folder, gpu)
        if not recipe.unchanged():
            raise ModelError(
                f"{recipe.subject}: a file changed while it was being read",
                fix="run again when nothing writes to the model and its data",
            )
        files = _checked_files(recipe, outcome, folder)
        inherited = [text for source in sources for text in source.outcome.get("warnings", ())]
        outcome = {**outcome, "warnings": [*inherited, *outcome.get("warnings", ())]}
        write_bytes_atomically(folder / OUTCOME_FILE, json.dumps(outcome).encode())
        if recipe.attest is not None:
            statement = recipe.attest(files, outcome, elapsed_s)
            files[PROVENANCE_FILE] = folder / PROVENANCE_FILE
            write_bytes_atomically(files[PROVENANCE_FILE], statement)
        return Artefact(
            key=recipe.key,
            files=files,
            outcome=outcome,
            cached=False,
            lookup=lookup,
            made_in_s=elapsed_s,
            warnings=told,
        )

    def _worked(
        self, recipe: Recipe, shortcut: Shortcut | None, sources: tuple[Artefact, ...], place: _Place
    ) -> tuple[Mapping[str, Any], float, tuple[str, ...]]:
        """What the task answered, how long it took in seconds, and why it is not the shortcut's answer."""
        told: tuple[str, ...] = ()
        if shortcut is not None:
            try:
                outcome, elapsed_s = self._ran(recipe, shortcut, sources, replace(place, previous_s=None))
            except Cancelled:
                raise
            except PipelineError as error:
                told = (f"not made by {shortcut.stage}: {error}",)
            else:
                more = {name: {**outcome.get(name, {}), **said} for name, said in shortcut.told.items()}
                return {**outcome, **more}, elapsed_s, ()
        return (*self._ran(recipe, recipe, sources, place), told)

    def _ran(
        self, recipe: Recipe, way: Recipe | Shortcut, sources: tuple[Artefact, ...], place: _Place
    ) -> tuple[Mapping[str, Any], float]:
        request = way.request(sources)
        shutil.rmtree(place.folder, ignore_errors=True)
        place.folder.mkdir(parents=True)
        task_id = f"{recipe.key.kind} {recipe.subject}"
        log = recipe.key.kind if way is recipe else way.task
        children = Children(
            partial(
                self._run_task,
                way.task,
                timeout_s=self._timeout_s(recipe, way.timeout_s),
                cancel=self._cancel,
                log=self._logs / recipe.subject / f"{log}.log",
                gpu=place.gpu.uuid if place.gpu else None,
            ),
            place.folder,
        )
        self._progress.started(
            task_id,
            f"{way.stage} {recipe.subject}",
            place.previous_s,
            detail=lambda: children.told or progress_text(place.folder),
        )
        started, result = time.monotonic(), "failed"
        try:
            outcome = children.outcome(request, way.in_turn if isinstance(way, Recipe) else None)
            result = "done"
        finally:
            elapsed_s = time.monotonic() - started
            self._budget.spend(elapsed_s)
            self._progress.finished(task_id, result, elapsed_s)
            if place.gpu is not None:
                with self._lock:
                    self.gpu_time.spent_s += elapsed_s
        return outcome, elapsed_s

    def _timeout_s(self, recipe: Recipe, limit_s: float) -> float:
        left_s = self._budget.left_s
        if left_s <= 0:
            raise BuildError(
                f"no time was left for the {recipe.task} task of {recipe.subject}",
                why=f"the tasks of one job may take {self._budget.limit_s:g} s together",
                fix="raise --job-time-limit-s",
            )
        return min(limit_s, left_s)

    def _free_gpu(self, recipe: Recipe) -> contextlib.AbstractContextManager[GpuDevice]:
        def told(holders: str) -> None:
            self._progress.note(f"{recipe.stage} {recipe.subject} waits for a GPU: {holders}")

        return self._gpus.taken(recipe.gpus, self._cancel, job=recipe.subject, waits_for=told)

    def _commit(self, recipe: Recipe, made: Artefact, folder: Path) -> Artefact:
        """Keep what was made. Where another run was first, use its artefact, so that both report the same bytes."""
        if not recipe.stored:
            return made
        offered = {**made.files, OUTCOME_FILE: folder / OUTCOME_FILE}
        metadata = {**recipe.notes, "duration_s": round(made.made_in_s, 3)}
        if "refit" in made.outcome:
            metadata["refitted_from"] = made.outcome["refit"]["origin"]
        committed = self._cache.commit(recipe.key, recipe.subject, offered, metadata)
        for key in recipe.also(made.outcome):
            self._cache.commit(key, recipe.subject, offered, {**metadata, "engine": str(recipe.key.digest)})
        self._lookups[recipe.key.digest] = Hit(committed.receipt)
        if not committed.own_files:
            theirs = self._fetch(recipe, Hit(committed.receipt), folder / "adopted")
            if isinstance(theirs, Artefact):
                return replace(theirs, cached=False, lookup=made.lookup)
        blobs = _blobs_from_receipt(committed.receipt) if committed.own_files else {}
        return replace(made, blobs=blobs, warnings=(*made.warnings, *committed.warnings))


def _blobs_from_receipt(receipt: Receipt) -> dict[str, Blob]:
    return {blob.name: blob for blob in receipt.blobs if blob.name != OUTCOME_FILE}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a task works, and how long one like it took."""

    folder: Path
    gpu: GpuDevice | None
    previous_s: float | None


class _MadeElsewhere:
    """What other runners have made of ``key`` since it was looked up. What ``fetch`` refuses is not fetched again."""

    def __init__(self, cache: ContentCache, key: Key, fetch: Callable[[Hit], Artefact | Miss | Rejected]) -> None:
        self._cache = cache
        self._key = key
        self._fetch = fetch
        self._refused: list[Receipt] = []

    def is_there(self) -> bool:
        """See ``Theirs``."""
        return self._hit() is not None

    def get(self) -> Artefact | None:
        """See ``Theirs``."""
        hit = self._hit()
        if hit is None:
            return None
        fetched = self._fetch(hit)
        if isinstance(fetched, Artefact):
            return fetched
        self.refuse(hit)
        return None

    def refuse(self, hit: Hit) -> None:
        """Say that the files of ``hit`` are of no use."""
        self._refused.append(hit.receipt)

    def _hit(self) -> Hit | None:
        hit = self._cache.appeared(self._key)
        return None if hit is None or hit.receipt in self._refused else hit


def _checked_files(recipe: Recipe, outcome: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """The files that a child's answer names. A child that went wrong may name others' files, or answer nonsense.

    Raises ``BuildError``.
    """
    try:
        files = {name: contained(folder, name) for name in recipe.files(outcome)}
        faults = recipe.faults(files, outcome)
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        faults = (f"{type(error).__name__}: {error}",)
    if faults:
        raise BuildError(
            f"the {recipe.task} task of {recipe.subject} gave an answer that cannot be used",
            why="; ".join(faults),
            fix="the log has all that it printed",
        )
    return files
