"""Files that appear whole or not at all, and JSON files that notice damage to themselves."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

import xxhash

from modelpress.json_types import JSONValue

_SEAL = "seal"
_BLANK = "0" * 32
_SEAL_LINE = re.compile(rb'\n "seal": "([0-9a-f]{32})"')
"""The line of the outermost object, indented by one: deeper ones are indented by more."""
_TEXT_SEAL = re.compile(rb"<!-- Written by modelpress\. Once edited, it is yours\. ([0-9a-f]{32}) -->\n\Z")
_MARK = "complete.json"
_CHUNK = 8 * 2**20
_IS_WINDOWS = os.name == "nt"
_PATIENCE = 3.0


def move(source: Path, target: Path) -> None:
    """os.replace, tried again for a while where Windows refuses: a virus scanner or an indexer that looks
    into a new file holds it for a moment."""
    end = time.monotonic() + (_PATIENCE if _IS_WINDOWS else 0)
    pause = 0.01
    while True:
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if time.monotonic() >= end:
                raise
        time.sleep(pause)
        pause *= 2


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


def write_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file so that it is there whole or not at all, also to other processes.

    durable: also after a power cut. An existing file is replaced.
    """
    fresh = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    try:
        fresh.write_bytes(content)
        if durable:
            flush_to_disk(fresh)
        move(fresh, path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def sealed(document: Mapping[str, object]) -> bytes:
    """The document as JSON with a `seal`: a digest of every other byte of the text."""
    text = json.dumps({**document, _SEAL: _BLANK}, indent=1, sort_keys=True) + "\n"
    content = text.encode("ascii")
    return _SEAL_LINE.sub(f'\n "{_SEAL}": "{_digest(content)}"'.encode(), content, count=1)


def unsealed(content: bytes) -> dict[str, JSONValue]:
    """The document of a sealed text. Raises ValueError when a byte of it was changed, or it has no seal."""
    match = _SEAL_LINE.search(content)
    if match is None:
        raise ValueError("it has no seal")
    blank = content[: match.start(1)] + _BLANK.encode() + content[match.end(1) :]
    if _digest(blank) != match[1].decode():
        raise ValueError("it is not as it was written")
    document: dict[str, JSONValue] = json.loads(content)
    del document[_SEAL]
    return document


def sealed_text(text: str) -> bytes:
    """Markdown with a seal at its end, in a comment: a digest of all before it."""
    return (
        f"{text}<!-- Written by modelpress. Once edited, it is yours. {_digest(text.encode())} -->\n".encode()
    )


def is_sealed_text(path: Path) -> bool:
    """Whether a file is a sealed text, every byte as it was written."""
    try:
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    except OSError:
        return False
    seal = _TEXT_SEAL.search(content)
    return seal is not None and seal[1].decode() == _digest(content[: seal.start()])


def digest_file(path: Path) -> str:
    """XXH3-128 of a file's bytes; 32 hex digits. Fast rather than cryptographic: it finds accidents."""
    state = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def mark_finished(path: Path, facts: Mapping[str, JSONValue] | None = None) -> None:
    """Say that a file, or everything in a folder, was written to its end: what a later try goes on from.

    The mark (`FILE.complete`, or `complete.json` in the folder) keeps the digests, and facts: JSON values.
    """
    write_whole(_mark(path), sealed({"facts": dict(facts or {}), "files": _digests(path)}))


def is_marked(path: Path) -> bool:
    """Whether somebody said that the file was written to its end, be that so or not."""
    return _mark(path).exists()


def finished(path: Path, on_damage: Callable[[str], None] | None = None) -> dict[str, JSONValue] | None:
    """The facts of a finished file or folder; None when it has no mark, or a byte of it is not as it was:
    then on_damage is told."""
    try:
        document = unsealed(_mark(path).read_bytes())
        facts = document["facts"]
        if document["files"] == _digests(path) and isinstance(facts, dict):
            return facts
    except FileNotFoundError:
        if not _mark(path).exists():
            return None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if on_damage:
        on_damage(f"{path.name} was kept for another try and is damaged: it is made again.")
    return None


def _mark(path: Path) -> Path:
    return path / _MARK if path.is_dir() else path.with_name(f"{path.name}.complete")


def _digests(path: Path) -> dict[str, str]:
    if path.is_file():
        return {"": digest_file(path)}
    files = sorted(file for file in path.rglob("*") if file.is_file() and file != path / _MARK)
    return {file.relative_to(path).as_posix(): digest_file(file) for file in files}


def _digest(content: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(content)
