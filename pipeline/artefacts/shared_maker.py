"""Making an artefact where several runners share a cache: one of them makes it, and the others fetch what it made."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.artefacts.recipe import Artefact
from pipeline.cache.answers import Off

if TYPE_CHECKING:
    from pipeline.artefacts.entries import Entries
    from pipeline.artefacts.maker import Maker, Order
    from pipeline.artefacts.recipe import Recipe
    from pipeline.cache.answers import Hit
    from pipeline.cache.receipt import Receipt
    from pipeline.cache.turns import Turn, Turns
    from pipeline.publish.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedMaker:
    """Makes artefacts by ``maker`` and keeps them among ``entries``, in turn with other runners that need them.

    Safe to use from many threads.
    """

    maker: Maker
    entries: Entries
    turns: Turns
    progress: Progress

    def make(self, order: Order, unfit: Hit | None = None) -> Artefact:
        """Make it and keep it, or fetch what another runner makes of it meanwhile.

        ``unfit`` is an entry of it that turned out to be of no use.
        """
        recipe = order.recipe
        theirs = _MadeElsewhere(self.entries, order, [unfit.receipt] if unfit is not None else [])
        shared = recipe.expensive and not isinstance(order.lookup, Off)
        with self.turns.of(recipe.key, patience_s=recipe.timeout_s if shared else 0.0) as turn:
            found = self._awaited(recipe, turn, theirs) if turn.is_elsewhere() else None
            while found is None:
                made = self.maker.make(order, lambda: turn.take(theirs))
                if made is not None:
                    return self.entries.commit(recipe, made, order.folder)
                found = self._awaited(recipe, turn, theirs)
        self.entries.note(recipe.key, found.lookup)
        return found

    def _awaited(self, recipe: Recipe, turn: Turn, theirs: _MadeElsewhere) -> Artefact | None:
        """What another runner makes, shown as a task of its own; ``None`` where it ends without making it."""
        task_id, started = f"{recipe.key.kind} {recipe.subject} elsewhere", time.monotonic()
        self.progress.started(task_id, f"waiting for another runner, {recipe.stage} {recipe.subject}")
        result = "it did not make it"
        try:
            found = turn.wait(theirs)
            if found is not None:
                result = "fetched"
        finally:
            self.progress.finished(task_id, result, time.monotonic() - started)
        return found


@dataclass(slots=True)
class _MadeElsewhere:
    """What other runners have made of an order since it was looked up. What is ``refused`` is not fetched again."""

    entries: Entries
    order: Order
    refused: list[Receipt]

    def is_there(self) -> bool:
        """See ``Theirs``."""
        return self._hit() is not None

    def can_be_had(self) -> bool:
        """See ``Theirs``."""
        return self.entries.are_read

    def can_have_mine(self) -> bool:
        """See ``Theirs``."""
        return self.entries.are_kept

    def get(self) -> Artefact | None:
        """See ``Theirs``."""
        hit = self._hit()
        if hit is None:
            return None
        fetched = self.entries.read(hit, self.order.folder / "theirs", self.order.recipe.faults)
        if isinstance(fetched, Artefact):
            return fetched
        self.refused.append(hit.receipt)
        return None

    def _hit(self) -> Hit | None:
        hit = self.entries.appeared(self.order.recipe.key)
        return None if hit is None or hit.receipt in self.refused else hit
