"""A folder that is made once and used by many: whole or not at all, its digests checked when it is opened."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import xxhash
from filelock import FileLock

_CHUNK = 8 * 2**20


def open_or_make(folder: Path, seal: str, make: Callable[[Path], None]) -> Path:
    """The folder, made where it is not there or a byte of it is not as it was written.

    seal: the file in it that holds the digests of all others, written last
    make: fills an empty folder
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not _is_whole(folder, seal):
            _make(folder, seal, make)
    return folder


def _make(folder: Path, seal: str, make: Callable[[Path], None]) -> None:
    """Beside its place first: what is half made is never taken for whole."""
    fresh = folder.with_name(f"{folder.name}.{uuid4().hex[:8]}.tmp")
    fresh.mkdir()
    try:
        make(fresh)
        digests = {path.name: _digest(path) for path in sorted(fresh.iterdir())}
        (fresh / seal).write_text(json.dumps(digests), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _is_whole(folder: Path, seal: str) -> bool:
    try:
        told = json.loads((folder / seal).read_text(encoding="utf-8"))
        return bool(told) and all(_digest(folder / name) == digest for name, digest in told.items())
    except (OSError, ValueError, AttributeError):
        return False


def _digest(path: Path) -> str:
    """XXH3-128: at memory speed, 0.1 s for a gigabyte."""
    state = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()
