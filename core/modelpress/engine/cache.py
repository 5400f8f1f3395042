"""The cache: finished artifacts by the key of the step that made them, shared by any number of runs.

artifacts/KEY/          a finished artifact with its manifest; appears whole or not at all
evaluations/KEY.json    the numbers of a finished metric
jobs/KEY/               a step in work, or one that failed or was interrupted, with its checkpoint
locks/KEY.lock          held while a step is in work, so that two runs do shared work once
digests/ data/          memory of file digests; converted data sets
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from modelpress.artifact import (
    MANIFEST,
    Artifact,
    damaged_files,
    flush_to_disk,
    open_artifact,
    read_manifest,
    write_manifest,
)
from modelpress.engine.job import Result
from modelpress.errors import UserError
from modelpress.identity import DigestMemo
from modelpress.records import from_json, read_record, write_record


def default_cache_folder() -> Path:
    """`MODELPRESS_CACHE`, or the platform's cache folder for this user."""
    named = os.environ.get("MODELPRESS_CACHE")
    return Path(named).expanduser() if named else user_cache_path("modelpress", appauthor=False)


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One finished artifact. size in bytes; created and used are Unix times in seconds."""

    key: str
    path: Path
    size: int
    format: str
    made_by: Mapping[str, Any]
    created: float
    used: float


class Cache:
    """The cache in a folder. Nothing is written before it is needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digests = DigestMemo(folder / "digests")
        self.data_folder = folder / "data"

    def artifact_folder(self, key: str) -> Path:
        return self.folder / "artifacts" / key

    def job_folder(self, key: str) -> Path:
        return self.folder / "jobs" / key

    def has(self, key: str) -> bool:
        """Whether the step with this key is finished and undamaged (sizes and times)."""
        folder = self.artifact_folder(key)
        try:
            return not damaged_files(folder)
        except UserError:
            return False

    def find(self, key: str, on_damage: Callable[[str], None]) -> Artifact | None:
        """The finished artifact, or None. A damaged one is told to on_damage and taken away."""
        folder = self.artifact_folder(key)
        if not folder.exists():
            return None
        try:
            damage = damaged_files(folder)
            artifact = open_artifact(folder)
        except UserError as error:
            damage = [error.message]
        if damage:
            on_damage(f"The cached result {key[:12]} is damaged ({'; '.join(damage[:3])}): it is made again.")
            self._remove(folder)
            return None
        os.utime(folder / MANIFEST)  # when it was last used, for `cache gc`
        return artifact

    @contextmanager
    def lock(self, key: str, on_wait: Callable[[], None]) -> Iterator[None]:
        """Hold the step with this key. on_wait is called once when another run holds it."""
        path = self.folder / "locks" / f"{key}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            on_wait()
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def commit(self, out: Path, artifact: Artifact, made_by: Mapping[str, Any]) -> Artifact:
        """Move a finished folder into the cache: manifest, flush, rename. Returns the artifact there."""
        target = self.artifact_folder(artifact.key)
        write_manifest(Artifact(out, artifact.format, artifact.key, artifact.base, artifact.meta), made_by)
        target.parent.mkdir(parents=True, exist_ok=True)
        flush_to_disk(out)
        if target.exists():
            self._remove(target)
        os.replace(out, target)
        flush_to_disk(target.parent)
        return Artifact(target, artifact.format, artifact.key, artifact.base, artifact.meta)

    def result_of(self, key: str) -> Result:
        """What the worker said when it made the artifact with this key."""
        try:
            return from_json(Result, read_manifest(self.artifact_folder(key))["made_by"])
        except (UserError, ValueError, KeyError):
            return Result()

    def find_numbers(self, key: str) -> Result | None:
        """The finished evaluation with this key, or None; a damaged one counts as none."""
        try:
            result = read_record(Result, self.folder / "evaluations" / f"{key}.json")
        except (OSError, ValueError):
            return None
        return result if result.metrics else None

    def commit_numbers(self, key: str, result: Result) -> None:
        """Keep a finished evaluation."""
        target = self.folder / "evaluations" / f"{key}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_record(target, result)

    def finish_job(self, key: str) -> None:
        """Remove the job folder of a step that is in the cache now."""
        shutil.rmtree(self.job_folder(key), ignore_errors=True)

    def entries(self) -> list[CacheEntry]:
        """All finished artifacts, the last used first. Damaged manifests are listed with format `damaged`."""
        root = self.folder / "artifacts"
        found = [_entry(path) for path in sorted(root.iterdir())] if root.is_dir() else []
        return sorted(found, key=lambda entry: -entry.used)

    def verify(self, entry: CacheEntry, *, full: bool = True) -> list[str]:
        """What is wrong with an entry, a line each; full compares every byte's digest."""
        try:
            return damaged_files(entry.path, full=full)
        except UserError as error:
            return [error.message]

    def collect(
        self, *, older_than_days: float | None = None, keep_bytes: int | None = None, keep_jobs: bool = False
    ) -> int:
        """Remove what is old, then the least recently used until keep_bytes are left. Returns bytes freed.

        Steps that a run holds right now are left alone. Folders of failed and interrupted steps go too,
        unless keep_jobs.
        """
        freed = 0
        entries = self.entries()
        limit = time.time() - older_than_days * 86400 if older_than_days is not None else None
        kept = sum(entry.size for entry in entries)
        for entry in reversed(entries):
            old = limit is not None and entry.used < limit
            over = keep_bytes is not None and kept > keep_bytes
            if (old or over) and self._remove_free(entry.key, entry.path):
                freed += entry.size
                kept -= entry.size
        jobs = self.folder / "jobs"
        if jobs.is_dir() and not keep_jobs:
            for folder in jobs.iterdir():
                stale = limit is None or folder.stat().st_mtime < limit
                size = _size(folder)
                if stale and self._remove_free(folder.name, folder):
                    freed += size
        return freed

    def clear(self) -> int:
        """Remove everything but steps that a run holds right now. Returns bytes freed."""
        freed = self.collect(keep_bytes=-1)
        for name in ("evaluations", "digests", "data", "trash"):
            freed += _size(self.folder / name)
            shutil.rmtree(self.folder / name, ignore_errors=True)
        return freed

    def _remove_free(self, key: str, folder: Path) -> bool:
        lock = FileLock(self.folder / "locks" / f"{key}.lock")
        (self.folder / "locks").mkdir(parents=True, exist_ok=True)
        try:
            with lock.acquire(timeout=0):
                self._remove(folder)
        except Timeout:
            return False
        return True

    def _remove(self, folder: Path) -> None:
        # Renamed first: a folder that is half deleted must never be taken for an artifact.
        trash = self.folder / "trash" / uuid4().hex
        trash.parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder, trash)
        shutil.rmtree(trash, ignore_errors=True)


def _entry(path: Path) -> CacheEntry:
    created = path.stat().st_mtime
    try:
        manifest = read_manifest(path)
        used = (path / MANIFEST).stat().st_mtime
        size = sum(facts["size"] for facts in manifest["files"].values())
        return CacheEntry(path.name, path, size, manifest["format"], manifest["made_by"], created, used)
    except (UserError, KeyError, TypeError):
        return CacheEntry(path.name, path, _size(path), "damaged", {}, created, created)


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else 0
