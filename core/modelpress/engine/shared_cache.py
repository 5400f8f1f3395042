"""A cache that machines share (remote cache), on object storage: S3, Azure, Google, or a shared file system.

v1/blobs/DIGEST           the bytes of one file, under what they are: whoever writes them writes the same
v1/artifacts/KEY.json     a finished artifact: its manifest, which names its files, and its history. Written
                          last and whole, so that an upload that breaks leaves nothing to be found
v1/evaluations/KEY.json   the numbers of a finished metric

Read through: what the cache of this machine lacks is looked up there, its bytes fetched when they are
needed, and
every file compared with its digest. Write behind: what was made is uploaded while the run goes on. The key
of a step is all that decides its result, so that it does not matter who made it.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar
from uuid import uuid4

from modelpress.artifact import MANIFEST, Artifact, Manifest, damaged_files, read_manifest
from modelpress.config.workflow import SharedPlace, WorkflowParts
from modelpress.disk import megabytes
from modelpress.engine.cache import Cache
from modelpress.engine.job import Result
from modelpress.errors import (
    HostError,
    MissingDependencyError,
    ModelpressError,
    UserError,
    text_of,
)
from modelpress.events import Log
from modelpress.files import finished, mark_finished, sealed, unsealed, write_whole
from modelpress.json_types import JSONValue
from modelpress.records import from_json, to_json
from modelpress.secrets import holds_known_secret, redact
from modelpress.system import Tell

T = TypeVar("T")
_VERSION = "v1"
_CHECK_SECONDS = 30.0
_LARGEST_TEXT = 2**24
"""Bytes up to which a file is searched for secrets before it is uploaded: weights are none."""
_HERE = ("file", "local", "memory")
"""Protocols that reach no network."""


class _Files(Protocol):
    """What is used of fsspec's file systems."""

    protocol: str | tuple[str, ...]

    def cat_file(self, path: str) -> bytes: ...
    def pipe_file(self, path: str, value: bytes) -> None: ...
    def put_file(self, here: str, path: str) -> None: ...
    def get_file(self, path: str, here: str) -> None: ...
    def info(self, path: str) -> Mapping[str, int]: ...
    def makedirs(self, path: str, exist_ok: bool) -> None: ...
    def mv(self, path: str, target: str) -> None: ...
    def rm_file(self, path: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Found:
    manifest: Manifest
    text: str
    history: str


class SharedCache:
    """Beside the cache of this machine. Without a place it holds nothing and takes nothing."""

    def __init__(self, place: SharedPlace | None, cache: Cache, *, offline: bool = False) -> None:
        self._place = place
        self._cache = cache
        self._offline = offline
        self._files: _Files | None = None
        self._root = ""
        self._known: dict[str, _Found] = {}
        self._wanted: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lost: list[str] = []

    def open(self, tell: Tell) -> None:
        """Reach it, before any work. Raises UserError, MissingDependencyError or HostError when that
        fails."""
        if self._place is None:
            return
        protocol = self._place.address.partition("://")[0]
        if self._offline and protocol not in _HERE:
            tell(Log("note", f"The shared cache {self._place.address} is left alone: this run is offline."))
            return
        files, root = _file_system(self._place)
        self._files, self._root = files, f"{root.rstrip('/')}/{_VERSION}"
        _within(_CHECK_SECONDS, lambda: self._ask("reached", self._greet))

    def find(self, key: str, model: Artifact) -> tuple[Artifact, Result] | None:
        """The artifact that the step with this key gives for a model, if it is there; its bytes are not here
        yet."""
        if self._files is None:
            return None
        record = self._read(f"artifacts/{key}.json")
        if record is None:
            return None
        try:
            manifest = from_json(Manifest, _without_seal(str(record["manifest"])))
            if manifest.key != key or not all(self._has(f.digest, f.size) for f in manifest.files.values()):
                return None
        except (ValueError, KeyError, TypeError):
            return None
        self._known[key] = _Found(manifest, str(record["manifest"]), str(record.get("history", "")))
        base = (model.base or model) if manifest.base else None
        path = self._cache.artifact_folder(key)
        return Artifact(path, manifest.format, key, base, manifest.meta), from_json(Result, manifest.made_by)

    def bring(self, key: str, tell: Tell) -> None:
        """Bring the bytes of what was found here. Nothing to do for anything else."""
        found = self._known.get(key)
        if found is None:
            return
        with self._cache.lock(f"fetch-{key}", lambda: None):
            if not self._cache.artifact_folder(key).exists():
                tell(Log("note", f"Fetching {megabytes(found.manifest.size)} from the shared cache."))
                self._bring(key, found)
        del self._known[key]

    def find_numbers(self, key: str) -> Result | None:
        """The numbers of the metric with this key, kept here from now on."""
        record = self._read(f"evaluations/{key}.json") if self._files else None
        if record is None:
            return None
        try:
            result = from_json(Result, record["result"])
        except (ValueError, KeyError, TypeError):
            return None
        self._cache.commit_numbers(key, result)
        self._keep_history(key, str(record.get("history", "")))
        return result

    def offer(self, key: str) -> None:
        """Upload the artifact with this key, which is in the cache of this machine, unless it is there."""
        self._later(lambda: self._upload(key))

    def offer_numbers(self, key: str, result: Result) -> None:
        """Upload the numbers with this key, unless they are there."""
        self._later(lambda: self._upload_numbers(key, result))

    def close(self, tell: Tell) -> None:
        """Wait for what is being uploaded. What could not be is told, and harms nothing."""
        if self._thread is None:
            return
        waiting = self._wanted.qsize()
        if waiting:
            tell(Log("info", f"Uploading what was made to {self._root}."))
        self._wanted.put(None)
        self._thread.join()
        self._thread = None
        for text in dict.fromkeys(self._lost):
            tell(Log("warning", text))
        self._lost.clear()

    def _greet(self) -> None:
        name = f"{self._root}/modelpress.json"
        try:
            self._fs.cat_file(name)
        except FileNotFoundError:
            if self._place and self._place.writes:
                self._put(name, json.dumps({"what": "a cache that modelpress runs share"}).encode())

    @property
    def _fs(self) -> _Files:
        if self._files is None:
            raise HostError("The shared cache is not open.")
        return self._files

    def _read(self, name: str) -> dict[str, JSONValue] | None:
        """A record; None when it is not there, or not as it was written."""

        def read() -> bytes | None:
            try:
                return self._fs.cat_file(f"{self._root}/{name}")
            except FileNotFoundError:
                return None

        try:
            content = self._ask("read", read)
        except HostError as error:
            self._lost.append(error.message)
            return None
        try:
            return unsealed(content) if content else None
        except ValueError:
            return None

    def _bring(self, key: str, found: _Found) -> None:
        folder = self._cache.folder / "fetched" / f"{key}.{uuid4().hex[:8]}"
        try:
            for name, facts in found.manifest.files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                blob = self._blob(facts.digest)
                self._ask("read", lambda blob=blob, path=path: self._fs.get_file(blob, str(path)))  # type: ignore[misc]
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / MANIFEST, found.text.encode())
            if damage := damaged_files(folder):
                self._forget(key, found)
                raise HostError(
                    f"The result {key[:12]} is damaged in the shared cache ({damage[0]}).",
                    "Run the same command again: it is made anew.",
                )
            self._cache.adopt(folder, key)
            self._keep_history(key, found.history)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _forget(self, key: str, found: _Found) -> None:
        """Let nobody find what is damaged: it is made and uploaded anew."""
        self._known.pop(key, None)
        names = [f"{self._root}/artifacts/{key}.json"]
        names += [self._blob(facts.digest) for facts in found.manifest.files.values()]
        for name in names if self._place and self._place.writes else ():
            self._ask("written", lambda name=name: self._fs.rm_file(name))  # type: ignore[misc]

    def _upload(self, key: str) -> None:
        name = f"artifacts/{key}.json"
        if self._read(name) is not None:
            return
        folder = self._cache.artifact_folder(key)
        manifest = read_manifest(folder)
        if manifest.meta.tokenizer_path:
            return  # it needs a folder of this machine
        texts = [folder / file for file, facts in manifest.files.items() if facts.size <= _LARGEST_TEXT]
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        history = self._cache.history_file(key)
        told = history.read_text(encoding="utf-8") if history.exists() else ""
        if holds_known_secret(texts) or redact(text + told) != text + told:
            self._lost.append(
                f"The result {key[:12]} holds a secret: it is not uploaded to the shared cache."
            )
            return
        for file, facts in manifest.files.items():
            if not self._has(facts.digest, facts.size):
                self._put_file(folder / file, self._blob(facts.digest))
        self._put(f"{self._root}/{name}", sealed({"key": key, "manifest": text, "history": told}))

    def _upload_numbers(self, key: str, result: Result) -> None:
        name = f"evaluations/{key}.json"
        if self._read(name) is None:
            history = self._cache.history_file(key)
            told = history.read_text(encoding="utf-8") if history.exists() else ""
            record = {"key": key, "result": to_json(result), "history": told}
            if redact(json.dumps(record)) == json.dumps(record):
                self._put(f"{self._root}/{name}", sealed(record))

    def _keep_history(self, key: str, text: str) -> None:
        target = self._cache.history_file(key)
        if text and finished(target) is None:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, text.encode())
            mark_finished(target)

    def _has(self, digest: str, size: int) -> bool:
        def look() -> bool:
            try:
                return int(self._fs.info(self._blob(digest))["size"]) == size
            except FileNotFoundError:
                return False

        return self._ask("read", look)

    def _blob(self, digest: str) -> str:
        return f"{self._root}/blobs/{digest[:2]}/{digest}"

    def _put(self, path: str, content: bytes) -> None:
        self._whole(path, lambda target: self._fs.pipe_file(target, content))

    def _put_file(self, file: Path, path: str) -> None:
        self._whole(path, lambda target: self._fs.put_file(str(file), target))

    def _whole(self, path: str, write: Callable[[str], None]) -> None:
        """An object is there when it is whole; a file of a shared file system is renamed when it is."""
        protocols = (self._fs.protocol,) if isinstance(self._fs.protocol, str) else self._fs.protocol
        if "file" not in protocols:
            self._ask("written", lambda: write(path))
            return
        part = f"{path}.{uuid4().hex[:8]}.part"
        self._ask("written", lambda: self._fs.makedirs(path.rpartition("/")[0], exist_ok=True))
        self._ask("written", lambda: write(part))
        self._ask("written", lambda: self._fs.mv(part, path))

    def _later(self, work: Callable[[], None]) -> None:
        if self._files is None or self._place is None or not self._place.writes:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="shared cache", daemon=True)
            self._thread.start()
        self._wanted.put(work)

    def _work(self) -> None:
        while work := self._wanted.get():
            try:
                work()
            except (ModelpressError, OSError) as error:
                self._lost.append(f"{text_of(error)} What was made is kept on this machine.")

    def _ask(self, what: str, do: Callable[[], T]) -> T:
        """what: `reached`, `read` or `written`"""
        address = self._place.address if self._place else ""
        try:
            return do()
        except (ModelpressError, FileNotFoundError):
            raise
        # Each storage has errors of its own, which no common class stands for.
        except Exception as error:
            told = redact(" ".join(text_of(error).split())[:300]) or type(error).__name__
            raise HostError(
                f"The shared cache {address} cannot be {what}: {told.rstrip('.')}.",
                "Look at the address and at the credentials in the environment (AWS_…, AZURE_STORAGE_…, "
                "GOOGLE_APPLICATION_CREDENTIALS), or leave `cache` out of the workflow.",
            ) from error


