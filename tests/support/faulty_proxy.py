"""A proxy on loopback in front of a real S3 server, which does what a test tells it to do to single requests.

It sends requests on as they are, ``Host`` and signature included, so the server checks them as if it were not there.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the proxy saw it. ``number`` counts from 1 over the life of the proxy."""

    number: int
    method: str
    path: str
    headers: dict[str, str]

    def is_for(self, *words: str) -> bool:
        """Whether method and path contain every word."""
        return all(word in f"{self.method} {self.path}" for word in words)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to a request.

    With ``status``, the server is not asked and that status and S3 error ``code`` is the answer. ``delay_s`` waits
    first. ``before`` runs first, to change the world. ``sip_s`` waits so long for every 64 KiB of the request's body.
    The rest is done to the server's answer: ``lose`` closes the connection instead of answering, ``cut_after`` sends
    so many bytes of the body and closes, ``flip_at`` flips a bit of that byte of the body, ``shorten`` takes bytes off
    the body and its length, ``trickle_s`` waits so long after every byte of it.
    """

    status: int | None = None
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    before: Callable[[], None] | None = None
    sip_s: float = 0.0
    lose: bool = False
    cut_after: int | None = None
    flip_at: int | None = None
    shorten: int = 0
    trickle_s: float = 0.0


Script = Callable[[Request], Fault | None]


def times(count: int, fault: Fault, *words: str) -> Script:
    """Do ``fault`` to the first ``count`` requests whose method and path contain every word."""
    left, lock = [count], threading.Lock()

    def script(request: Request) -> Fault | None:
        with lock:
            if left[0] == 0 or not request.is_for(*words):
                return None
            left[0] -= 1
            return fault

    return script


def always(fault: Fault, *words: str) -> Script:
    """Do ``fault`` to every request whose method and path contain every word."""
    return lambda request: fault if request.is_for(*words) else None


class FaultyProxy:
    """A running proxy. ``script`` decides about each request; ``requests`` holds all that came."""

    def __init__(self, upstream_url: str) -> None:
        self.upstream = urlsplit(upstream_url).netloc
        self.script: Script = lambda _request: None
        self.requests: list[Request] = []
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.endpoint_url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextlib.contextmanager
    def running(self) -> Iterator[FaultyProxy]:
        """Serve while the block runs; requests that are held up are let go at its end."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def count(self, *words: str) -> int:
        """How many requests had every word in method and path."""
        return sum(request.is_for(*words) for request in self.requests)

    def noted(self, method: str, path: str, headers: dict[str, str]) -> Request:
        """The request with its number, kept."""
        with self._lock:
            request = Request(len(self.requests) + 1, method, path, headers)
            self.requests.append(request)
            return request


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    proxy: FaultyProxy

    def handle_error(self, *_details: Any) -> None:
        """A client that hung up is nothing to print."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_details: Any) -> None:
        """Keep quiet."""

    def _serve(self) -> None:
        proxy = self.server.proxy
        request = proxy.noted(self.command, self.path, dict(self.headers.items()))
        fault = proxy.script(request) or Fault()
        body = self._body(fault.sip_s)
        if body is None:
            return
        if fault.before is not None:
            fault.before()
        proxy.released.wait(fault.delay_s)
        if fault.status is not None:
            self._answer_error(fault)
            return
        status, headers, answer = self._asked(proxy.upstream, request, body)
        if fault.lose:
            self.close_connection = True
        else:
            self._send(fault, status, headers, answer)

    def _send(self, fault: Fault, status: int, headers: list[tuple[str, str]], answer: bytes) -> None:
        if fault.shorten:
            answer = answer[: -fault.shorten]
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        told = {name.lower(): value for name, value in headers}.get("content-length", "0")
        self.send_header("Content-Length", told if self.command == "HEAD" else str(len(answer)))
        self.end_headers()
        if fault.flip_at is not None and fault.flip_at < len(answer):
            answer = bytes([*answer[: fault.flip_at], answer[fault.flip_at] ^ 1]) + answer[fault.flip_at + 1 :]
        if fault.cut_after is not None and fault.cut_after < len(answer):
            answer, self.close_connection = answer[: fault.cut_after], True
        if fault.trickle_s:
            self._trickle(answer, fault.trickle_s)
        else:
            self.wfile.write(answer)

    def _body(self, sip_s: float) -> bytes | None:
        """The request's body; ``None`` where the client hung up."""
        length, body = int(self.headers.get("Content-Length") or 0), b""
        while len(body) < length and not (sip_s and self.server.proxy.released.wait(sip_s)):
            piece = self.rfile.read(min(64 << 10, length - len(body)) if sip_s else length)
            if not piece:
                break
            body += piece
        self.close_connection = self.close_connection or len(body) < length
        return body if len(body) == length else None

    def _trickle(self, answer: bytes, pause_s: float) -> None:
        with contextlib.suppress(ConnectionError):
            for position in range(len(answer)):
                self.wfile.write(answer[position : position + 1])
                self.wfile.flush()
                if self.server.proxy.released.wait(pause_s):
                    return

    def _asked(self, upstream: str, request: Request, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(upstream, timeout=60)
        try:
            connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() not in ("expect", "connection"):
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def _answer_error(self, fault: Fault) -> None:
        text = f"<Error><Code>{fault.code}</Code><Message>as the test wants</Message></Error>".encode()
        self.send_response(fault.status or 500)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815 - names that http.server looks for
