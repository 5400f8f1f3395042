"""Checkpoints that can be trusted: one counts only when it was written to its end, and is as it was written.

The Trainer writes a checkpoint file by file. Each finished one gets a mark with the digests of its files; a
process that is killed in between leaves no mark, or a mark that does not fit.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelpress.api import finished, mark_finished


@dataclass(frozen=True, slots=True)
class SavedStep:
    """A complete checkpoint. finished: no step is left to be trained."""

    folder: Path
    step: int
    finished: bool


def mark_complete(folder: Path, step: int, *, finished: bool) -> None:
    """Say that everything in the folder has been written."""
    mark_finished(folder, {"step": step, "finished": finished})


def last_complete(folder: Path, on_damage: Callable[[str], None]) -> SavedStep | None:
    """The newest complete checkpoint below the folder. Everything else in there is removed; on_damage is told
    of what was complete once."""
    found = [saved for path in sorted(folder.glob("checkpoint-*")) if (saved := _read(path, on_damage))]
    last = max(found, key=lambda saved: saved.step, default=None)
    complete = {saved.folder for saved in found}
    for path in folder.iterdir():
        if path.is_dir() and path not in complete:
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    return last


def _read(folder: Path, on_damage: Callable[[str], None]) -> SavedStep | None:
    facts = finished(folder, on_damage)
    step = facts.get("step") if facts else None
    return SavedStep(folder, step, bool(facts["finished"])) if facts and isinstance(step, int) else None
