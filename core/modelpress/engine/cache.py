"""The cache: finished artifacts by the key of the step that made them, shared by any number of runs.

artifacts/KEY/          a finished artifact with its manifest; appears whole or not at all
evaluations/KEY.json    the numbers of a finished metric
jobs/KEY/               a step in work, or one that failed or was interrupted, with its checkpoint
locks/KEY.lock          held while a step is in work, so that two runs do shared work once
leases/KEY.*            one for each run that reads the artifact, held as long as that run lives
history/KEY.jsonl       what a finished step or metric told while it was done
runs/ID/                record and log of each run; they stay when the rest is cleared
digests/                memory of file digests
data/ resources/        converted data sets; what was fetched
trash/                  what is being removed
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from modelpress.artifact import (
    MANIFEST,
    Artifact,
    damaged_files,
    open_artifact,
    read_manifest,
    write_manifest,
)
from modelpress.engine.job import Result
from modelpress.errors import UserError
from modelpress.files import flush_to_disk, move
from modelpress.identity import DigestMemo
from modelpress.json_types import JSONValue
from modelpress.records import from_json, read_record, write_record


def default_cache_folder() -> Path:
    """`MODELPRESS_CACHE`, or the platform's cache folder for this user."""
    named = os.environ.get("MODELPRESS_CACHE")
    return Path(named).expanduser() if named else user_cache_path("modelpress", appauthor=False)


SHARED_ROOMS = ("data", "resources")
"""Rooms that any run may read from: held by each run as a whole."""
ROOMS = (
    "artifacts",
    "evaluations",
    "history",
    "runs",
    "jobs",
    "locks",
    "leases",
    "digests",
    "trash",
    *SHARED_ROOMS,
)


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


@dataclass(frozen=True, slots=True)
class _Numbers:
    """A finished evaluation, with the key that it was made for: another's file may lie in its place."""

    key: str
    result: Result


