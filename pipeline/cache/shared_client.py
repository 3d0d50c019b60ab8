"""A client of boto3 that many threads share: made at the first call, and anew where its credentials have expired."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.cache.s3_errors import CredentialsExpired, failed_from_botocore
from pipeline.cache.store import Extent, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable

Answered = TypeVar("Answered")


class SharedClient:
    """The client of ``service``, as boto3 spells it, made by ``make``. ``cancel`` ends a call before its next try."""

    def __init__(self, make: Callable[[], Any], service: str, cancel: threading.Event) -> None:
        self._make = make
        self._event = f"before-send.{service}"
        self._cancel = cancel
        self._lock = threading.Lock()
        self._client: Any = None

    def call(self, ask: Callable[[Any], Answered], operation: str) -> Answered:
        """What ``ask`` gets from the client, or from a new one where it raises ``CredentialsExpired``.

        Raises what ``ask`` raises, and ``StoreFailed`` about ``operation`` where no client can be made.
        """
        client = self._current(operation)
        try:
            return ask(client)
        except CredentialsExpired:
            client = self._current(operation, instead_of=client)
        return ask(client)

    def check_cancelled(self, **_details: Any) -> None:
        """Raise ``StoreFailed`` where the run was cancelled."""
        if self._cancel.is_set():
            raise StoreFailed("the run was cancelled", extent=Extent.PLACE)

    def _current(self, operation: str, *, instead_of: Any = None) -> Any:
        """The client, made anew where it is still ``instead_of``."""
        from botocore.exceptions import BotoCoreError

        with self._lock:
            if self._client is instead_of:
                try:
                    self._client = self._make()
                except (BotoCoreError, ValueError) as error:
                    raise failed_from_botocore(operation, error) from error
                self._client.meta.events.register(self._event, self.check_cancelled)
            return self._client
