"""What a model or data file *is*, apart from where it lies: the ground of every cache key.

A folder's identity is made of the names and contents of its files, so that moving it changes nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

import xxhash

from modelpress.artifact import MANIFEST, digest_file

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")


def looks_like_path(value: str, folder: Path) -> bool:
    """Whether a model name is meant as a path on this machine and must never be asked of a hub.

    True for `./x`, `../x`, `~/x`, `/x`, `C:\\x`, more than one slash, an existing file or folder, and for
    anything that no hub id can be.
    """
    return not _HUB_ID.match(value) or (folder / value).exists() or Path(value).is_absolute()


def content_identity(path: Path, memo: DigestMemo | None = None) -> str:
    """`content:` + XXH3-128 over the names and digests of all files (or the digest of the one file)."""
    digest = memo or _no_memo
    if path.is_file():
        return f"content:{digest(path)}"
    state = xxhash.xxh3_128()
    for file in sorted(p for p in path.rglob("*") if p.is_file() and p != path / MANIFEST):
        state.update(f"{file.relative_to(path).as_posix()}\0{digest(file)}\n".encode())
    return f"content:{state.hexdigest()}"


class DigestMemo:
    """Digests remembered by (path, size, mtime, inode), so that an unchanged gigabyte is read once.

    folder: where the memory is kept, one small file per path. A damaged entry is computed again. Nothing is
    written before `keep`: a plan leaves no trace.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._new: dict[Path, str] = {}

    def __call__(self, path: Path) -> str:
        stat = path.stat()
        stamp = f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}"
        entry = self._folder / xxhash.xxh3_128_hexdigest(stamp.encode())
        if entry in self._new:
            return self._new[entry]
        try:
            digest = entry.read_text(encoding="ascii")
            if len(digest) == 32:
                return digest
        except (OSError, UnicodeDecodeError):
            pass
        self._new[entry] = digest_file(path)
        return self._new[entry]

    def keep(self) -> None:
        """Write what was computed since the last time."""
        if self._new:
            self._folder.mkdir(parents=True, exist_ok=True)
        for entry, digest in self._new.items():
            entry.write_text(digest, encoding="ascii")
        self._new.clear()


def _no_memo(path: Path) -> str:
    return digest_file(path)
