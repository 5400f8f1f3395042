"""Checkpoints that can be trusted: one counts only when it was written to its end.

The Trainer writes a checkpoint file by file. Each finished one gets a mark that lists its files and their
sizes; a process that is killed in between leaves no mark, or a mark that does not fit.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from modelpress.api import write_whole

_MARK = "complete.json"


@dataclass(frozen=True, slots=True)
class SavedStep:
    """A complete checkpoint. finished: no step is left to be trained."""

    folder: Path
    step: int
    finished: bool


def mark_complete(folder: Path, step: int, *, finished: bool) -> None:
    """Say that everything in the folder has been written."""
    document = {"step": step, "finished": finished, "files": _sizes(folder)}
    write_whole(folder / _MARK, json.dumps(document).encode())


def last_complete(folder: Path) -> SavedStep | None:
    """The newest complete checkpoint below the folder. Everything else in there is removed."""
    found = [saved for path in folder.glob("checkpoint-*") if (saved := _read(path))]
    last = max(found, key=lambda saved: saved.step, default=None)
    complete = {saved.folder for saved in found}
    for path in folder.iterdir():
        if path.is_dir() and path not in complete:
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    return last


def _read(folder: Path) -> SavedStep | None:
    try:
        document = json.loads((folder / _MARK).read_text(encoding="utf-8"))
        if document["files"] == _sizes(folder):
            return SavedStep(folder, document["step"], document["finished"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _sizes(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_size for p in sorted(folder.iterdir()) if p.name != _MARK}
