"""Whether a disk has room, and one that fills up: how it is recognized, whatever library met it, and told."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Mapping
from pathlib import Path

from modelpress.errors import DiskFull, ModelpressError, text_of
from modelpress.problems import Problems

_NUMBERS = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_WINDOWS_NUMBERS = {39, 112}
_TEXTS = ("No space left on device", "os error 28", "Disk quota exceeded", "not enough space on the disk")
_NOTHING = 2**18
"""Bytes free at which a library's failure is put down to the disk, whatever it says."""


def check_disk(needs: Mapping[Path, int], problems: Problems) -> None:
    """needs: folder, which need not exist -> bytes. Tells each volume that has not as much free."""
    by_volume: dict[int, tuple[Path, int]] = {}
    for path, size in needs.items():
        there = _existing(path)
        device = there.stat().st_dev
        by_volume[device] = (there, by_volume.get(device, (there, 0))[1] + size)
    for there, size in by_volume.values():
        free = shutil.disk_usage(there).free
        if size > free:
            problems.add(
                f"The run will write about {megabytes(size)}, but {there} has {megabytes(free)} free.",
                "Free some space (`modelpress cache gc` helps), or set cache_dir and output_dir.",
            )


def is_disk_full(error: BaseException, folder: Path) -> bool:
    """Whether an error means that the disk with the folder is full.

    Libraries in native code raise errors of their own (safetensors, torch, onnxruntime, pyarrow).
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DiskFull) or any(text in text_of(cause) for text in _TEXTS):
            return True
        if isinstance(cause, OSError) and cause.errno in _NUMBERS:
            return True
        if getattr(cause, "winerror", None) in _WINDOWS_NUMBERS:
            return True
        cause = cause.__cause__ or cause.__context__
    return not isinstance(error, ModelpressError) and isinstance(error, Exception) and has_no_room(folder)


def has_no_room(folder: Path) -> bool:
    """Whether next to nothing more can be written there."""
    try:
        return shutil.disk_usage(_existing(folder)).free < _NOTHING
    except OSError:
        return False


def disk_full(folder: Path, reason: str = "") -> DiskFull:
    """The error: where, and how much is free there now that half-made files are gone."""
    there = _existing(folder)
    try:
        usage = shutil.disk_usage(there)
        room = f"{megabytes(usage.free)} of {megabytes(usage.total)} are free now"
    except OSError:
        room = "how much is free cannot be seen"
    told = f" ({' '.join(reason.split())[:200]})" if reason else ""
    return DiskFull(
        f"The disk is full, or this user's share of it: at {there} {room}{told}.",
        "Free some space (`modelpress cache gc` helps), or set cache_dir and output_dir to another disk; "
        "then run the same command again.",
    )


def megabytes(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
