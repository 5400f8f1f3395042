"""What was heard of a job: each of its events is passed on once, in their order, however often it is told."""

from __future__ import annotations

import threading
from pathlib import Path

from modelpress.events import Event, decode_event
from modelpress.secrets import redact
from modelpress.system import Tell


class Heard:
    """Passes on the events of one job. A stream that breaks begins again, or goes on with a gap: what came
    before its turn is held until the gap is filled, at last from the job's own file."""

    def __init__(self, job: str, tell: Tell) -> None:
        self._job = job
        self._tell = tell
        self._next = 1
        self._early: dict[int, Event] = {}
        self._lock = threading.RLock()

    def __call__(self, event: Event) -> None:
        """Events that no worker numbered (a system's own) are passed on as they come."""
        with self._lock:
            if not event.number or event.job != self._job:
                self._tell(event)
            elif event.number >= self._next:
                self._early[event.number] = event
                self._pass_on()

    def finish(self, events: Path) -> None:
        """Pass on what is still missing, from the file that the job has left."""
        try:
            lines = events.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        with self._lock:
            for line in lines:
                event = decode_event(redact(line))
                if event and event.job == self._job:
                    self(event)
            for number in sorted(self._early):  # a line of the file is damaged: no more can be had
                self._next = number
                self._pass_on()

    def _pass_on(self) -> None:
        while event := self._early.pop(self._next, None):
            self._next += 1
            self._tell(event)
