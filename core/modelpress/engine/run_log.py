"""The log file of a run: a line with the time for all that is told, and what the worker printed."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from modelpress.events import Event, Log, Report, RunFinished, StepFailed, StepFinished, StepStarted
from modelpress.secrets import redact

_MOST = 2**20
"""Bytes of a worker's output that are kept, from its end."""


class RunLog:
    """Writes the file while the run goes. A log that cannot be written ends no run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace")

    def __call__(self, event: Event) -> None:
        text = log_line(event)
        if text:
            self._write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}")

    def take_output(self, name: str, printed: Path) -> None:
        """Add what the worker printed during a task."""
        try:
            text = printed.read_bytes()[-_MOST:].decode("utf-8", "replace").strip()
        except OSError:
            return
        if text:
            self._write("\n".join(f"    {name} | {line}" for line in text.splitlines()))

    def close(self) -> None:
        self._file.close()

    def _write(self, text: str) -> None:
        try:
            self._file.write(redact(text) + "\n")
            self._file.flush()
        except (OSError, ValueError):
            return


def log_line(event: Event) -> str:
    """The event as one line; empty for what the log does not hold (progress)."""
    if isinstance(event, Log):
        return f"{event.level}: {event.message}"
    if isinstance(event, Report):
        return f"report: {event.name} {event.value}"
    if isinstance(event, StepStarted):
        resumed = ", resumed" if event.resumed else ""
        return f"{_title(event)}: started on {event.system}{resumed}"
    if isinstance(event, StepFinished):
        how = "in the cache" if event.cached else f"done in {event.seconds:.1f} s"
        facts = [how, event.summary, f"{event.size} bytes" if event.size else ""]
        return f"{_title(event)}: {', '.join(fact for fact in facts if fact)}"
    if isinstance(event, StepFailed):
        return f"{_title(event)}: failed: {event.error} (files: {event.folder})"
    if isinstance(event, RunFinished):
        return f"done in {event.seconds:.1f} s: {event.output_dir}"
    return ""


def _title(event: StepStarted | StepFinished | StepFailed) -> str:
    return f"[{event.index}/{event.total}] {event.pass_type} {event.name}"
