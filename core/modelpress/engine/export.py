"""Bring a finished model to where the user wants it: reflinked where the file system can, else copied.

Never a hard link: onnx refuses to load one, and an edit would reach into the cache.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from uuid import uuid4

from modelpress.artifact import MANIFEST, Artifact, damaged_files, read_manifest, write_manifest
from modelpress.disk import disk_full, is_disk_full, megabytes
from modelpress.errors import DiskFull, UserError
from modelpress.problems import Problems

RECORD = "run.json"


def check_output_dir(output_dir: Path | None, problems: Problems) -> None:
    """Tell when the output folder holds something that a run did not write: it would be lost."""
    if output_dir is None:
        return
    if output_dir.is_file():
        problems.add(f"output_dir {output_dir} is a file, expected a folder.")
        return
    model = output_dir / "model"
    if model.exists() and not (model / MANIFEST).exists():
        problems.add(
            f"output_dir {output_dir} holds a folder 'model' that modelpress did not write.",
            "Move it away, or choose another output_dir.",
        )


def export_model(artifact: Artifact, target: Path) -> Artifact:
    """Copy an artifact to the target folder, replacing an earlier export; whole or not at all."""
    exported = Artifact(target, artifact.format, artifact.key, artifact.base, artifact.meta)
    if _is_there(artifact, target):
        return exported
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{uuid4().hex[:8]}")
    try:
        _copy_folder(artifact.path, fresh)
        _settle_manifest(artifact, fresh)
        if target.exists():
            old = target.with_name(f".{target.name}.{uuid4().hex[:8]}")
            os.replace(target, old)
            os.replace(fresh, target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(fresh, target)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        if is_disk_full(error, target.parent):
            raise _too_large(artifact, target) from error
        raise UserError(
            f"The model cannot be written to {target}: {error.strerror or error}.",
            f"It is in the cache: {artifact.path}",
        ) from error
    return exported


def _too_large(artifact: Artifact, target: Path) -> DiskFull:
    full = disk_full(target.parent)
    return DiskFull(
        f"The model cannot be written to {target}: it has {megabytes(artifact.size)}. {full.message}",
        f"It is in the cache: {artifact.path}. {full.hint}",
    )


def _is_there(artifact: Artifact, target: Path) -> bool:
    try:
        manifest = read_manifest(target)
        return bool(manifest["key"] == artifact.key and artifact.key) and not damaged_files(target)
    except (UserError, KeyError):
        return False


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
