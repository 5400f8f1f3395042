"""What a model or data file *is*, apart from where it lies: the ground of every cache key.

A folder's identity is made of the names and contents of its files, so that moving it changes nothing.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import xxhash

from modelpress.artifact import MANIFEST, digest_file
from modelpress.errors import UserError
from modelpress.files import write_whole

_CLOCK_NS = 50_000_000
_LONGEST_NAME = 255
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")


def looks_like_path(value: str, folder: Path) -> bool:
    """Whether a model name is meant as a path on this machine and must never be asked of a hub.

    True for `./x`, `../x`, `~/x`, `/x`, `C:\\x`, more than one slash, an existing file or folder, and for
    anything that no hub id can be.
    """
    return not _HUB_ID.match(value) or os.path.exists(folder / value) or Path(value).is_absolute()


def content_identity(path: Path, memo: DigestMemo | None = None, without: Collection[Path] = ()) -> str:
    """`content:` + XXH3-128 over the names and digests of all files (or the digest of the one file).

    without: folders below it that are no part of it, e.g. one that the result is written to.
    """
    digest = memo or digest_file
    require_utf8(path)
    if path.is_file():
        return f"content:{digest(path)}"
    state = xxhash.xxh3_128()
    for file in sorted(p for p in path.rglob("*") if p.is_file() and p != path / MANIFEST):
        if any(file.is_relative_to(folder) for folder in without):
            continue
        require_utf8(file)
        state.update(f"{file.relative_to(path).as_posix()}\0{digest(file)}\n".encode())
    return f"content:{state.hexdigest()}"


def named_path(text: str, folder: Path) -> Path:
    """The path that a user wrote, counted from the folder; `~` is the home folder. Raises UserError for what
    can be none."""
    path = folder / os.path.expanduser(text)
    require_utf8(path)
    return path


def require_utf8(path: Path) -> None:
    """Raises UserError for a path that is no text (what is written down of it is UTF-8 everywhere), or that
    no file system takes."""
    try:
        if any(len(part.encode()) > _LONGEST_NAME for part in path.parts) or "\0" in str(path):
            raise UserError(f"{str(path)[:80]!r}… is too long for a path.", "Name a file or folder.")
    except UnicodeEncodeError:
        told = str(path).encode("utf-8", "backslashreplace").decode()
        raise UserError(f"The path {told} is not UTF-8.", "Give the file or folder another name.") from None


class DigestMemo:
    """Digests remembered by what the file system says of a file, so that an unchanged gigabyte is read once.

    That is size, time of the last write, inode, and the time of the last change to the inode (ctime), which
    no program can set back: content changed behind a kept size and time is seen. (On Windows that time does
    not exist, and a kept time hides a change.) A file written a moment ago is not remembered: the clock of
    the file system may be too coarse to tell a second write from the first.

    folder: where the memory is kept, one small file per digest. A damaged entry is computed again. Nothing is
    written before `keep`: a plan leaves no trace.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._new: dict[str, str] = {}

    def __call__(self, path: Path) -> str:
        now = time.time_ns()
        stat = path.stat()
        stamp = f"{stat.st_dev} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
        name = xxhash.xxh3_128_hexdigest(stamp.encode())
        known = self._new.get(name) or self._read(name)
        if known is None:
            known = digest_file(path)
            if now - max(stat.st_mtime_ns, stat.st_ctime_ns) > _CLOCK_NS:
                self._new[name] = known
        return known

    def keep(self) -> None:
        """Write what was computed since the last time. Where that fails it is computed again another time."""
        with suppress(OSError):
            if self._new:
                self._folder.mkdir(parents=True, exist_ok=True)
            for name, digest in list(self._new.items()):  # other threads may add some
                write_whole(self._folder / name, f"{digest} {_check(name, digest)}".encode(), durable=False)
            self._new.clear()

    def _read(self, name: str) -> str | None:
        try:
            digest, check = (self._folder / name).read_text(encoding="ascii").split(" ")
        except (OSError, ValueError):
            return None
        return digest if check == _check(name, digest) else None


def _check(name: str, digest: str) -> str:
    return xxhash.xxh3_64_hexdigest(f"{name} {digest}".encode())
