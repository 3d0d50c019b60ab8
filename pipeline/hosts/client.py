"""Requests to the API of a host: repeated where that is safe, patient where it asks for it, silent about the token."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests
from requests.auth import AuthBase

from pipeline import __version__
from pipeline.hosts.conversation import Forbidden, HostError, Missing, TooLong, Unclear
from pipeline.hosts.patience import limit_wait_s
from pipeline.publish.escape import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.hosts.patience import Patience
    from pipeline.hosts.secret import Secret

_TIMEOUT_S = (10.0, 30.0)
"""To connect, and for the answer to go on."""
_BACKOFF_S = (1.0, 2.0, 4.0, 8.0)
_LIMIT_BYTES = 32 << 20
_WORDS_OF_LENGTH = ("too long", "is too big", "too large")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that says yes. ``more`` tells that there is another page."""

    body: Any
    more: bool


class _Header(AuthBase):
    """The token in its header, set by us so that no ``.netrc`` can put another in its place."""

    def __init__(self, name: str, scheme: str, token: Secret) -> None:
        self._name = name
        self._value = f"{scheme}{token.revealed}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[self._name] = self._value
        return request


class ApiClient:
    """Requests one after the other below ``url``. Raises the errors of ``pipeline.hosts.conversation``.

    ``header`` is the name of the header that carries ``token``, after ``scheme``. ``now`` is seconds since the epoch.
    """

    def __init__(
        self,
        url: str,
        token: Secret,
        patience: Patience,
        *,
        header: str = "Authorization",
        scheme: str = "Bearer ",
        accept: str = "application/json",
        versions: Mapping[str, str] | None = None,
        session: requests.Session | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._patience = patience
        self._auth = _Header(header, scheme, token)
        self._headers = {"Accept": accept, "User-Agent": f"tensorrt-engine-action/{__version__}", **(versions or {})}
        self._session = session or requests.Session()
        self._now = now

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        repeatable: bool = False,
    ) -> Answer:
        """``path`` below the client's URL, or a whole URL of the same host.

        All is repeated after an error of the server or of the network, but for a POST that is not ``repeatable``: one
        that may have taken effect raises ``Unclear``, and so does one that was refused for its rate, once the wait is
        over, because others write meanwhile.
        """
        writes = method != "GET" and not repeatable
        repeatable = repeatable or method != "POST"
        failures = refusals = 0
        while True:
            if writes:
                self._patience.before_write()
            try:
                status, headers, data = self._sent(method, path, query, body)
            except requests.RequestException as error:
                reason = f"{self._url} does not answer: {self._safe(_cause(error))}"
                if not repeatable:
                    raise Unclear(reason) from None
                failures = self._backed_off(failures, reason)
                continue
            text = _message(data)
            told = self._safe(f"{self._url} answered {status}{f', {text}' if text else ''}")
            wait_s = limit_wait_s(status, headers, text, now_s=self._now(), refusals=refusals)
            if wait_s is not None:
                refusals += 1
                self._patience.wait(wait_s, told)
                if not repeatable:
                    raise Unclear(told)
                continue
            if status >= 500 or status == 408:
                if not repeatable:
                    raise Unclear(told)
                failures = self._backed_off(failures, told)
                continue
            if status < 300:
                return Answer(_value(data, told), 'rel="next"' in headers.get("link", ""))
            raise _refusal(status, text, told)

    def _backed_off(self, failures: int, reason: str) -> int:
        if failures >= len(_BACKOFF_S):
            raise HostError(reason)
        self._patience.wait(_BACKOFF_S[failures], reason)
        return failures + 1

    def _sent(
        self, method: str, path: str, query: Mapping[str, str | int] | None, body: Mapping[str, Any] | None
    ) -> tuple[int, dict[str, str], bytes]:
        response = self._session.request(
            method,
            path if path.startswith("http") else f"{self._url}{path}",
            params=dict(query or {}),
            json=body,
            headers=self._headers,
            auth=self._auth,
            timeout=_TIMEOUT_S,
            # A redirect would take the token to wherever the answer says.
            allow_redirects=False,
            stream=True,
        )
        with response:
            data = b""
            for chunk in response.iter_content(1 << 16):
                data += chunk
                if len(data) > _LIMIT_BYTES:
                    raise HostError(f"{self._url} answers with more than {_LIMIT_BYTES >> 20} MiB")
            headers = {name.lower(): value for name, value in response.headers.items()}
            status = response.status_code
            return 429 if status == 200 and _is_refusal_of_graphql(data) else status, headers, data

    def _safe(self, text: str) -> str:
        return one_line(self._token.masked_in(text))


def _refusal(status: int, text: str, told: str) -> HostError:
    if status in {401, 403}:
        return Forbidden(told)
    if status in {404, 410}:
        return Missing(told)
    if status == 413 or (status in {400, 422} and any(word in text.lower() for word in _WORDS_OF_LENGTH)):
        return TooLong(told)
    return HostError(told)


def _is_refusal_of_graphql(data: bytes) -> bool:
    """Whether an answer of 200 is a refusal for the rate of requests, which GraphQL puts among its errors."""
    value = _object(data) if b"errors" in data[:1000] else {}
    return value.get("data") is None and "rate limit" in json.dumps(value.get("errors")).lower()


def _message(data: bytes) -> str:
    """What an error answer says: GitHub's ``message`` and ``errors``, GitLab's ``message`` or ``error``."""
    value = _object(data)
    parts = [value.get("message") or value.get("error"), value.get("errors")]
    return ": ".join(part if isinstance(part, str) else json.dumps(part) for part in parts if part)


def _object(data: bytes) -> dict[str, Any]:
    """A short JSON object; empty for anything else."""
    try:
        value = json.loads(data[: 1 << 16]) if data else None
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _value(data: bytes, told: str) -> Any:
    if not data:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise HostError(f"{told} with something that is no JSON") from None


def _cause(error: BaseException) -> str:
    """The innermost reason, without the addresses of objects that wrap it."""
    while isinstance(inner := error.__cause__ or error.__context__, Exception):
        error = inner
    return str(error) or type(error).__name__
