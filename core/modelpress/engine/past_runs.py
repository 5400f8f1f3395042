"""Runs that are over, or under way: the records that a cache keeps of them."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from modelpress.engine.cache import Cache, default_cache_folder
from modelpress.engine.history import ROOM
from modelpress.engine.ownership import RECORD
from modelpress.engine.record import RunRecord
from modelpress.errors import UserError
from modelpress.machine import refusal
from modelpress.nearest import did_you_mean
from modelpress.records import read_record


def find_runs(folder: Path, on_damage: Callable[[Path], None] = lambda path: None) -> list[RunRecord]:
    """The runs of a folder, the last first. Records that are damaged, of another version or of another run
    are left out and told to on_damage."""
    found = []
    for path in sorted(folder.glob(f"*/{RECORD}"), reverse=True):
        try:
            record = read_record(RunRecord, path)
            if record.id != path.parent.name:
                raise ValueError(f"it is the record of {record.id}")
            found.append(record)
        except (OSError, ValueError):
            on_damage(path)
    return found


def find_run(folder: Path, name: str | None) -> RunRecord:
    """The run whose id begins with the name; the last when it is None. Raises UserError."""
    runs = find_runs(folder)
    if not runs:
        raise UserError(f"No run is remembered in {folder}.", "Runs are kept in the cache that they used.")
    fitting = [run for run in runs if run.id.startswith(name or "")]
    if name is not None and not fitting:
        hint = did_you_mean(name, [run.id for run in runs], what="The last ones are")
        raise UserError(f"There is no run {name!r} in {folder}.", hint)
    if name is not None and len(fitting) > 1:
        listed = ", ".join(run.id for run in fitting[:5])
        raise UserError(f"{len(fitting)} runs begin with {name!r}.", f"Give more of it: {listed}.")
    return fitting[0]


def open_run(place: str | Path | None, cache_dir: Path | None = None) -> RunRecord:
    """A run by its output folder, its `run.json`, or its id in the cache; the last of the cache for None.
    cache_dir: None for the usual one. Raises UserError."""
    path = Path(place).expanduser() if place else None
    if path is None or not path.exists():
        cache = cache_dir.expanduser().resolve() if cache_dir else default_cache_folder()
        return find_run(Cache(cache).runs_folder, str(place) if place else None)
    file = path / RECORD if path.is_dir() else path
    if not file.exists():
        raise UserError(f"There is no {RECORD} in {path}.", "It lies beside the model that a run made.")
    try:
        return read_record(RunRecord, file)
    except (OSError, ValueError) as error:
        hint = "`modelpress runs list` shows the runs that this machine remembers."
        raise UserError(*refusal(f"{file} is no record of a run that can be read", error, hint)) from None


def history_of(run: RunRecord, key: str) -> Path:
    """Where what a step of the run told is kept; it may be gone with its cache."""
    return Path(run.cache) / ROOM / f"{key}.jsonl"


def status_of(run: RunRecord) -> str:
    """As the record says; `killed` for one that runs no more, though its record says so."""
    here = run.host == platform.node()
    gone = run.status == "running" and here and not psutil.pid_exists(run.process)
    return "killed" if gone else run.status


def forget_runs(folder: Path, *, older_than_days: float) -> int:
    """Remove records and logs of runs that ended longer ago. Returns bytes freed.

    A run that is under way stays, and so does one of another machine of which that cannot be known.
    """
    limit = time.time() - older_than_days * 86400
    freed = 0
    for path in folder.glob("*/"):
        record = path / RECORD
        if max((file.stat().st_mtime for file in path.rglob("*")), default=path.stat().st_mtime) >= limit:
            continue
        try:
            if status_of(read_record(RunRecord, record)) == "running":
                continue
        except (OSError, ValueError):
            pass  # damaged, or of another version: nobody can read it
        freed += sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        shutil.rmtree(path, ignore_errors=True)
    return freed
