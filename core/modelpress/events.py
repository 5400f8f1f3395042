"""What a worker tells while it works, and what a run tells about its steps.

A worker appends worker events to `events.jsonl`, one JSON object a line; progress bars, plain logs and
remote streaming all read that file. Observers (hook `modelpress_event`) get both kinds.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from modelpress.json_types import JSONValue
from modelpress.secrets import redact


@dataclass(frozen=True, slots=True)
class Event:
    """The root of all events. `kind` is what stands in the JSON.

    job, number, time: of which job it is, which of its events (from 1), and when (Unix seconds). A stream
    that broke and is read again tells nothing twice by them. Unset for what no worker told.
    """

    kind: ClassVar[str] = ""
    job: str = field(default="", kw_only=True, compare=False, repr=False)
    number: int = field(default=0, kw_only=True, compare=False, repr=False)
    time: float = field(default=0.0, kw_only=True, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """done of total units, e.g. 40 of 90 steps. total is 0 when unknown."""

    kind: ClassVar[str] = "progress"
    done: int
    total: int
    unit: str


@dataclass(frozen=True, slots=True)
class Report(Event):
    """A named number (loss, tokens_per_second, merged_modules) or a short text."""

    kind: ClassVar[str] = "report"
    name: str
    value: JSONValue


@dataclass(frozen=True, slots=True)
class Log(Event):
    """A line for people. `note` is always shown; `debug` only on request."""

    kind: ClassVar[str] = "log"
    level: Literal["debug", "info", "note", "warning"]
    message: str


@dataclass(frozen=True, slots=True)
class StepStarted(Event):
    """A step begins: index counts from 1; pass_type is e.g. `LoRA`; system is where it runs."""

    kind: ClassVar[str] = "step_started"
    index: int
    total: int
    name: str
    pass_type: str
    system: str
    resumed: bool


@dataclass(frozen=True, slots=True)
class StepFinished(Event):
    """A step ended well. cached: it was in the cache and nothing ran. seconds is wall time."""

    kind: ClassVar[str] = "step_finished"
    index: int
    total: int
    name: str
    pass_type: str
    cached: bool
    seconds: float
    size: int
    """Bytes of the artifact (0 for an evaluation)."""
    summary: str
    """One short text for the plain line, e.g. `loss 0.12`."""


@dataclass(frozen=True, slots=True)
class StepFailed(Event):
    """A step failed; folder is kept for inspection."""

    kind: ClassVar[str] = "step_failed"
    index: int
    total: int
    name: str
    pass_type: str
    error: str
    folder: str


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """The whole run ended well; output_dir holds the model, record is run.json."""

    kind: ClassVar[str] = "run_finished"
    output_dir: str
    record: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run begins. id: its name in the cache's `runs/`; log: the file with all that it tells.

    log_severity_level: of the workflow, 0 verbose … 4 fatal; None when it says nothing.
    """

    kind: ClassVar[str] = "run_started"
    id: str
    workflow_id: str
    total: int
    log: str
    log_severity_level: int | None = None


@dataclass(frozen=True, slots=True)
class SearchStarted(Event):
    """A search begins, or goes on. axes: how many things are open; candidates: how many ways there are to
    decide them, 0 for more than can be counted; known: candidates that an earlier run has done."""

    kind: ClassVar[str] = "search_started"
    axes: int
    candidates: int
    known: int


@dataclass(frozen=True, slots=True)
class CandidateStarted(Event):
    """Work on a candidate begins. choices: what was decided, as short text."""

    kind: ClassVar[str] = "candidate_started"
    number: int
    choices: str


@dataclass(frozen=True, slots=True)
class CandidateFinished(Event):
    """A candidate is done.

    status:  finished, failed or pruned; error: why it is not finished, in a line
    numbers: what was measured of the objectives, as short text; misses: of its goals, empty when all are met
    best:    the number of the best candidate so far, 0 for none; seconds: wall time
    """

    kind: ClassVar[str] = "candidate_finished"
    number: int
    choices: str
    status: str
    numbers: str
    misses: str
    error: str
    seconds: float
    best: int


@dataclass(frozen=True, slots=True)
class SearchFinished(Event):
    """A search has ended. best: the number of the candidate that is taken, 0 for none; ended: why no more is
    tried."""

    kind: ClassVar[str] = "search_finished"
    best: int
    choices: str
    ended: str
    tried: int
    failed: int
    pruned: int


_KINDS: dict[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        Progress,
        Report,
        Log,
        RunStarted,
        StepStarted,
        StepFinished,
        StepFailed,
        RunFinished,
        SearchStarted,
        CandidateStarted,
        CandidateFinished,
        SearchFinished,
    )
}


def encode_event(event: Event) -> str:
    """One JSON line, without the newline."""
    values = asdict(event)
    where = {name: value for name in _WHERE if (value := values.pop(name))}
    return json.dumps({**where, "kind": event.kind, **values}, default=str)


def decode_event(line: str) -> Event | None:
    """The event in a line; None for a line that is damaged (a killed writer) or of a newer kind."""
    try:
        data = json.loads(line)
        cls = _KINDS[data.pop("kind")]
        names = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in data.items() if k in names})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class EventFile:
    """Appends the events of a job to a file; one write per event, so that a reader never sees half a line for
    long. They are numbered, also where several write to the file or an earlier try has written to it.

    job: whose events they are; left out: as the last writer to the file said
    """

    def __init__(self, path: Path) -> None:
        self.job = ""
        self._path = path
        self._file = path.open("a", encoding="utf-8")
        if path.read_bytes()[-1:] not in (b"", b"\n"):
            self._file.write("\n")  # an earlier writer was killed in the middle of a line
            self._file.flush()
        self.size = 0
        """Characters that were written."""

    def __call__(self, event: Event) -> None:
        with _numbering:
            last = _last_of(self._path)
            where = _Last(self.job or last.job, last.number + 1)
            told = replace(event, job=where.job, number=where.number, time=round(time.time(), 3))
            self.size += self._file.write(redact(encode_event(told)) + "\n")
            self._file.flush()
            _written[self._path] = where, self._path.stat().st_size

    def close(self) -> None:
        self._file.close()


class _Last(NamedTuple):
    job: str = ""
    number: int = 0


_WHERE = ("time", "job", "number")
_numbering = threading.Lock()
_written: dict[Path, tuple[_Last, int]] = {}
"""The last event of each file that this process writes to, and how long the file was then."""


def _last_of(path: Path) -> _Last:
    last, size = _written.get(path, (_Last(), 0))
    if size == path.stat().st_size:
        return last
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    events = (decode_event(line) for line in reversed(lines))
    return next((_Last(event.job, event.number) for event in events if event and event.number), _Last())
