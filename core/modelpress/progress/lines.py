"""How a run is shown while it goes: the plain way, in lines, for pipes, log files and notebooks.

Both this and the bars of modelpress.cli.bars are called with each event of a run.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Literal, Protocol, TextIO

from modelpress.config.workflow import LOCAL_SYSTEM
from modelpress.events import (
    Event,
    Log,
    Report,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepStarted,
)
from modelpress.figures import duration, number, shorten_path, size
from modelpress.progress.levels import LogFilter, Verbosity
from modelpress.progress.search import SearchLines, search_line
from modelpress.progress.state import Clock, Watched, step_title

_TENTH_AFTER = 5.0
"""Seconds that must have passed since the last line for the next tenth to be worth one."""
_SILENCE = (12.0, 60.0)
"""The longest silence in seconds: of a step that has just begun, of one that takes hours. In between it is a
fortieth of the time that the step has taken."""
_BEAT = 1.0
"""Seconds between two looks at the clock."""


class Write(Protocol):
    """Writes a line. level: how grave it is."""

    def __call__(self, line: str, level: Literal["info", "warning"] = "info") -> None: ...


class Progress(Protocol):
    """Something that shows events. Closed at the end of the run, however it ends."""

    def __call__(self, event: Event) -> None: ...

    def close(self) -> None:
        """Leave the terminal as it was."""


class StreamLines:
    """Writes lines to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, line: str, level: Literal["info", "warning"] = "info") -> None:
        try:
            print(line, file=self._stream, flush=True)
        except BrokenPipeError:
            # Whoever read this has gone (`| head`). An hour's work is not thrown away for that.
            self._stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  open to the end


class PlainProgress(Progress):
    """A line when a step begins, at each tenth of it, when it ends, and when nothing was told for long; notes
    and warnings as they come, each once."""

    def __init__(self, write: Write, verbosity: Verbosity, clock: Clock = time.monotonic) -> None:
        self._out = write
        self._verbosity = verbosity
        self._clock = clock
        self._told = LogFilter(verbosity.level)
        self._watched = Watched(clock)
        self._reports = Reports(self._watched)
        self._search = SearchLines(each_step=verbosity.each_report)
        self._last = clock()
        self._tenth = 0
        self._lock = threading.RLock()
        self._ended = threading.Event()

    def keep_telling(self) -> PlainProgress:
        """Have a thread tell that the work goes on while no event comes. Ends with close."""
        threading.Thread(target=self._beat, daemon=True, name="modelpress-progress").start()
        return self

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._take(event)

    def tick(self) -> None:
        """Time has gone by: tell how far the work is, at each tenth and after a long silence."""
        with self._lock:
            state = self._watched.state
            silence = self._clock() - self._last
            if silence >= _BEAT:
                self._tell_reports()
            shortest, longest = _SILENCE
            further = state.tenth not in (0, self._tenth) and silence >= _TENTH_AFTER
            if further or silence >= min(max(shortest, state.elapsed / 40), longest):
                self._tenth = state.tenth
                self._tell_work(f"{state.title}: {', '.join(state.facts())}")

    def close(self) -> None:
        self._ended.set()
        with self._lock:
            self._tell_reports()

    def _take(self, event: Event) -> None:
        line = closing_line(event, resumed=self._watched.state.resumed)
        if self._verbosity.each_report and self._reports.take(event):
            self._tell_reports()
        self._watched.see(event)
        if self._search.hides(event):
            return
        if isinstance(event, RunStarted):
            self._told.begin(event)
        elif isinstance(event, Log):
            if self._told.is_news(event):
                self._write(f"{event.level}: {event.message}", event.level)
        elif isinstance(event, StepStarted):
            self._tenth = 0
            self._tell_work(opening_line(event))
        elif line and (not self._verbosity.quiet or isinstance(event, (StepFailed, RunFinished))):
            self._write(line)

    def _tell_reports(self) -> None:
        if line := self._reports.line():
            self._tenth = self._watched.state.tenth
            self._tell_work(line)

    def _tell_work(self, line: str) -> None:
        if not self._verbosity.quiet:
            self._write(line)

    def _write(self, line: str, level: str = "info") -> None:
        self._last = self._clock()
        self._out(line, "warning" if level == "warning" else "info")

    def _beat(self) -> None:
        while not self._ended.wait(_BEAT):
            self.tick()


class Reports:
    """The numbers of one logging step (loss, learning rate, speed), which come one by one, as one line."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._numbers: dict[str, object] = {}
        self._title = self._done = ""

    def take(self, event: Event) -> bool:
        """Note a number. Returns whether those noted before it are complete, and are to be told first."""
        if not isinstance(event, Report):
            return bool(self._numbers)
        state = self._watched.state
        if state.started is None:
            return False  # told again from the cache: nothing is at work
        if event.name in self._numbers:
            return True
        self._title, self._done = state.title, state.done()
        self._numbers[event.name] = event.value
        return False

    def line(self) -> str:
        """What was noted, once; empty when nothing was."""
        told = [
            f"{name} {number(value) if isinstance(value, (int, float)) else value}"
            for name, value in self._numbers.items()
        ]
        self._numbers.clear()
        done = [self._done] if self._done else []
        return f"{self._title}: {', '.join([*done, *told])}" if told else ""


def opening_line(event: StepStarted) -> str:
    """The line that is written when a step begins."""
    where = "" if event.system == LOCAL_SYSTEM else f" on {event.system}"
    return f"{step_title(event)}: {'goes on' if event.resumed else 'started'}{where}"


def closing_line(event: Event, *, resumed: bool = False) -> str:
    """The line that stays of a step or of the run; empty for other events."""
    if isinstance(event, StepFinished):
        took = "in the cache" if event.cached else duration(event.seconds)
        if resumed and not event.cached:
            took += " (resumed)"
        facts = [took, event.summary, size(event.size) if event.size else ""]
        return f"{step_title(event)}: {', '.join(fact for fact in facts if fact)}"
    if isinstance(event, StepFailed):
        kept = f"; its files are kept in {shorten_path(event.folder)}" if event.folder else ""
        return f"{step_title(event)}: failed{kept}"
    if isinstance(event, RunFinished):
        return f"Done in {duration(event.seconds)}: {shorten_path(event.output_dir)}"
    return search_line(event)
