"""What the machine refuses (an OSError) in words: what was met, what was expected, what to do about it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from modelpress.disk import disk_full, is_disk_full
from modelpress.errors import ModelpressError, UserError, text_of


class _Words(NamedTuple):
    why: str
    todo: str


_ELSEWHERE = "or take other folders (--cache-dir, --output-dir, the variable MODELPRESS_CACHE)."
_AGAIN = "then run the same command again: what was finished is kept."
_ALONE = "Let one command at a time work in that folder, then run this one again."
_RIGHTS = _Words(
    "this user{user} has no permission", f"Give it the rights (`ls -ld` shows them), {_ELSEWHERE}"
)
_USED = _Words("another program uses it", f"Close that program; {_AGAIN}")
_NETWORK = _Words("its file system does not answer", f"Mount it again; {_AGAIN}")
_FILES = _Words("too many files are open at once", f"Raise the limit (`ulimit -n 8192`); {_AGAIN}")
_FREE = _Words("memory ran out", f"End other programs, or take a machine with more; {_AGAIN}")

_KNOWN: Mapping[str, _Words] = {
    "EACCES": _RIGHTS,
    "EPERM": _RIGHTS,
    "EROFS": _Words("its file system can only be read", f"Mount it for writing, {_ELSEWHERE}"),
    "ENOENT": _Words(
        "it is not there, or no more: something has removed or renamed it",
        "Put it back, and run the same command again: what was finished is kept. If nothing has removed it, "
        "please report this with what MODELPRESS_DEBUG=1 shows.",
    ),
    "ENOTDIR": _Words(
        "a part of its path is a file, where a folder was expected", f"Move it away, {_ELSEWHERE}"
    ),
    "EISDIR": _Words("it is a folder, where a file was expected", f"Move it away, {_ELSEWHERE}"),
    "EEXIST": _Words("it is there already, where nothing was expected", _ALONE),
    "ENOTEMPTY": _Words("it is not empty, though all in it was removed", _ALONE),
    "ENAMETOOLONG": _Words(
        "its name is longer than the file system takes", f"Use shorter names, {_ELSEWHERE}"
    ),
    "ELOOP": _Words("it is a link that leads back to itself", "Remove the link, or let it lead to a file."),
    "EMFILE": _FILES,
    "ENFILE": _FILES,
    "EIO": _Words("its disk fails (input/output error)", f"Look at the disk, {_ELSEWHERE}"),
    "ENXIO": _Words("it is no file that can be read", "Put a plain file there."),
    "EBUSY": _USED,
    "ETXTBSY": _USED,
    "EFBIG": _Words("it is larger than is allowed here", f"Raise the limit (`ulimit -f`), {_ELSEWHERE}"),
    "ENOEXEC": _Words("it is no program of this machine", "Name another program."),
    "ESTALE": _NETWORK,
    "EHOSTDOWN": _NETWORK,
    "ENOTCONN": _NETWORK,
    "ETIMEDOUT": _NETWORK,
    "EREMOTEIO": _NETWORK,
    "EAGAIN": _Words("no more processes may be started", f"End some, or raise `ulimit -u`; {_AGAIN}"),
    "ENOMEM": _FREE,
}
_BY_NUMBER = {number: _KNOWN[name] for name in _KNOWN if (number := getattr(errno, name, None)) is not None}


def explain(error: OSError, folder: Path | None = None) -> ModelpressError | None:
    """The error as users should read it; None for what is nothing that a machine refuses.

    folder: where the work was, for a disk that is full and an error that names no file.
    """
    named = _path(error)
    where = Path(named) if named else folder
    if where is not None and is_disk_full(error, where):
        return disk_full(where)
    if error.errno not in _BY_NUMBER:
        return None
    what = f"{named or folder} cannot be used" if named or folder else "A file cannot be used"
    return UserError(*refusal(what, error))


def refusal(what: str, error: Exception, hint: str = "") -> tuple[str, str]:
    """(message, hint). what: what could not be done, without a full stop: `x.json cannot be read`.

    hint: what to do where it is no refusal of the machine (a file that is there, and damaged).
    """
    words = _BY_NUMBER.get(error.errno or 0) if isinstance(error, OSError) else None
    if words is None:
        why = (error.strerror if isinstance(error, OSError) else "") or text_of(error) or type(error).__name__
        return f"{what}: {why.rstrip('.')}.", hint
    return f"{what}: {words.why.format(user=_user())}.", words.todo


def is_refusal(error: BaseException, folder: Path) -> bool:
    """Whether an error in a pass is one of the machine, not of the pass: what no code of a plugin can help.

    A file that is not there is one only where the whole folder of the work is gone.
    """
    if not isinstance(error, OSError) or (error.errno or 0) not in _BY_NUMBER:
        return False
    if error.errno in _numbers(("ENOENT", "ENOTDIR", "EISDIR", "EEXIST", "ENOTEMPTY", "EAGAIN")):
        return not folder.is_dir()
    return True


def _numbers(names: Iterable[str]) -> set[int]:
    return {getattr(errno, name) for name in names if hasattr(errno, name)}


def _path(error: OSError) -> str:
    for name in (error.filename, error.filename2):
        if isinstance(name, bytes):
            return os.fsdecode(name)
        if isinstance(name, str | os.PathLike) and str(name):
            return str(name)
    return ""


def _user() -> str:
    number = getattr(os, "getuid", None)
    return f" (number {number()})" if number else ""
