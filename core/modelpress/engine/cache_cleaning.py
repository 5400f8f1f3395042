"""What a cache holds, whether it is sound, and making room in it while runs are at work."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from modelpress.artifact import MANIFEST, damaged_files, read_manifest
from modelpress.engine.cache import SHARED_ROOMS, Cache, is_held
from modelpress.engine.submitted import SubmittedJobs
from modelpress.errors import UserError
from modelpress.json_types import JSONValue


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One finished artifact. size in bytes; created and used are Unix times in seconds."""

    key: str
    path: Path
    size: int
    format: str
    made_by: Mapping[str, JSONValue]
    created: float
    used: float


def tidy(cache: Cache) -> None:
    """Remove what killed processes left: half-removed folders, leases that nobody holds."""
    shutil.rmtree(cache.folder / "trash", ignore_errors=True)
    for lease in (cache.folder / "leases").glob("*.*"):
        is_held(lease)


def entries(cache: Cache) -> list[CacheEntry]:
    """All finished artifacts, the last used first. Damaged manifests are listed with format `damaged`."""
    root = cache.folder / "artifacts"
    found = [_entry(path) for path in sorted(root.iterdir())] if root.is_dir() else []
    return sorted((entry for entry in found if entry), key=lambda entry: -entry.used)


def verify(entry: CacheEntry) -> list[str]:
    """What is wrong with an entry, a line each; every byte is read."""
    try:
        return damaged_files(entry.path)
    except UserError as error:
        return [error.message]


def collect(
    cache: Cache,
    *,
    older_than_days: float | None = None,
    keep_bytes: int | None = None,
    keep_jobs: bool = False,
) -> int:
    """Remove what is old, then the least recently used until keep_bytes are left. Returns bytes freed.

    What a run makes or reads right now is left alone, and jobs that a system may still be at work on. Folders
    of failed and interrupted steps go too, unless keep_jobs.
    """
    freed = _size(cache.folder / "trash")
    tidy(cache)
    found = entries(cache)
    limit = time.time() - older_than_days * 86400 if older_than_days is not None else None
    kept = sum(entry.size for entry in found)
    for entry in reversed(found):
        old = limit is not None and entry.used < limit
        over = keep_bytes is not None and kept > keep_bytes
        if (old or over) and cache.remove_free(entry.key, entry.path):
            freed += entry.size
            kept -= entry.size
    jobs, submitted = cache.folder / "jobs", SubmittedJobs(cache.folder)
    if jobs.is_dir() and not keep_jobs:
        for folder in jobs.iterdir():
            stale = limit is None or _changed(folder) < limit
            size = _size(folder)
            job = submitted.find(folder.name)
            if stale and not (job and job.attachable) and cache.remove_free(folder.name, folder):
                submitted.forget(folder.name)
                freed += size
    return freed + _collect_numbers(cache, limit) + _collect_histories(cache)


def _collect_numbers(cache: Cache, limit: float | None) -> int:
    """Numbers that were not used since the limit; none without one, since they take no room."""
    numbers = (cache.folder / "evaluations").glob("*.json") if limit is not None else ()
    return sum(_remove_file(cache, file) for file in numbers if limit and _changed(file) < limit)


def _collect_histories(cache: Cache) -> int:
    """A history goes with the artifact or the numbers whose making it tells."""
    files = (cache.folder / "history").glob("*")
    return sum(_remove_file(cache, file) for file in files if not _is_kept(cache, _key_of(file)))


def _is_kept(cache: Cache, key: str) -> bool:
    away = cache.folder / "away" / f"{key}.json"
    return cache.artifact_folder(key).exists() or cache.numbers_file(key).exists() or away.exists()


def _remove_file(cache: Cache, file: Path) -> int:
    """Bytes freed; 0 when a run is at work on that key."""
    size = _size(file)
    return size if cache.remove_free(_key_of(file), file) else 0


def clear(cache: Cache) -> int:
    """Remove everything but what a run makes or reads right now. Returns bytes freed."""
    freed = collect(cache, keep_bytes=-1)
    for name in SHARED_ROOMS:
        size = _size(cache.folder / name)
        if size and cache.remove_free(name, cache.folder / name):
            freed += size
    for name in ("evaluations", "digests", "history", "away"):
        for file in (cache.folder / name).glob("*"):
            with suppress(OSError):
                freed += file.stat().st_size
                file.unlink()
    return freed


def _key_of(file: Path) -> str:
    return file.name.partition(".")[0]


def _entry(path: Path) -> CacheEntry | None:
    """None for one that has just been removed."""
    created = _changed(path)
    try:
        manifest = read_manifest(path)
        used = _changed(path / MANIFEST)
        return CacheEntry(path.name, path, manifest.size, manifest.format, manifest.made_by, created, used)
    except UserError:
        if not path.exists():
            return None
        return CacheEntry(path.name, path, _size(path), "damaged", {}, created, created)


def _changed(path: Path) -> float:
    """When it was last written; 0 for what has just been removed."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(folder: Path) -> int:
    """Bytes below a folder, some of which may be going away meanwhile."""
    total = 0
    for path in folder.rglob("*") if folder.is_dir() else [folder]:
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total
