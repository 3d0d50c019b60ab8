"""Making one artefact on this machine: on a GPU of its own where it needs one, by a worker, in child processes."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.artefacts.recipe import Artefact, Recipe, faults_of_outcome
from pipeline.build.progress_monitor import progress_text
from pipeline.cache.answers import previous_s_from_lookup
from pipeline.child.children import Children
from pipeline.errors import BuildError, Cancelled, ModelError, PipelineError
from pipeline.paths import OutsideFolderError, contained, unlinked, write_bytes_atomically
from pipeline.provenance.statement import PROVENANCE_FILE

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.artefacts.gpu_time import GpuTime
    from pipeline.artefacts.recipe import Shortcut
    from pipeline.cache.answers import CacheLookup
    from pipeline.child.supervisor import RunTask
    from pipeline.machine.devices import GpuDevice
    from pipeline.machine.gpu_lock import GpuPool
    from pipeline.machine.slots import Slots
    from pipeline.publish.progress import Progress
    from pipeline.time_limits import JobBudget


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One artefact to make, in ``folder``, of which ``lookup`` says why it is made.

    ``budget`` is that of the job which asked for it first.
    """

    recipe: Recipe
    lookup: CacheLookup
    folder: Path
    budget: JobBudget


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Makes artefacts, as many at once as ``slots`` and ``gpus`` admit. Safe to use from many threads.

    What the children print goes below ``logs``; the seconds for which they hold GPUs are added to ``gpu_time``.
    """

    slots: Slots
    gpus: GpuPool
    run_task: RunTask
    logs: Path
    cancel: threading.Event
    progress: Progress
    gpu_time: GpuTime

    def make(self, order: Order, may_begin: Callable[[], bool]) -> Artefact | None:
        """The artefact, not kept yet; ``None`` where it might not begin, which is asked when everything is at hand.

        Raises what the task raises, ``BuildError`` where its answer cannot be used, ``ModelError`` where the user's
        files changed meanwhile.
        """
        recipe, folder = order.recipe, order.folder
        sources = recipe.sources()
        shortcut = recipe.shortcut()
        with contextlib.ExitStack() as held:
            gpu = held.enter_context(self._free_gpu(recipe)) if recipe.gpus else None
            held.enter_context(self.slots.taken(recipe.memory_bytes, self.cancel))
            if not may_begin():
                return None
            outcome, elapsed_s, told = self._worked(order, shortcut, sources, gpu)
            if gpu is not None and (shortcut is None or told):
                recipe.keep(folder, gpu)
        if not recipe.unchanged():
            raise ModelError(
                f"{recipe.subject}: a file changed while it was being read",
                fix="run again when nothing writes to the model and its data",
            )
        files = _checked_files(recipe, outcome, folder, self._log_of(recipe, recipe))
        inherited = [text for source in sources for text in source.outcome.get("warnings", ())]
        outcome = {**outcome, "warnings": [*inherited, *outcome.get("warnings", ())]}
        if recipe.attest is not None:
            statement = recipe.attest(files, outcome, elapsed_s)
            files[PROVENANCE_FILE] = folder / PROVENANCE_FILE
            write_bytes_atomically(files[PROVENANCE_FILE], statement)
        return Artefact(
            key=recipe.key,
            files=files,
            outcome=outcome,
            cached=False,
            lookup=order.lookup,
            made_in_s=elapsed_s,
            warnings=told,
        )

    def _free_gpu(self, recipe: Recipe) -> contextlib.AbstractContextManager[GpuDevice]:
        def told(holders: str) -> None:
            self.progress.note(f"{recipe.stage} {recipe.subject} waits for a GPU: {holders}")

        return self.gpus.taken(recipe.gpus, self.cancel, job=recipe.subject, waits_for=told)

    def _worked(
        self, order: Order, shortcut: Shortcut | None, sources: tuple[Artefact, ...], gpu: GpuDevice | None
    ) -> tuple[Mapping[str, Any], float, tuple[str, ...]]:
        """What the task answered, how long it took in seconds, and why it is not the shortcut's answer."""
        told: tuple[str, ...] = ()
        if shortcut is not None:
            try:
                outcome, elapsed_s = self._ran(order, shortcut, sources, gpu)
                outcome = {**outcome, **{name: _added(outcome, name, said) for name, said in shortcut.told.items()}}
                _checked_files(order.recipe, outcome, order.folder, self._log_of(order.recipe, shortcut))
            except Cancelled:
                raise
            except PipelineError as error:
                told = (f"not made by {shortcut.stage}: {error}",)
            else:
                return outcome, elapsed_s, ()
        return (*self._made_long_way(order, sources, gpu), told)

    def _made_long_way(
        self, order: Order, sources: tuple[Artefact, ...], gpu: GpuDevice | None
    ) -> tuple[Mapping[str, Any], float]:
        """What the task answered, at its second try where it has one, and how long both took in seconds."""
        recipe, started = order.recipe, time.monotonic()
        foreseen = recipe.foreseen()
        second = None if foreseen is None else recipe.second_try(foreseen)
        if second is None:
            try:
                return self._ran(order, recipe, sources, gpu)
            except PipelineError as error:
                second = recipe.second_try(error)
                if second is None:
                    raise
            log = self._log_of(recipe, recipe)
            with contextlib.suppress(OSError):
                log.rename(log.with_name(f"{recipe.key.kind}-first-try{log.suffix}"))
        spent_s = time.monotonic() - started
        again = replace(
            recipe, stage=second.stage, request=second.request, timeout_s=max(recipe.timeout_s - spent_s, 0.0)
        )
        outcome, elapsed_s = self._ran(order, again, sources, gpu)
        warnings = [second.warning, *outcome.get("warnings", ())]
        return {**outcome, **second.told, "warnings": warnings}, spent_s + elapsed_s

    def _ran(
        self, order: Order, way: Recipe | Shortcut, sources: tuple[Artefact, ...], gpu: GpuDevice | None
    ) -> tuple[Mapping[str, Any], float]:
        """What the task of ``way`` answered in an empty folder, and how long it took in seconds."""
        recipe, folder = order.recipe, order.folder
        request = way.request(sources)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        is_recipe = isinstance(way, Recipe)
        children = Children(
            partial(
                self.run_task,
                way.task,
                timeout_s=_timeout_s(order, way.timeout_s),
                cancel=self.cancel,
                log=self._log_of(recipe, way),
                gpu=gpu.cuda_name if gpu else None,
            ),
            folder,
        )
        task_id = f"{recipe.key.kind} {recipe.subject}"
        self.progress.started(
            task_id,
            f"{way.stage} {recipe.subject}",
            previous_s_from_lookup(order.lookup) if is_recipe else None,
            detail=lambda: children.told or progress_text(folder),
        )
        started, result = time.monotonic(), "failed"
        try:
            outcome = children.outcome(request, way.in_turn if isinstance(way, Recipe) else None)
            result = "done"
        except PipelineError as error:
            error.log = self._log_of(recipe, way)
            raise
        finally:
            elapsed_s = time.monotonic() - started
            order.budget.spend(elapsed_s)
            self.progress.finished(task_id, result, elapsed_s)
            if gpu is not None:
                self.gpu_time.spend(elapsed_s)
        return outcome, elapsed_s

    def _log_of(self, recipe: Recipe, way: Recipe | Shortcut) -> Path:
        """Where what the children print goes. Raises ``BuildError`` where a link would lead it out of the logs."""
        name = f"{recipe.key.kind if isinstance(way, Recipe) else way.task}.log"
        try:
            return unlinked(self.logs.parent, f"{self.logs.name}/{recipe.subject}/{name}")
        except OutsideFolderError as error:
            raise BuildError(
                f"the log of {recipe.subject} could not be written",
                why=str(error),
                fix="remove the link, or name another output folder with --out",
            ) from error


