"""The cache: finished artifacts by the key of the step that made them, shared by any number of runs.

artifacts/KEY/          a finished artifact with its manifest; appears whole or not at all
evaluations/KEY.json    the numbers of a finished metric
away/KEY.json           an artifact that stays on the system that made it, see modelpress.engine.away
handles/KEY.json        how a job that was submitted is found again, see modelpress.engine.submitted
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
    "away",
    "fetched",
    "handles",
    "jobs",
    "locks",
    "leases",
    "digests",
    "trash",
    *SHARED_ROOMS,
)


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
        """Whether the step with this key is finished and undamaged, here or where it was made."""
        if (self.folder / "away" / f"{key}.json").exists():
            return True
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

    def adopt(self, folder: Path, key: str) -> None:
        """Move a folder that another machine made, with its manifest, into the cache: flush, rename."""
        target = self.artifact_folder(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        flush_to_disk(folder)
        move(folder, target)
        flush_to_disk(target.parent)

    def result_of(self, key: str) -> Result:
        """What the worker said when it made the artifact with this key."""
        try:
            return from_json(Result, read_manifest(self.artifact_folder(key)).made_by)
        except (UserError, ValueError):
            return Result()

    def find_numbers(self, key: str, on_damage: Callable[[str], None] = lambda text: None) -> Result | None:
        """The finished evaluation with this key, or None; a damaged one counts as none and is told."""
        try:
            kept = read_record(_Numbers, self.numbers_file(key))
            if kept.key == key and kept.result.metrics:
                os.utime(self.numbers_file(key))  # when they were last used, for `cache gc`
                return kept.result
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            pass
        on_damage(f"The kept numbers {key[:12]} are damaged: they are measured again.")
        return None

    def commit_numbers(self, key: str, result: Result) -> None:
        """Keep a finished evaluation."""
        target = self.numbers_file(key)
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
        (self.folder / "handles" / f"{key}.json").unlink(missing_ok=True)
        shutil.rmtree(self.job_folder(key), ignore_errors=True)

    def numbers_file(self, key: str) -> Path:
        return self.folder / "evaluations" / f"{key}.json"

    def _lock_file(self, key: str) -> FileLock:
        path = self.folder / "locks" / f"{key}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)

    def remove_free(self, key: str, folder: Path) -> bool:
        """Remove a folder that no run makes (its lock) or reads (its leases)."""
        try:
            with self._lock_file(key).acquire(timeout=0):
                held = [is_held(lease) for lease in (self.folder / "leases").glob(f"{key}.*")]
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


def is_held(lease: Path) -> bool:
    """Whether the owner of a lease lives. One that nobody holds is removed."""
    lock = FileLock(lease)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    lease.unlink(missing_ok=True)
    return False
