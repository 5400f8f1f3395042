"""Files and folders through a cluster's object store, in pieces, to and from the store on its head node.

What was sent is there whole or not at all, under its name: `inputs/IDENTITY`, `jobs/ID`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import ray

PIECE = 2**23
_AHEAD = 4
"""Pieces under way at once."""
_KEEP_SECONDS = 14 * 86400
"""After which what nobody has used goes."""


class Store:
    """An actor. folder: on the machine where it is"""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        for room in ("inputs", "jobs", "drafts"):
            (self._folder / room).mkdir(parents=True, exist_ok=True)
            for old in (self._folder / room).iterdir():
                if time.time() - old.stat().st_mtime > _KEEP_SECONDS:
                    _remove(old)

    def has(self, name: str) -> bool:
        path = self._folder / name
        if path.exists():
            os.utime(path)
        return path.exists()

    def write(self, name: str, path: str, offset: int, piece: bytes) -> None:
        """Write a piece of a file; an empty path: the name is that of a file."""
        file = self._folder / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        opened = os.open(file, os.O_WRONLY | os.O_CREAT, 0o644)
        with open(opened, "wb") as stream:
            stream.seek(offset)
            stream.write(piece)

    def finish(self, draft: str, name: str) -> None:
        """What was written is whole: it takes the place of what has that name."""
        made, target = self._folder / draft, self._folder / name
        if not made.exists():
            made.mkdir(parents=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(made, target)

    def listing(self, name: str) -> list[tuple[str, int]] | None:
        """Path and size of each file, the empty path for a file itself; None when there is nothing."""
        start = self._folder / name
        if not start.exists():
            return None
        return [(path, file.stat().st_size) for path, file in files_of(start)]

    def read(self, name: str, path: str, offset: int) -> bytes:
        """A piece of a file, from an offset; empty at its end, or where it is not there."""
        try:
            with (self._folder / name / path).open("rb") as file:
                file.seek(offset)
                return file.read(PIECE)
        except OSError:
            return b""


def send(store: Any, source: Path, name: str) -> None:
    """Bring a file or a folder into the store."""
    draft, under_way = f"drafts/{uuid4().hex}", []
    for path, file in files_of(source):
        with file.open("rb") as opened:
            for offset in range(0, max(1, file.stat().st_size), PIECE):
                under_way.append(store.write.remote(draft, path, offset, opened.read(PIECE)))
                if len(under_way) > _AHEAD:
                    ray.get(under_way.pop(0))
    ray.get(under_way)
    ray.get(store.finish.remote(draft, name))


def fetch(store: Any, name: str, target: Path) -> bool:
    """Bring a file or a folder from the store, in the place of what is there. Returns whether there was
    one."""
    listed = ray.get(store.listing.remote(name))
    if listed is None:
        return False
    fresh = target.with_name(f".{target.name}.{uuid4().hex[:8]}.part")
    try:
        if [path for path, _ in listed] != [""]:
            fresh.mkdir(parents=True)
        for path, size in listed:
            _fetch_file(store, name, path, size, fresh / path if path else fresh)
        _replace(fresh, target)
    except BaseException:
        _remove(fresh)
        raise
    return True


def _fetch_file(store: Any, name: str, path: str, size: int, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    offsets = list(range(0, size, PIECE))
    under_way = [store.read.remote(name, path, offset) for offset in offsets[:_AHEAD]]
    with target.open("wb") as file:
        for following in [*offsets[_AHEAD:], *([None] * min(_AHEAD, len(offsets)))]:
            file.write(ray.get(under_way.pop(0)))
            if following is not None:
                under_way.append(store.read.remote(name, path, following))


def files_of(start: Path) -> Iterator[tuple[str, Path]]:
    """Every file at or below a path, with its path from there."""
    if start.is_file():
        yield "", start
        return
    for path in sorted(start.rglob("*")):
        if path.is_file():
            yield path.relative_to(start).as_posix(), path


def _replace(fresh: Path, target: Path) -> None:
    if target.exists():
        old = target.with_name(f".{target.name}.{uuid4().hex[:8]}.old")
        target.rename(old)
        fresh.rename(target)
        _remove(old)
    else:
        fresh.rename(target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