class Cache:
    """The cache in a folder. Nothing is written before it is needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digests = DigestMemo(folder / "digests")
        self.data_folder = folder / "data"
        self._leases: list[FileLock] = []

    def artifact_folder(self, key: str) -> Path:
        return self.folder / "artifacts" / key

    @property
    def runs_folder(self) -> Path:
        return self.folder / "runs"

    def history_file(self, key: str) -> Path:
        """What the step or metric with this key told while it was done."""
        return self.folder / "history" / f"{key}.jsonl"

    def job_folder(self, key: str) -> Path:
        return self.folder / "jobs" / key

    def has(self, key: str) -> bool:
        """Whether the step with this key is finished and undamaged."""
        folder = self.artifact_folder(key)
        try:
            return read_manifest(folder).key == key and not damaged_files(folder, self.digests)
        except UserError:
            return False

    def find(self, key: str, on_damage: Callable[[str], None]) -> Artifact | None:
        """The finished artifact, or None. A damaged one is told to on_damage and taken away."""
        folder = self.artifact_folder(key)
        if not folder.exists():
            return None
        try:
            damage = damaged_files(folder, self.digests)
            artifact = open_artifact(folder)
            if artifact.key != key:
                damage.append(f"it is another step's, {artifact.key[:12]}")
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
        lock = self._lock_file(key)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            on_wait()
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def hold(self, key: str) -> None:
        """Keep the artifact with this key from being collected until `release`, or the end of this process.

        Called with the key's lock held. The lease is a lock that the system lets go of when its owner dies.
        """
        lease = FileLock(self.folder / "leases" / f"{key}.{uuid4().hex}")
        Path(lease.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lease.acquire(timeout=0)
        self._leases.append(lease)

    def hold_shared(self) -> None:
        """Keep converted data sets and fetched files until `release`."""
        for room in SHARED_ROOMS:
            with self.lock(room, lambda: None):
                self.hold(room)

    def release(self) -> None:
        """Let go of all that this run has held."""
        for lease in self._leases:
            lease.release()
            Path(lease.lock_file).unlink(missing_ok=True)
        self._leases.clear()

    def commit(self, out: Path, artifact: Artifact, made_by: Mapping[str, JSONValue]) -> Artifact:
        """Move a finished folder into the cache: manifest, flush, rename. Returns the artifact there."""
        target = self.artifact_folder(artifact.key)
        draft = Artifact(out, artifact.format, artifact.key, artifact.base, artifact.meta)
        write_manifest(draft, made_by, self.digests)
        target.parent.mkdir(parents=True, exist_ok=True)
        flush_to_disk(out)
        if target.exists():
            self._remove(target)
        move(out, target)
        flush_to_disk(target.parent)
        return Artifact(target, artifact.format, artifact.key, artifact.base, artifact.meta)

    def result_of(self, key: str) -> Result:
        """What the worker said when it made the artifact with this key."""
        try:
            return from_json(Result, read_manifest(self.artifact_folder(key)).made_by)
        except (UserError, ValueError):
            return Result()

    def find_numbers(self, key: str, on_damage: Callable[[str], None] = lambda text: None) -> Result | None:
        """The finished evaluation with this key, or None; a damaged one counts as none and is told."""
        try:
            kept = read_record(_Numbers, self._numbers_file(key))
            if kept.key == key and kept.result.metrics:
                os.utime(self._numbers_file(key))  # when they were last used, for `cache gc`
                return kept.result
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            pass
        on_damage(f"The kept numbers {key[:12]} are damaged: they are measured again.")
        return None

    def commit_numbers(self, key: str, result: Result) -> None:
        """Keep a finished evaluation."""
        target = self._numbers_file(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_record(target, _Numbers(key, result))

    def damaged_numbers(self) -> list[str]:
        """Keys of evaluations that are damaged."""
        keys = [path.stem for path in (self.folder / "evaluations").glob("*.json")]
        return [key for key in sorted(keys) if self.find_numbers(key) is None]

    def finish_job(self, key: str) -> None:
        """Remove the job folder of a step that is in the cache now, and parts of files that were cut off."""
        for room in ("evaluations", "history"):
            for part in (self.folder / room).glob(f".{key}.*.part"):
                part.unlink(missing_ok=True)
        shutil.rmtree(self.job_folder(key), ignore_errors=True)

    def tidy(self) -> None:
        """Remove what killed processes left: half-removed folders, leases that nobody holds."""
        shutil.rmtree(self.folder / "trash", ignore_errors=True)
        for lease in (self.folder / "leases").glob("*.*"):
            _is_held(lease)

    def entries(self) -> list[CacheEntry]:
        """All finished artifacts, the last used first. Damaged manifests are listed with format `damaged`."""
        root = self.folder / "artifacts"
        found = [_entry(path) for path in sorted(root.iterdir())] if root.is_dir() else []
        return sorted((entry for entry in found if entry), key=lambda entry: -entry.used)

    def verify(self, entry: CacheEntry) -> list[str]:
        """What is wrong with an entry, a line each; every byte is read."""
        try:
            return damaged_files(entry.path)
        except UserError as error:
            return [error.message]

    def collect(
        self, *, older_than_days: float | None = None, keep_bytes: int | None = None, keep_jobs: bool = False
    ) -> int:
        """Remove what is old, then the least recently used until keep_bytes are left. Returns bytes freed.

        What a run makes or reads right now is left alone. Folders of failed and interrupted steps go too,
        unless keep_jobs.
        """
        freed = _size(self.folder / "trash")
        self.tidy()
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
                stale = limit is None or _changed(folder) < limit
                size = _size(folder)
                if stale and self._remove_free(folder.name, folder):
                    freed += size
        return freed + self._collect_numbers(limit) + self._collect_histories()

    def _collect_numbers(self, limit: float | None) -> int:
        """Numbers that were not used since the limit; none without one, since they take no room."""
        numbers = (self.folder / "evaluations").glob("*.json") if limit is not None else ()
        return sum(self._remove_file(file) for file in numbers if limit and _changed(file) < limit)

    def _collect_histories(self) -> int:
        """A history goes with the artifact or the numbers whose making it tells."""
        files = (self.folder / "history").glob("*")
        return sum(self._remove_file(file) for file in files if not self._is_kept(_key_of(file)))

    def _is_kept(self, key: str) -> bool:
        return self.artifact_folder(key).exists() or self._numbers_file(key).exists()

    def _remove_file(self, file: Path) -> int:
        """Bytes freed; 0 when a run is at work on that key."""
        size = _size(file)
        return size if self._remove_free(_key_of(file), file) else 0

    def clear(self) -> int:
        """Remove everything but what a run makes or reads right now. Returns bytes freed."""
        freed = self.collect(keep_bytes=-1)
        for name in SHARED_ROOMS:
            size = _size(self.folder / name)
            if size and self._remove_free(name, self.folder / name):
                freed += size
        for name in ("evaluations", "digests", "history"):
            for file in (self.folder / name).glob("*"):
                with suppress(OSError):
                    freed += file.stat().st_size
                    file.unlink()
        return freed

    def _numbers_file(self, key: str) -> Path:
        return self.folder / "evaluations" / f"{key}.json"

    def _lock_file(self, key: str) -> FileLock:
        path = self.folder / "locks" / f"{key}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)

    def _remove_free(self, key: str, folder: Path) -> bool:
        """Remove a folder that no run makes (its lock) or reads (its leases)."""
        try:
            with self._lock_file(key).acquire(timeout=0):
                held = [_is_held(lease) for lease in (self.folder / "leases").glob(f"{key}.*")]
                if any(held):
                    return False
                self._remove(folder)
        except (Timeout, PermissionError, FileNotFoundError):
            return False
        return True

    def _remove(self, folder: Path) -> None:
        # Renamed first: a folder that is half deleted must never be taken for an artifact.
        trash = self.folder / "trash" / uuid4().hex
        trash.parent.mkdir(parents=True, exist_ok=True)
        move(folder, trash)
        if trash.is_dir():
            shutil.rmtree(trash, ignore_errors=True)
        else:
            trash.unlink(missing_ok=True)


def _key_of(file: Path) -> str:
    return file.name.partition(".")[0]


def _is_held(lease: Path) -> bool:
    """Whether the owner of a lease lives. One that nobody holds is removed."""
    lock = FileLock(lease)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    lease.unlink(missing_ok=True)
    return False


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
