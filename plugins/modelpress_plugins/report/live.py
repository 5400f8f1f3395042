"""The page of a run while it goes: served on this machine alone, by the standard library."""

from __future__ import annotations

import json
import secrets
import threading
import time
import webbrowser
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from modelpress.api import (
    CandidateFinished,
    CandidateStarted,
    Event,
    JSONValue,
    MetricSpec,
    Observed,
    Progress,
    Registry,
    Report,
    StepFinished,
    StepStarted,
    UserError,
    open_run,
    to_json,
)
from modelpress_plugins.report.config import LivePageOptions
from modelpress_plugins.report.page import page_of, parts_of

_HERE = "127.0.0.1"
_POINTS = 400
_LAST_LOOK = 3.0
"""Seconds that a page which is looked at has to fetch how the run ended."""


def watch(options: LivePageOptions, run: Observed) -> LivePage:
    """Raises UserError where the port is taken."""
    return LivePage(options, run)


class LivePage:
    """A modelpress.api.Observer that serves a page."""

    def __init__(self, options: LivePageOptions, run: Observed) -> None:
        self._stays = options.stays
        self._run = run
        self._gives = {
            name: facts
            for metric in Registry.load().all(MetricSpec)
            for name, facts in metric.spec.gives.items()
        }
        self._now = _Now()
        self._version = 1
        self._ended = threading.Event()
        self._looked = 0.0
        self._seen_ended = threading.Event()
        # Others on this machine can reach the port, but do not know the way.
        self.way = f"/{secrets.token_urlsafe(9)}/"
        try:
            self._server = _Server((_HERE, options.port), _Handler)
        except OSError as error:
            told = f"No page can be shown at port {options.port}: {error.strerror or error}."
            raise UserError(told, "Leave `port` out: then one is taken that is free.") from error
        self._server.page = self
        threading.Thread(target=self._server.serve_forever, daemon=True, name="modelpress-page").start()
        self.address = f"http://{_HERE}:{self._server.server_address[1]}{self.way}"
        run.tell(f"The run is shown at {self.address}")
        if options.open:
            webbrowser.open(self.address)

    def see(self, event: Event) -> None:
        self._now.see(event)
        if isinstance(event, StepFinished | CandidateFinished):
            self._version += 1

    def close(self) -> None:
        """A page that somebody looks at is told how the run ended, before nothing answers any more."""
        self._now = _Now()
        self._version += 1
        self._ended.set()
        try:
            if self._stays:
                self._run.tell(f"The page stays at {self.address} until Ctrl-C.")
                threading.Event().wait()
            elif time.monotonic() - self._looked < _LAST_LOOK:
                self._seen_ended.wait(_LAST_LOOK)
        except KeyboardInterrupt:
            pass  # the run is over: what ends is the page
        finally:
            self._server.shutdown()
            self._server.server_close()

    def page(self) -> str:
        """The whole page."""
        return page_of(open_run(self._run.record), self._gives, live=True)

    def facts(self, after: int) -> Mapping[str, JSONValue]:
        """What is at work; and all that is shown, where there is more than in version `after`."""
        self._looked = time.monotonic()
        found: dict[str, JSONValue] = {"now": self._now.told(), "version": self._version}
        ended = self._ended.is_set()
        if self._version > after:
            parts = parts_of(open_run(self._run.record), self._gives)
            found |= {"title": parts.title, "meta": parts.meta, "body": parts.body}
            found["data"] = to_json(parts.facts)
        if ended:
            found["ended"] = True
            self._seen_ended.set()
        return found


class _Now:
    """What is at work, and the numbers of its way."""

    def __init__(self) -> None:
        self._candidate = ""
        self._begin("")

    def _begin(self, title: str) -> None:
        self._title = title
        self._started = time.monotonic()
        self._at = Progress(0, 0, "")
        self._points: dict[str, list[tuple[int, float]]] = {}

    def see(self, event: Event) -> None:
        if isinstance(event, CandidateStarted):
            self._candidate = f"candidate {event.number}, "
        elif isinstance(event, CandidateFinished):
            self._candidate = ""
            self._begin("")
        elif isinstance(event, StepStarted):
            self._begin(f"{self._candidate}{event.pass_type} {event.name} ({event.index} of {event.total})")
        elif isinstance(event, StepFinished):
            self._begin("")
        elif isinstance(event, Progress):
            self._at = event
        elif isinstance(event, Report) and isinstance(event.value, int | float):
            points = self._points.setdefault(event.name, [])
            points.append((self._at.done, float(event.value)))
            if len(points) > _POINTS:
                del points[1::2]

    def told(self) -> JSONValue:
        return {
            "title": self._title,
            "done": self._at.done,
            "total": self._at.total,
            "unit": self._at.unit,
            "seconds": round(time.monotonic() - self._started, 1),
            "lines": [
                {"name": name, "x": [x for x, _ in points], "y": [y for _, y in points]}
                for name, points in list(self._points.items())
                if len(points) > 1
            ],
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    page: LivePage


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        page, asked = self.server.page, urlsplit(self.path)
        host = (self.headers.get("Host") or "").rpartition(":")[0]
        if host not in (_HERE, "localhost") or not asked.path.startswith(page.way):
            self.send_error(404)  # a page of another site, that has its name point here, gets nothing
        elif asked.path == page.way:
            self._answer(page.page(), "text/html")
        elif asked.path == f"{page.way}facts":
            after = parse_qs(asked.query).get("after", ["0"])[0]
            found = page.facts(int(after) if after.isdecimal() else 0)
            self._answer(json.dumps(found), "application/json")
        else:
            self.send_error(404)

    def _answer(self, text: str, kind: str) -> None:
        content = text.encode("utf-8")
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a terminal shows the run."""
