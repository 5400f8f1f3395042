"""A folder that is made once and used by many: whole or not at all, its digests checked when it is opened."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from modelpress.api import finished, mark_finished, move


def open_or_make(folder: Path, make: Callable[[Path], None], on_damage: Callable[[], None]) -> Path:
    """The folder, made where it is not there or a byte of it is not as it was written.

    make: fills an empty folder; on_damage: called before what is damaged is made again
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if finished(folder, lambda _: on_damage()) is None:
            _make(folder, make)
    return folder


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    """Beside its place first: what is half made is never taken for whole."""
    fresh = folder.with_name(f"{folder.name}.{uuid4().hex[:8]}.tmp")
    fresh.mkdir()
    try:
        make(fresh)
        mark_finished(fresh)
        shutil.rmtree(folder, ignore_errors=True)
        move(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
