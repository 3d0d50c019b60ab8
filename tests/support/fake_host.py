"""A server on this machine that plays a host, and goes wrong when it is told to."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

HANG_UP = 0
"""The status of an answer that never comes: the connection is closed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The next request of ``method`` whose path ends in ``path`` is answered so; ``after`` says that it took effect."""

    method: str
    status: int
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "ordered by the test"
    after: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived, and what it was answered."""

    method: str
    path: str
    headers: Mapping[str, str]
    text: str
    status: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer. ``None`` is no body at all."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class FakeHost:
    """Answers with ``reply``, which others write; open while in its ``with`` block, which fails for a wrong request."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.wrong: list[str] = []
        self.before_reply: list[Callable[[str, str], None]] = []
        self.ahead_s = 0.0
        """How far its clock is before this machine's."""
        self._lock = threading.Lock()

    def reply(self, method: str, path: str, query: dict[str, str], headers: Mapping[str, str], body: Any) -> Reply:
        """The answer of a sound host."""
        raise NotImplementedError

    def check_request(self, method: str, path: str, query: dict[str, str], body: Any) -> list[str]:
        """What the host's documentation has against it."""
        raise NotImplementedError

    def check_answer(self, method: str, path: str, reply: Reply) -> list[str]:
        """What the host's documentation has against our own answer."""
        raise NotImplementedError

    def error_body(self, message: str, status: int) -> Any:
        """How the host puts an error."""
        raise NotImplementedError

    @property
    def now_s(self) -> float:
        """Seconds since the epoch by its clock."""
        return time.time() + self.ahead_s

    def requests(self, method: str) -> list[Seen]:
        """Those of one method."""
        return [each for each in self.seen if each.method == method]

    def __enter__(self) -> Any:
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_ANY(self) -> None:
                host._handle(self)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_ANY  # noqa: N815  the names that the server calls

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(timestamp or host.now_s)

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if kind is None:
            assert not self.wrong, "\n".join(self.wrong)

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        text = handler.rfile.read(int(handler.headers.get("Content-Length") or 0)).decode()
        with self._lock:
            for call in self.before_reply:
                call(handler.command, parts.path)
            reply = self._replied(handler, parts.path, dict(parse_qsl(parts.query)), json.loads(text) if text else None)
            self.seen.append(Seen(handler.command, handler.path, dict(handler.headers.items()), text, reply.status))
        if reply.status == HANG_UP:
            handler.close_connection = True
            return
        data = b"" if reply.body is None else json.dumps(reply.body).encode()
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        if reply.status != 204:
            handler.send_header("Content-Length", str(len(data)))
            handler.send_header("Content-Type", "application/json; charset=utf-8")
        handler.end_headers()
        handler.wfile.write(data)

    def _replied(self, handler: BaseHTTPRequestHandler, path: str, query: dict[str, str], body: Any) -> Reply:
        method = handler.command
        self.wrong += self.check_request(method, path, query, body)
        fault = next((each for each in self.faults if each.method == method and path.endswith(each.path)), None)
        if fault is None or fault.after:
            reply = self.reply(method, path, query, {n.lower(): v for n, v in handler.headers.items()}, body)
        if fault is not None:
            self.faults.remove(fault)
            reply = Reply(fault.status, self.error_body(fault.message, fault.status), fault.headers)
        if reply.status != HANG_UP:
            self.wrong += self.check_answer(method, path, reply)
        return reply
