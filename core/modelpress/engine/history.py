"""What a task told while it was done, one JSON object a line: `history.jsonl`.

A job keeps one over all its tries; with the result it moves to the cache (`history/KEY.jsonl`), beside the
artifact and not in it: what a model is does not depend on how its making went. Its lines are the job's events
with the time (`time`, Unix seconds), reports with how far the work was (`done`, `total`, `unit`), and at the
end `finished` with seconds and peak memory.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from modelpress.engine.job import Result
from modelpress.events import Event, Log, Progress, Report, decode_event
from modelpress.files import finished, mark_finished, move
from modelpress.secrets import redact

EVENTS = "events.jsonl"
HISTORY = "history.jsonl"
ROOM = "history"
"""The folder of the cache that they are kept in, by key."""


class Reported(NamedTuple):
    """A number that was told while work was going on: after so many of so many steps."""

    done: int
    total: int
    value: float


def keep_events(folder: Path) -> None:
    """Add what a job's events tell to its history, before another try begins or the job's folder goes."""
    events = folder / EVENTS
    if not events.exists():
        return
    with (folder / HISTORY).open("a", encoding="utf-8") as file:
        for line in _told(events):
            file.write(redact(line) + "\n")
    events.unlink()


def close_history(folder: Path, result: Result, target: Path) -> None:
    """Bring the history of a job that is done to its place in the cache; whole or not at all."""
    keep_events(folder)
    history = folder / HISTORY
    last = {
        "time": round(time.time(), 3),
        "kind": "finished",
        "seconds": result.seconds,
        "peak_memory": result.peak_memory,
    }
    with history.open("a", encoding="utf-8") as file:
        file.write(json.dumps(last) + "\n")
    target.parent.mkdir(parents=True, exist_ok=True)
    move(history, target)
    mark_finished(target)


def told_before(history: Path) -> Iterator[Event]:
    """The notes and warnings of a history, and the last report of each name: what a run from the cache tells
    again. Nothing when there is none; of a damaged one, that it is damaged."""
    if history.exists() and finished(history) is None:
        yield Log("warning", f"The history {history} is damaged: what was told then is not told again.")
        return
    reports: dict[str, Report] = {}
    for line in _lines(history):
        event = decode_event(line)
        if isinstance(event, Report):
            reports[event.name] = event
        elif isinstance(event, Log) and event.level in ("note", "warning"):
            yield event
    yield from reports.values()


def curves_told(history: Path) -> dict[str, list[tuple[float, float]]]:
    """Numbers that were reported along the way: name -> (how far the work was, the number), in that order;
    what was said once is no curve. Nothing when there is none, or it is damaged."""
    found: dict[str, list[tuple[float, float]]] = {}
    for line in _lines(history) if finished(history) is not None else []:
        fields = json.loads(line)
        value = fields.get("value")
        if "done" in fields and isinstance(value, int | float) and not isinstance(value, bool):
            found.setdefault(str(fields["name"]), []).append((float(fields["done"]), float(value)))
    return {name: points for name, points in found.items() if len(points) > 1}


def reported(history: Path, folder: Path, name: str) -> list[Reported]:
    """The numbers of that name which a task has told: from its history, or, of one that is not finished, from
    all tries in the folder of its job."""
    if history.exists():
        return list(_reported(_lines(history), name))
    events = folder / EVENTS
    return list(_reported([*_lines(folder / HISTORY), *(_told(events) if events.exists() else ())], name))


def _reported(lines: Iterable[str], name: str) -> Iterator[Reported]:
    for line in lines:
        try:
            fields = json.loads(line)
            if fields.get("name") == name and fields.get("total"):
                yield Reported(int(fields["done"]), int(fields["total"]), float(fields["value"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # damaged, or no number


def copy_history(history: Path, target: Path) -> None:
    """A copy beside an exported model."""
    if history.exists():
        shutil.copyfile(history, target)


def _told(events: Path) -> Iterator[str]:
    at = Progress(0, 0, "")
    for line in _lines(events):
        event = decode_event(line)
        if isinstance(event, Progress):
            at = event
        elif isinstance(event, Report):
            fields = json.loads(line)
            if at.unit:
                fields.update(done=at.done, total=at.total, unit=at.unit)
            yield json.dumps(fields)
        elif isinstance(event, Log):
            yield line


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