def shared_place(workflow: WorkflowParts) -> SharedPlace | None:
    """The workflow's own, or that of `MODELPRESS_SHARED_CACHE`."""
    named = os.environ.get("MODELPRESS_SHARED_CACHE")
    return workflow.shared_cache or (SharedPlace(named) if named else None)


def _file_system(place: SharedPlace) -> tuple[_Files, str]:
    try:
        core = importlib.import_module("fsspec.core")
    except ImportError:
        raise MissingDependencyError(
            "A shared cache needs fsspec, which is not installed.",
            'Run: pip install "modelpress[shared-cache]"',
        ) from None
    try:
        files, root = core.url_to_fs(place.address, **place.options)
    except ImportError as error:
        raise MissingDependencyError(
            f"The shared cache {place.address} needs a library: {error}.",
            'Run: pip install "modelpress[shared-cache]"',
        ) from None
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{place.address} is no address of a shared cache: {error}.",
            "Expected `s3://bucket/folder`, `az://container/folder`, `gs://bucket/folder` or `file:///folder`.",
        ) from None
    return files, str(root)


def _within(seconds: float, do: Callable[[], None]) -> None:
    """Do it, or raise HostError when it takes longer: some storages try again for minutes."""
    ended: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            do()
        except Exception as error:  # noqa: BLE001 - raised in the caller's thread
            ended.put(error)
        else:
            ended.put(None)

    threading.Thread(target=work, daemon=True).start()
    try:
        error = ended.get(timeout=seconds)
    except queue.Empty:
        raise HostError(
            f"The shared cache did not answer within {seconds:g} s.", "Is its address right?"
        ) from None
    if isinstance(error, FileNotFoundError):
        raise UserError(
            f"The shared cache is not there: {text_of(error)}.", "Make the bucket or container first."
        )
    if error is not None:
        raise error


def _without_seal(text: str) -> dict[str, JSONValue]:
    document = unsealed(text.encode())
    document.pop("modelpress")
    return document
