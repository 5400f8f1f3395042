"""An artifact: a model on disk, a folder with a manifest; made once and never changed in place.

The manifest (`modelpress.json`, beside the model's own files) says what the folder is and lists every
file with size, time and digest, so that a file that was cut or edited later is noticed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import xxhash

from modelpress.errors import UserError
from modelpress.events import JSONValue
from modelpress.records import from_json, to_json

MANIFEST = "modelpress.json"
MANIFEST_VERSION = 2
_CHUNK = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Meta:
    """Small facts that travel with a model, as JSON values.

    task:            `text-generation`; empty when nothing says so
    prompt_template: the text that a fine-tuned model expects around a phrase (one `{column}` stands for it)
    trust_remote_code: whether the user lets the model's own Python files run
    load_kwargs:     what the user wants from_pretrained to be given
    tokenizer_path:  the folder of the tokenizer where that lies apart (MLflow); absolute
    extra:           more that a pass tells those after it (`quantization`, `precision`)
    """

    task: str = ""
    prompt_template: str = ""
    trust_remote_code: bool = False
    load_kwargs: Mapping[str, JSONValue] = field(default_factory=dict)
    tokenizer_path: str = ""
    extra: Mapping[str, JSONValue] = field(default_factory=dict)

    def after(self, before: Meta) -> Meta:
        """With what holds for whatever is made from a model, where this does not say otherwise."""
        return replace(
            self,
            task=self.task or before.task,
            prompt_template=self.prompt_template or before.prompt_template,
        )


NO_META = Meta()


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model on disk.

    path:   its folder
    format: e.g. `hf-model`
    key:    the cache key of the step that made it, or `content:…`/`hub:…` for an input
    base:   the model that an adapter belongs to; None otherwise
    """

    path: Path
    format: str
    key: str
    base: Artifact | None = None
    meta: Meta = NO_META

    def to_record(self) -> dict[str, Any]:
        """As JSON, path absolute."""
        return {
            "path": str(self.path),
            "format": self.format,
            "key": self.key,
            "base": self.base.to_record() if self.base else None,
            "meta": to_json(self.meta),
        }

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> Artifact:
        """The reverse of to_record."""
        base = record.get("base")
        return Artifact(
            path=Path(record["path"]),
            format=record["format"],
            key=record["key"],
            base=Artifact.from_record(base) if base else None,
            meta=from_json(Meta, record["meta"]),
        )

    @property
    def size(self) -> int:
        """Bytes of all files, the manifest left out, the base not counted."""
        return sum(p.stat().st_size for p in artifact_files(self.path))


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the manifest keeps of one file. digest is XXH3-128, 32 hex digits."""

    size: int
    mtime_ns: int
    digest: str


def artifact_files(folder: Path) -> Iterator[Path]:
    """Every file below the folder but the manifest, in a stable order."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / MANIFEST:
            yield path


def digest_file(path: Path) -> str:
    """XXH3-128 of a file's bytes; 32 hex digits. Fast rather than cryptographic: it finds accidents."""
    state = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def write_manifest(artifact: Artifact, made_by: Mapping[str, Any] | None = None) -> None:
    """Write the manifest of a finished folder. Every file is hashed and flushed to disk before it."""
    files = {}
    for path in artifact_files(artifact.path):
        stat = path.stat()
        files[path.relative_to(artifact.path).as_posix()] = {
            "size": stat.st_size,
            "mtime_ns": stat.st_mtime_ns,
            "digest": digest_file(path),
        }
        flush_to_disk(path)
    record = artifact.to_record()
    del record["path"]
    document = {"modelpress": MANIFEST_VERSION, **record, "made_by": dict(made_by or {}), "files": files}
    target = artifact.path / MANIFEST
    target.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    flush_to_disk(target)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest as JSON. Raises UserError when the folder has none or it is damaged."""
    try:
        document: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if document.get("modelpress") != MANIFEST_VERSION:
            raise ValueError(
                f"it is of version {document.get('modelpress')}, and this modelpress reads {MANIFEST_VERSION}"
            )
        if not isinstance(document.get("files"), dict):
            raise ValueError("no list of files")
    except FileNotFoundError:
        raise UserError(f"{folder} is not an artifact: it has no {MANIFEST}.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / MANIFEST} cannot be read: {error}.") from None
    return document


def open_artifact(folder: Path) -> Artifact:
    """The artifact in a folder, by its manifest."""
    return Artifact.from_record({**read_manifest(folder), "path": str(folder)})


def damaged_files(folder: Path, *, full: bool = False) -> list[str]:
    """What differs from the manifest, a line each; empty when all is well.

    Size and time are compared; the digest where the time differs, or of every file when full.
    """
    found = []
    files = read_manifest(folder)["files"]
    for name, facts in files.items():
        path = folder / name
        try:
            stat = path.stat()
        except OSError:
            found.append(f"{name}: missing")
            continue
        if stat.st_size != facts["size"]:
            found.append(f"{name}: {stat.st_size} bytes, expected {facts['size']}")
        elif (full or stat.st_mtime_ns != facts["mtime_ns"]) and digest_file(path) != facts["digest"]:
            found.append(f"{name}: its content has changed")
    present = {p.relative_to(folder).as_posix() for p in artifact_files(folder)}
    found += [f"{name}: not in the manifest" for name in sorted(present - set(files))]
    return found


def flush_to_disk(path: Path) -> None:
    """fsync a file, or a folder where the platform can."""
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return  # a folder on Windows, or a file that is read-only: nothing to flush
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
