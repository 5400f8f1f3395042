"""Bring a finished model to where the user wants it: reflinked where the file system can, else copied.

Never a hard link: onnx refuses to load one, and an edit would reach into the cache.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from modelpress.artifact import (
    MANIFEST,
    Artifact,
    FileFacts,
    digest_file,
    read_manifest,
    refuse_links,
    write_manifest,
)
from modelpress.disk import disk_full, is_disk_full, megabytes
from modelpress.engine.ownership import Digest, Export, obstacle
from modelpress.errors import DiskFull, UserError
from modelpress.files import move
from modelpress.machine import refusal

_UNFINISHED = ".modelpress-unfinished"
"""A file that is locked while an export is at work in its folder: what a killed one leaves is known by it."""


def export_model(artifact: Artifact, target: Path, digest: Digest = digest_file) -> Artifact:
    """Copy an artifact to the target folder, replacing an earlier export; whole or not at all.

    Raises UserError when the target holds something that may not be replaced (see ownership), DiskFull.
    """
    exported = Artifact(target, artifact.format, artifact.key, artifact.base, artifact.meta)
    _clear_leftovers(target)
    if _is_there(artifact, target, digest):
        return exported
    reason = obstacle(Export(target, artifact.key, artifact.path, ""), digest)
    if reason:
        raise UserError(
            f"The result was not written: {target} {reason}.", f"It is in the cache: {artifact.path}"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        refuse_links(artifact.path, hidden=True)
        with _workshop(target) as folder:
            _copy_folder(artifact.path, folder / "new")
            _settle_manifest(artifact, folder / "new")
            if target.exists():
                move(target, folder / "old")
            try:
                move(folder / "new", target)
            except OSError:
                _restore(folder, target)
                raise
    except OSError as error:
        if is_disk_full(error, target.parent):
            raise _too_large(artifact, target) from error
        message, hint = refusal(f"The model cannot be written to {target}", error)
        raise UserError(message, f"It is in the cache: {artifact.path}. {hint}".rstrip()) from error
    return exported


@contextmanager
def _workshop(target: Path) -> Iterator[Path]:
    """A folder beside the target to work in, gone afterwards."""
    folder = target.with_name(f".{target.name}.modelpress-{uuid4().hex[:8]}")
    folder.mkdir()
    lock = FileLock(folder / _UNFINISHED)
    try:
        with lock:
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clear_leftovers(target: Path) -> None:
    """Remove what killed exports to the same target left; one that was about to be replaced is put back."""
    for folder in target.parent.glob(f".{glob.escape(target.name)}.modelpress-*"):
        if not (folder / _UNFINISHED).is_file():
            continue
        try:
            with FileLock(folder / _UNFINISHED).acquire(timeout=0):
                _restore(folder, target)
        except (Timeout, OSError):
            continue  # at work right now
        shutil.rmtree(folder, ignore_errors=True)


def _restore(folder: Path, target: Path) -> None:
    if (folder / "old").exists() and not os.path.lexists(target):
        move(folder / "old", target)


def _too_large(artifact: Artifact, target: Path) -> DiskFull:
    full = disk_full(target.parent)
    return DiskFull(
        f"The model cannot be written to {target}: it has {megabytes(artifact.size)}. {full.message}",
        f"It is in the cache: {artifact.path}. {full.hint}",
    )


def _is_there(artifact: Artifact, target: Path, digest: Digest) -> bool:
    """Whether every file of the artifact is there as it should be; the user may have put others beside."""
    try:
        files = read_manifest(target).files
        same = bool(artifact.key) and read_manifest(target).key == artifact.key and not target.is_symlink()
        return same and not any(_damaged(target / name, facts, digest) for name, facts in files.items())
    except UserError:
        return False


def _damaged(path: Path, facts: FileFacts, digest: Digest) -> bool:
    try:
        return path.stat().st_size != facts.size or digest(path) != facts.digest
    except OSError:
        return True


def _settle_manifest(artifact: Artifact, folder: Path) -> None:
    """The manifest of a copy: files of an input model get one; a cached one is kept (times are copied)."""
    if not (folder / MANIFEST).exists():
        write_manifest(Artifact(folder, artifact.format, artifact.key, artifact.base, artifact.meta))


def _copy_folder(source: Path, target: Path) -> None:
    """Every file, with its time. The first that cannot be copied ends it: shutil.copytree would go on to the
    last, and tell of each."""
    target.mkdir()
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir()
        else:
            _copy_file(path, copy)


def _copy_file(source: Path, target: Path) -> None:
    """Copy content and times; share the blocks where the file system can."""
    if not _reflink(source, target):
        shutil.copyfile(source, target)
    shutil.copystat(source, target)


def _reflink(source: Path, target: Path) -> bool:
    """Share the blocks on file systems that can (btrfs, XFS); False where that is not possible."""
    try:
        import fcntl  # noqa: PLC0415 - only POSIX has it
    except ImportError:
        return False
    ficlone = 0x40049409
    with open(source, "rb") as read, open(target, "wb") as write:
        try:
            fcntl.ioctl(write.fileno(), ficlone, read.fileno())
        except OSError:
            return False
    return True
