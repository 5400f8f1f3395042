"""What a worker tells while it works, and what a run tells about its steps.

A worker appends worker events to `events.jsonl`, one JSON object a line; progress bars, plain logs and
remote streaming all read that file. Observers (hook `modelpress_event`) get both kinds.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import ClassVar, Literal

from modelpress.json_types import JSONValue
from modelpress.secrets import redact


@dataclass(frozen=True, slots=True)
class Event:
    """The root of all events. `kind` is what stands in the JSON."""

    kind: ClassVar[str] = ""


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


_KINDS: dict[str, type[Event]] = {
    cls.kind: cls
    for cls in (Progress, Report, Log, RunStarted, StepStarted, StepFinished, StepFailed, RunFinished)
}


def encode_event(event: Event, at: float | None = None) -> str:
    """One JSON line, without the newline. at: when it happened, Unix seconds."""
    when = {} if at is None else {"time": round(at, 3)}
    return json.dumps({**when, "kind": event.kind, **asdict(event)}, default=str)


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
    """Append events to a file; one write per event, so that a reader never sees half a line for long."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self.size = 0
        """Characters that were written."""

    def __call__(self, event: Event) -> None:
        self.size += self._file.write(redact(encode_event(event, time.time())) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
