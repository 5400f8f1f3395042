"""The web server: routes by regular expression, each request kept as one line of JSON, and 501 for whatever
nobody wrote."""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """What was asked. path: without the query; body: parsed where it is JSON."""

    method: str
    host: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    match: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    body: object = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """An answer that is an error, in ARM's form."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.answer = Answer({"error": {"code": code, "message": message}}, status, headers or {})


Handler = Callable[[Request], Answer]


class Web:
    """Handlers by method and path. `faults`: called before any handler; may raise Refused, for a test."""

    def __init__(self, log: Path) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []
        self._log, self._lock = log, threading.Lock()
        self.requests: list[Request] = []
        self.faults: list[Callable[[Request], None]] = []
        log.touch()

    def route(self, method: str, pattern: str, handler: Handler) -> None:
        """pattern: of the whole path, in any case: the SDK mixes resourceGroups and resourcegroups."""
        self._routes.append((method, re.compile(pattern, re.IGNORECASE), handler))

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        try:
            for fault in list(self.faults):
                fault(request)
            answer = self._handle(request)
        except Refused as refused:
            answer = refused.answer
        line = {
            "method": request.method,
            "host": request.host,
            "path": request.path,
            "query": request.query,
            "body": request.body,
            "status": answer.status,
        }
        with self._lock, self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return answer

    def _handle(self, request: Request) -> Answer:
        for method, pattern, handler in self._routes:
            found = pattern.fullmatch(request.path) if method == request.method else None
            if found:
                groups = tuple(unquote(group or "") for group in found.groups())
                return handler(Request(**{**vars(request), "match": groups}))
        raise Refused(501, "NotEmulated", f"{request.method} {request.host}{request.path} is not emulated.")


def serve(web: Web, tls: ssl.SSLContext | None) -> ThreadingHTTPServer:
    """A server on a free loopback port, answering in threads."""

    class Serve(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            """Web keeps what is worth keeping."""

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length) if length else b""
            parts = urlsplit(self.path)
            request = Request(
                self.command,
                (self.headers.get("Host") or "").split(":")[0].lower(),
                parts.path,
                {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()},
                {name.lower(): value for name, value in self.headers.items()},
                _parsed(raw, self.headers.get("Content-Type") or ""),
            )
            answer = web.answer(request)
            body = b"" if answer.body is None else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = do_HEAD = _serve

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # a client that went away
                super().handle()

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """A client that broke off the handshake."""

    server = Server(("127.0.0.1", 0), Serve)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def _parsed(raw: bytes, kind: str) -> Any:
    if "form" in kind:
        return {name: values[0] for name, values in parse_qs(raw.decode()).items()}
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw.decode("utf-8", "replace")