def _timeout_s(order: Order, limit_s: float) -> float:
    """``limit_s``, or what the job has left where that is less. Raises ``BuildError`` where nothing is left."""
    budget = order.budget
    if budget.left_s <= 0:
        raise BuildError(
            f"no time was left for the {order.recipe.task} task of {order.recipe.subject}",
            why=f"the tasks of one job may take {budget.limit_s:g} s together",
            fix="raise --job-time-limit-s",
        )
    return min(limit_s, budget.left_s)


def _added(outcome: Mapping[str, Any], name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    answered = outcome.get(name)
    return {**(answered if isinstance(answered, dict) else {}), **said}


def _checked_files(recipe: Recipe, outcome: Mapping[str, Any], folder: Path, log: Path) -> dict[str, Path]:
    """The files that a child's answer names. A child that went wrong may name others' files, or answer nonsense.

    Raises ``BuildError``, which names the child's ``log``.
    """
    try:
        files = {name: contained(folder, name) for name in recipe.files(outcome)}
        faults = faults_of_outcome(outcome) or recipe.faults(files, outcome)
    except ValueError as error:
        faults = (str(error),)
    except (KeyError, TypeError, AttributeError, OSError) as error:
        faults = (f"{type(error).__name__}: {error}",)
    if faults:
        failure = BuildError(
            f"the {recipe.task} task of {recipe.subject} gave an answer that cannot be used",
            why="; ".join(faults),
            fix="the log has all that it printed",
        )
        failure.log = log
        raise failure
    return files
