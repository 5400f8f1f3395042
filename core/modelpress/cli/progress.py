"""How a run is shown while it goes: the plain way, a line per step, for pipes and log files.

Both this and the bars of modelpress.cli.bars are called with each event of a run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TextIO

import click

from modelpress.cli.text import duration, shorten_path, size
from modelpress.events import Event, Log, RunFinished, RunStarted, StepFailed, StepFinished, StepStarted

_BY_SEVERITY = ("debug", "info", "warning", "error", "error")
"""log_severity_level -> the least level that is told."""
LEVELS = ("debug", "info", "note", "warning")
"""Of log lines, from the most talkative."""


class Progress:
    """Something that shows events. Closed at the end of the run, however it ends."""

    def __call__(self, event: Event) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Leave the terminal as it was."""


class PlainProgress(Progress):
    """One line per finished step; notes and warnings as they come, each once."""

    def __init__(self, stream: TextIO, level: str | None = None) -> None:
        self._stream = stream
        self._told = LogFilter(level)
        self._resumed = False

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._told.begin(event)
        elif isinstance(event, StepStarted):
            self._resumed = event.resumed
        elif isinstance(event, Log):
            self._told.once(event, self._write)
        elif line := closing_line(event, resumed=self._resumed):
            self._write(line)

    def _write(self, line: str) -> None:
        try:
            print(line, file=self._stream, flush=True)
        except BrokenPipeError:
            # Whoever read this has gone (`| head`). An hour's work is not thrown away for that.
            self._stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  open to the end


class LogFilter:
    """Which log lines were told: each text once, and none below the level."""

    def __init__(self, level: str | None) -> None:
        """level: None goes by the workflow's log_severity_level, `note` when it has none."""
        self._by_workflow = level is None
        self._least = _rank(level or "note")
        self._texts: set[str] = set()

    def begin(self, run: RunStarted) -> None:
        """A run begins, and its workflow may say how much is to be told."""
        if self._by_workflow and run.log_severity_level is not None:
            self._least = _rank(_BY_SEVERITY[run.log_severity_level])

    def once(self, log: Log, write: Callable[[str], None]) -> None:
        if LEVELS.index(log.level) >= self._least and log.message not in self._texts:
            self._texts.add(log.message)
            write(f"{log.level}: {log.message}")


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
    return ""


def step_title(event: StepStarted | StepFinished | StepFailed) -> str:
    """`[1/3] LoRA lora`; a name that is the type's own is not said twice."""
    name = "" if event.name == event.pass_type else f" {event.name}"
    return f"[{event.index}/{event.total}] {event.pass_type}{name}"


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def log_level(verbose: int, level: str | None) -> str | None:
    """The level that -v, -vv and --log-level ask for; the option counts more. None when neither is given."""
    return level or (None, "info", "debug")[min(verbose, 2)]


def verbosity_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options -v and --log-level, as `verbose` and `log_level_name`."""
    level = click.option(
        "--log-level",
        "log_level_name",
        type=click.Choice([*LEVELS, "error"]),
        help="Least level of log lines that are shown.  [default: the workflow's, or note]",
    )
    more = click.option("-v", "--verbose", count=True, help="Show more; -vv shows all.")
    return more(level(function))
