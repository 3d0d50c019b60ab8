"""Taking turns: of several runners that miss the same key at the same moment, one makes it and the others need not.

A turn is taken by who could start at once: it has a worker and a GPU already, so whoever holds a lease is at work, and
runners that have much to do share it out job by job. Who is refused gives worker and GPU back, does other jobs, and
waits for what the holder makes. Nothing depends on turns but time: where leases do not work, everybody makes
everything, and receipts decide what stands.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from pipeline.cache.store import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.cache.lease import Lease, Leases
    from pipeline.keys import Key

Made = TypeVar("Made")
Made_co = TypeVar("Made_co", covariant=True)

_FIRST_POLL_S = 0.25
_LONGEST_POLL_S = 10.0
_MOST_REFUSALS = 10
_LOOK_S = 0.2
_HASTE_S = 1.0


class Theirs(Protocol, Generic[Made_co]):
    """What other runners have made of a key."""

    def is_there(self) -> bool:
        """Whether there is something new, and of use as far as it is known; asked anew each time."""

    def can_be_had(self) -> bool:
        """Whether it could be had, once it is there; what cannot is not waited for."""

    def can_have_mine(self) -> bool:
        """Whether they could have what is made here; where they cannot, nobody shall wait for it."""

    def get(self) -> Made_co | None:
        """It, or ``None`` where there is none or it turns out to be of no use."""


class Turns:
    """The turns of one run. ``leases`` is ``None`` where nobody else can be asked. Safe to use from many threads.

    After their first failure the leases are left alone for the rest of the run.
    """

    def __init__(self, leases: Leases | None, cancel: threading.Event) -> None:
        self._leases = leases
        self._cancel = cancel

    @contextlib.contextmanager
    def of(self, key: Key, *, patience_s: float) -> Iterator[Turn]:
        """A turn at making ``key``, given back at the end of the block. After ``patience_s`` nobody is waited for."""
        turn = Turn(self, key, patience_s)
        try:
            yield turn
        finally:
            turn.give_back()

    @contextlib.contextmanager
    def working_leases(self) -> Iterator[Leases | None]:
        """The leases, ``None`` where they do not work; a ``StoreFailed`` of the block ends their use."""
        try:
            yield self._leases
        except StoreFailed:
            self._leases = None

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled."""
        return self._cancel.is_set()

    def pause(self, delay_s: float) -> bool:
        """Wait; ``False`` where the run was cancelled."""
        return not self._cancel.wait(delay_s)


class Turn:
    """One runner's turn at making one key; for one thread."""

    def __init__(self, turns: Turns, key: Key, patience_s: float) -> None:
        self._turns = turns
        self._key = key
        self._give_up_s = time.monotonic() + patience_s
        self._refusals = 0
        self._held: tuple[Leases, Lease] | None = None
        self._done = threading.Event()
        self._renewer: threading.Thread | None = None

    def is_elsewhere(self) -> bool:
        """Whether another runner is at work on the key, and worth waiting for."""
        with self._turns.working_leases() as leases:
            if leases is not None and self._is_patient():
                return leases.held(self._key.kind, self._key.digest)
        return False

    def wait(self, theirs: Theirs[Made]) -> Made | None:
        """What another runner makes of the key; ``None`` as soon as none is at work on it, or it could not be had."""
        poll_s = _FIRST_POLL_S
        while True:
            found = theirs.get()
            in_vain = found is None and not theirs.can_be_had()
            if found is not None or in_vain or not self.is_elsewhere() or not self._turns.pause(poll_s):
                return found
            poll_s = min(2 * poll_s, _LONGEST_POLL_S)

    def take(self, theirs: Theirs[Made]) -> bool:
        """Whether to make it here and now. ``False`` says that another runner has begun, or has made it.

        Who is refused again and again, as by a server that takes no lease over, goes on without one.
        """
        with self._turns.working_leases() as leases:
            if leases is None or not self._is_patient() or not theirs.can_have_mine():
                return True
            lease = leases.take(self._key.kind, self._key.digest)
            if lease is None:
                self._refusals += 1
                return self._refusals >= _MOST_REFUSALS
            self._held = leases, lease
            self._done.clear()
            self._renewer = threading.Thread(target=self._keep_renewed, args=self._held, daemon=True)
            self._renewer.start()
        if self._held is not None and theirs.is_there():
            self.give_back()
            return False
        return True

    def give_back(self) -> None:
        """Let others begin at once. Also where the run was cancelled, but then nobody is waited for long."""
        self._done.set()
        held, self._held = self._held, None
        renewer, self._renewer = self._renewer, None
        if held is None or renewer is None:
            return
        while renewer.is_alive() and not self._turns.cancelled:
            renewer.join(_LOOK_S)
        renewer.join(_HASTE_S)
        if not renewer.is_alive():
            leases, lease = held
            with contextlib.suppress(StoreFailed):
                leases.release(lease, in_haste=self._turns.cancelled)

    def _is_patient(self) -> bool:
        return time.monotonic() < self._give_up_s

    def _keep_renewed(self, leases: Leases, lease: Lease) -> None:
        while not self._done.wait(leases.term_s / 3):
            with contextlib.suppress(StoreFailed):
                if not leases.renew(lease):
                    return
